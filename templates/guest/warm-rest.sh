#!/bin/sh
# Runs as root on a warm builder, at the end of its boot: nothing changes it by the clock while it waits for its build.
#
# Stopped is not disabled: in the image the units are as they were.
if command -v systemctl >/dev/null; then
    units=$(systemctl list-units --plain --no-legend --state=active '*.timer' cron.service crond.service anacron.service |
        cut -d ' ' -f 1)
    echo "$units" >/run/image-factory-warm
    # shellcheck disable=SC2086 # a list of words
    [ -z "$units" ] || systemctl --quiet stop $units || true
fi
