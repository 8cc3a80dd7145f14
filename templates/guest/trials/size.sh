#!/bin/sh
# The size of this machine, in a few words.
while read -r key value _; do
    [ "$key" != MemTotal: ] || break
done </proc/meminfo
echo "$(nproc) CPUs, $((value / 1024)) MiB of RAM"
