#!/bin/sh
# Waits for cloud-init's end, and says what went wrong in it.
# What `cloud-init status --wait` would say is read from the files it looks at: a call of it is seconds of Python on a slow
# machine, taken from cloud-init itself. So it is called only where there is something to tell.
command -v cloud-init >/dev/null || exit 0
over='[ -s /run/cloud-init/result.json ] || [ -e /run/cloud-init/disabled ]'
# So is a process for each pause. bash, which nearly every image has, waits without one; the loop below has the last word.
! command -v bash >/dev/null || bash -c "exec 9<> <(:) && until $over; do read -rt 0.5 -u 9; done"
until eval "$over"; do sleep 0.5; done
[ -e /run/cloud-init/result.json ] || exit 0
case $(tr -d ' \n' </run/cloud-init/result.json) in
    *'"errors":[]'*) exit 0 ;;
esac
# 2: done, with what it calls recoverable errors.
cloud-init status --wait --long || [ $? -eq 2 ]
