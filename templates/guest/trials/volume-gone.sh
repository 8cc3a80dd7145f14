#!/bin/sh
# Waits until the disk with serial number $SERIAL is gone.
there() {
    for file in /sys/block/*/serial; do
        [ -r "$file" ] || continue
        case $(cat "$file") in "$SERIAL"*) return 0 ;; esac
    done
    return 1
}
tries=30
while there; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
        echo "the machine still has the volume that was detached" >&2
        exit 1
    fi
    sleep 1
done
