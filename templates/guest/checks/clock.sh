#!/bin/sh
# check: clock
# what: the clock is right
# default: all
# as: user
# order: 100
#
# The clock is right: within two minutes of the factory's, which includes the time this check took to start.
now=$(date +%s)
date -u
if [ "$now" -lt 1704067200 ]; then # 2024
    echo "the clock says $(date -u +%F)"
    exit 1
fi
if [ -z "$FACTORY_NOW" ]; then
    echo "nothing to compare with"
    exit 77
fi
off=$((now - FACTORY_NOW))
if [ "$off" -gt 120 ] || [ "$off" -lt -120 ]; then
    command -v timedatectl >/dev/null && timedatectl 2>&1
    [ "$off" -gt 0 ] && echo "the clock is $off s fast" || echo "the clock is $((-off)) s slow"
    exit 1
fi
echo "$off s from the factory's clock"
