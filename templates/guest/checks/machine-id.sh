#!/bin/sh
# check: machine-id
# what: the machine has an ID of its own
# default: all
# as: user
# order: 90
#
# The machine has an ID of its own, and will have the same one after the next boot.
if ! read -r id </etc/machine-id; then
    echo "/etc/machine-id is empty or missing"
    exit 1
fi
case $id in
    uninitialized)
        echo "/etc/machine-id is still 'uninitialized'"
        exit 1
        ;;
    *[!0-9a-f]* | 00000000000000000000000000000000)
        echo "/etc/machine-id is not an ID: $id"
        exit 1
        ;;
esac
if [ ${#id} -ne 32 ]; then
    echo "/etc/machine-id has ${#id} digits, not 32"
    exit 1
fi
# systemd mounts a file over it that is gone with the power, until it could write the real one.
while read -r _ _ _ _ where _; do
    if [ "$where" = /etc/machine-id ]; then
        echo "/etc/machine-id is not on the disk: the machine gets another one at every boot"
        exit 1
    fi
done </proc/self/mountinfo
if [ -f /var/lib/dbus/machine-id ] && read -r bus </var/lib/dbus/machine-id && [ "$bus" != "$id" ]; then
    echo "D-Bus has another ID ($bus) than the system ($id)"
    exit 1
fi
echo "$id"
