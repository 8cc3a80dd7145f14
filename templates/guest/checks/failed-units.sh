#!/bin/sh
# check: failed-units
# what: the system is up and no unit has failed
# default: all
# as: root
# order: 40
#
# The system has come up, and no unit has failed.
if ! command -v systemctl >/dev/null; then
    echo "no systemd here"
    exit 77
fi
# Waits while jobs are under way: SSH answers long before.
state=$(timeout 120 systemctl is-system-running --wait 2>&1)
failed=$(systemctl list-units --failed --no-legend --plain --no-pager | sed 's/ .*//')
echo "the system is ${state:-starting}"
if [ -n "$failed" ]; then
    for unit in $failed; do
        systemctl status --no-pager --lines=15 -- "$unit" 2>&1
    done
    # shellcheck disable=SC2086
    echo "failed:" $failed
    exit 1
fi
case $state in
    running | degraded) echo "none" ;;
    '' | starting | initializing)
        systemctl list-jobs --no-pager
        # shellcheck disable=SC2046
        echo "the system is still starting after 120 s:" $(systemctl list-jobs --no-legend --no-pager | while read -r _ unit _ what; do
            [ "$what" = running ] && echo "$unit"
        done)
        exit 1
        ;;
    *)
        echo "the system is $state"
        exit 1
        ;;
esac
