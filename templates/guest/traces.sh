#!/bin/sh
# Run as root on a builder that was booted from the disk of another run's builder. cloud-init has given it the keys and the name
# of this run. Removes what it left of the other: its login key, its instance and its name.
# OLD_LOGIN: public key as "TYPE BASE64". OLD_NAME, NAME: hostnames of letters, digits and dashes.
set +e
fail() {
    echo "$1" >&2
    exit 1
}

# Places of authorized_keys as tidy.sh has them.
without_key() {
    [ -f "$1" ] && grep -qF "$OLD_LOGIN" "$1" || return 0
    text=$(grep -vF "$OLD_LOGIN" "$1")
    # Into the same file: its owner and mode stay.
    if [ -n "$text" ]; then printf '%s\n' "$text" >"$1"; else : >"$1"; fi || fail "cannot write $1"
}
for home in $(getent passwd | cut -d: -f6 | sort -u); do
    without_key "$home/.ssh/authorized_keys"
    without_key "$home/.ssh/authorized_keys2"
done
for file in /etc/ssh/authorized_keys /etc/ssh/authorized_keys/* /etc/ssh/authorized_keys.d/*; do
    without_key "$file"
done

# User data of the other run is in its instance, with the host key that it was given.
instance=$(readlink /var/lib/cloud/instance)
if [ -n "$instance" ]; then
    for dir in /var/lib/cloud/instances/*; do
        [ "$dir" = "$instance" ] || rm -rf -- "$dir" || fail "cannot remove $dir"
    done
fi

# What was installed has taken the name of its machine, as it would have taken this one. Links are not followed.
[ "$OLD_NAME" != "$NAME" ] || exit 0
grep -rlIF --devices=skip -e "$OLD_NAME" /etc /var/cache/debconf /var/spool 2>/dev/null | while IFS= read -r file; do
    sed -i "s/$OLD_NAME/$NAME/g" "$file" || exit 1
done || fail "cannot write the name of this machine"
