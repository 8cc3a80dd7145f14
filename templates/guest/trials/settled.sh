#!/bin/sh
# Waits until a machine that was rebooted has settled, and says how it is. Units that have failed are a failure.
if ! command -v systemctl >/dev/null; then
    echo "it is up"
    exit 0
fi
state=$(timeout 150 systemctl is-system-running --wait 2>&1) || true
failed=$(systemctl list-units --failed --no-legend --plain --no-pager | sed 's/ .*//' | tr '\n' ' ')
if [ -n "$failed" ]; then
    echo "after the reboot these units have failed: $failed" >&2
    exit 1
fi
echo "the system is ${state:-starting}"
