#!/bin/sh
# Finds the disk with serial number $SERIAL, which has just been attached, writes to it and reads that back.
find_disk() {
    for file in /sys/block/*/serial; do
        [ -r "$file" ] || continue
        case $(cat "$file") in
            "$SERIAL"*)
                disk=${file%/serial}
                disk=${disk##*/}
                return 0
                ;;
        esac
    done
    for link in /dev/disk/by-id/*"$SERIAL"*; do
        [ -e "$link" ] || continue
        disk=$(basename "$(readlink -f "$link")")
        return 0
    done
    return 1
}
tries=60
until find_disk; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
        lsblk >&2
        echo "the machine does not see the volume" >&2
        exit 1
    fi
    sleep 1
done
read -r sectors <"/sys/block/$disk/size"
if [ "$sectors" -lt $((GB * 2097152)) ]; then
    echo "$disk has $sectors sectors, which is less than $GB GiB" >&2
    exit 1
fi
printf 'image-factory %s' "$SERIAL" | dd of="/dev/$disk" bs=512 count=1 conv=sync,fsync 2>/dev/null || {
    echo "$disk cannot be written to" >&2
    exit 1
}
echo 1 >/proc/sys/vm/drop_caches
case $(dd if="/dev/$disk" bs=512 count=1 2>/dev/null | tr -d '\000') in
    "image-factory $SERIAL") ;;
    *)
        echo "$disk does not give back what was written to it" >&2
        exit 1
        ;;
esac
echo "$GB GiB came as $disk, was written to, read, and detached"
