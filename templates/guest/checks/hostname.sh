#!/bin/sh
# check: hostname
# what: the machine has the name the cloud gave it
# default: all
# as: user
# order: 70
#
# The machine has taken the name that the cloud gave it. A domain that a cloud adds is no matter.
name=$(uname -n)
wanted=${FACTORY_HOSTNAME%%.*}
echo "uname -n: $name"
echo "/etc/hostname: $(cat /etc/hostname)"
if [ "${name%%.*}" != "$wanted" ]; then
    echo "the machine is called $name, not $FACTORY_HOSTNAME"
    exit 1
fi
echo "$name"
