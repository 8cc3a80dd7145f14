#!/bin/sh
# check: metadata
# what: config drive or metadata service is reached
# default: all
# as: root
# order: 30
#
# The machine is told who it is: by its config drive, by the metadata service, or by both.
found=''
drive=$(blkid -t LABEL=config-2 -o device 2>/dev/null | head -n 1)
[ -n "$drive" ] || drive=$(blkid -t LABEL=CONFIG-2 -o device 2>/dev/null | head -n 1)
if [ -n "$drive" ]; then
    dir=$(mktemp -d)
    if mount -o ro "$drive" "$dir"; then
        data=$(cat "$dir/openstack/latest/meta_data.json")
        umount "$dir"
        case $data in *'"uuid"'*) found="config drive $drive" ;; *) echo "$drive has no meta_data.json with an ID" ;; esac
    fi
    rmdir "$dir"
else
    echo "no config drive"
fi
# Clouds that give a drive may have no service, and a network that swallows the question.
limit=20
[ -z "$found" ] || limit=3
url=http://169.254.169.254/openstack/latest/meta_data.json
if command -v curl >/dev/null; then
    data=$(curl -s -m "$limit" "$url")
elif command -v wget >/dev/null; then
    data=$(wget -q -T "$limit" -t 1 -O - "$url")
else
    data=$(python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read().decode())' "$url" "$limit" 2>/dev/null)
fi
case $data in
    *'"uuid"'*) found="${found:+$found and }metadata service" ;;
    *) echo "no answer from $url" ;;
esac
if [ -z "$found" ]; then
    echo "neither config drive nor metadata service is reached"
    exit 1
fi
echo "reached: $found"
