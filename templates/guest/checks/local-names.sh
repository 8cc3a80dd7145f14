#!/bin/sh
# check: local-names
# what: the machine's own name and localhost resolve
# default: all
# as: user
# order: 80
#
# The machine's own name and localhost resolve, and quickly: sudo and many daemons ask for them and stall otherwise.
name=$(uname -n)
for wanted in localhost "$name"; do
    if ! found=$(timeout 20 getent hosts "$wanted"); then
        cat /etc/hosts
        grep '^hosts:' /etc/nsswitch.conf
        echo "$wanted does not resolve"
        exit 1
    fi
    printf '%s\n' "$found"
done
echo "localhost and $name resolve"
