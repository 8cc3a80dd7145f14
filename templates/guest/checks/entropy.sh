#!/bin/sh
# check: entropy
# what: random numbers come at once
# default: all
# as: user
# order: 110
#
# Random numbers come at once. Since Linux 5.6 the kernel waits once after boot for its generator to be seeded; on a machine without
# a source of its own (virtio-rng, RDRAND) keys and TLS hang until then.
# `read` takes one byte at a time, and this file gives nothing after the first.
bits=$(cat /proc/sys/kernel/random/entropy_avail)
if [ -r /sys/class/misc/hw_random/rng_current ]; then
    source=$(cat /sys/class/misc/hw_random/rng_current)
fi
echo "$bits bits; hardware source: ${source:-none}"
if ! timeout 20 dd if=/dev/random of=/dev/null bs=64 count=1 2>/dev/null; then
    echo "/dev/random gave nothing for 20 s ($bits bits, hardware source ${source:-none})"
    exit 1
fi
if [ "$bits" -lt 128 ]; then
    echo "only $bits bits of entropy are there; give the image hw_rng_model=virtio and the flavor hw_rng:allowed"
    exit 1
fi
echo "$bits bits, hardware source ${source:-none}"
