#!/bin/sh
# check: package-update
# what: the package manager reads its sources
# default: os
# as: root
# order: 160
# slow
#
# The package manager reads its sources: they are reached, and signed by whom they should be.
if command -v apt-get >/dev/null; then
    # The timers of the first boot may be at it.
    said=$(apt-get -o DPkg::Lock::Timeout=120 -o APT::Update::Error-Mode=any update 2>&1)
    code=$?
    case $said in *'Could not get lock'*)
        sleep 20
        said=$(apt-get -o APT::Update::Error-Mode=any update 2>&1)
        code=$?
        ;;
    esac
elif command -v dnf >/dev/null; then
    said=$(dnf -y makecache 2>&1)
    code=$?
elif command -v yum >/dev/null; then
    said=$(yum -y makecache 2>&1)
    code=$?
elif command -v zypper >/dev/null; then
    said=$(zypper --non-interactive refresh 2>&1)
    code=$?
else
    echo "no package manager that is known here"
    exit 77
fi
printf '%s\n' "$said" | tail -n 30
if [ "$code" -ne 0 ]; then
    echo "exit code $code: $(printf '%s\n' "$said" | grep -e '^E:' -e '[Ee]rror' | head -n 1)"
    exit 1
fi
echo "the package sources are read"
