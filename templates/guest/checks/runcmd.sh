#!/bin/sh
# check: runcmd
# what: cloud-init runs what user data says
# default: all
# as: user
# order: 20
#
# cloud-init has run what user data says (see cloud_init.rs, which says it).
if [ ! -d /run/cloud-init ]; then
    echo "cloud-init has not run here"
    exit 77
fi
if [ ! -e /run/image-factory-runcmd ]; then
    echo "the command of user data was not run"
    exit 1
fi
echo "the command of user data was run"
