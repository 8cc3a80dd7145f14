#!/bin/sh
# check: sudo
# what: the default user has sudo without a password
# default: all
# as: user
# order: 50
#
# The default user becomes root without a password, and sudo finds the machine's own name.
if ! said=$(sudo -k -n id -u 2>&1); then
    printf '%s\n' "$said"
    echo "${FACTORY_USER:-the default user} has no sudo without a password: $(printf '%s\n' "$said" | tail -n 1)"
    exit 1
fi
printf '%s\n' "$said"
case $said in
    *'unable to resolve host'*)
        cat /etc/hosts
        echo "sudo cannot resolve the machine's own name: $(printf '%s\n' "$said" | head -n 1)"
        exit 1
        ;;
esac
if [ "$(printf '%s\n' "$said" | tail -n 1)" != 0 ]; then
    echo "sudo does not lead to root"
    exit 1
fi
echo "${FACTORY_USER:-the default user} may do everything, without a password"
