#!/bin/sh
# check: disk-size
# what: the root file system has grown to the size of the disk
# default: all
# as: root
# order: 130
#
# The root file system has grown to the size of the machine's disk.
# Three sizes have to meet: the disk is what was asked for, the partition goes to its end, the file system fills that.
# shellcheck disable=SC2046
set -- $(findmnt -n -r -o MAJ:MIN,SOURCE /)
number=$1 name=$2
name=${name%%\[*}
node=/sys/dev/block/$number
[ -d "$node" ] || node=/sys/class/block/$(basename "$(readlink -f "$name")") # btrfs has a device number of its own
if [ ! -d "$node" ]; then
    echo "the root file system is on $name, which is no disk"
    exit 77
fi
read -r room <"$node/size" # sectors of 512 bytes, whatever the disk's are
# LVM, LUKS: down to the partition they are on.
part=$(readlink -f "$node")
while [ -d "$part/slaves" ] && set -- "$part"/slaves/* && [ -e "$1" ]; do
    part=$(readlink -f "$1")
done
if [ -e "$part/partition" ]; then
    read -r start <"$part/start"
    read -r length <"$part/size"
    disk=${part%/*}
else
    disk=$part start=0
    read -r length <"$part/size"
fi
read -r whole <"$disk/size"
mib() { echo "$(($1 / 1048576)) MiB"; }

bytes=$((whole * 512))
end=$(((start + length) * 512))
room=$((room * 512))
# What statfs says leaves out ext4's own tables, several percent; the superblock has the size.
size=$(LC_ALL=C dumpe2fs -h "$name" 2>/dev/null | sed -n 's/^Block \(count\|size\): *//p' | tr '\n' ' ')
# shellcheck disable=SC2086
set -- $size
if [ $# -eq 2 ]; then
    filled=$(($1 * $2)) least=$((room * 99 / 100))
else
    # shellcheck disable=SC2046
    set -- $(stat -f -c '%b %S' /)
    filled=$(($1 * $2)) least=$((room * 94 / 100))
fi
echo "disk ${disk##*/}: $(mib $bytes); partition ${part##*/} ends at $(mib $end); file system: $(mib $filled) of $(mib $room)"
asked=${FACTORY_DISK_BYTES:-0}
if [ "$asked" -gt 0 ] && { [ $bytes -lt $((asked * 98 / 100)) ] || [ $bytes -gt $((asked * 102 / 100)) ]; }; then
    echo "the disk has $(mib $bytes), and $(mib "$asked") were asked for"
    exit 1
fi
# A backup partition table and alignment take a MiB or two.
if [ $((bytes - end)) -gt $((16 * 1048576)) ]; then
    echo "the root partition has not grown: $(mib $((bytes - end))) of the disk's $(mib $bytes) lie unused behind it"
    exit 1
fi
if [ $filled -lt $least ]; then
    echo "the root file system has not grown: $(mib $filled) of $(mib $room)"
    exit 1
fi
echo "the root file system fills the disk: $(mib $filled)"
