#!/bin/sh
# check: cloud-init
# what: cloud-init has ended without errors
# default: all
# as: user
# order: 10
#
# cloud-init has ended and found nothing wrong.
# Its own files are read first: they cost nothing, while every call of its command line is seconds of Python.
if [ ! -d /run/cloud-init ] && ! command -v cloud-init >/dev/null; then
    echo "cloud-init is not installed"
    exit 77
fi
if [ -e /run/cloud-init/disabled ]; then
    echo "cloud-init is disabled in this image, so a machine gets no keys and no name"
    exit 1
fi
waited=0
until [ -s /run/cloud-init/result.json ]; do
    if [ "$waited" -ge 150 ]; then
        cat /run/cloud-init/status.json
        echo "cloud-init has not ended after $waited s"
        exit 1
    fi
    sleep 2
    waited=$((waited + 2))
done
cat /run/cloud-init/result.json
source=$(sed -n 's/^ *"datasource": "\(.*\)",\{0,1\}$/\1/p' /run/cloud-init/result.json)
errors=$(sed -n '/"errors": \[ *$/,/^ *\]/s/^ *"\(.*\)",\{0,1\}$/\1/p' /run/cloud-init/result.json)
if [ -n "$errors" ]; then
    echo "cloud-init ended with errors: $(printf '%s\n' "$errors" | head -n 1)"
    exit 1
fi
case $source in
    DataSourceNone*)
        echo "cloud-init found no data source: neither config drive nor metadata service"
        exit 1
        ;;
esac
# From 23.4 on, "recoverable errors" (status 2): a deprecated key, a warning of a module. The machine is as it was asked to be, so
# this is worth saying and no reason to throw the image away.
if grep -q '"WARNING": \[ *$\|"ERROR": \[ *$\|"DEPRECATED": \[ *$' /run/cloud-init/status.json; then
    sed -n '/"recoverable_errors"/,/}/p' /run/cloud-init/status.json
    echo "done, from ${source%% *}, with warnings"
    exit 0
fi
echo "done, from ${source%% *}"
