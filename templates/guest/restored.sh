#!/bin/sh
# Run as root on a machine that was restored from a checkpoint. Gives it the time, fresh randomness and the keys of this run in
# place of those of the run that made the checkpoint, and ends the sessions of that run.
# NOW: seconds since 1970. SEED: hexadecimal. OLD_LOGIN, LOGIN, OLD_HOST, HOST: public keys as "TYPE BASE64". COMMENT: of LOGIN.
# HOST_PRIVATE: the new host key.
set +e
fail() {
    echo "$1" >&2
    exit 1
}

date -s "@$NOW" >/dev/null || fail 'cannot set the clock'

# Mixed in at once, and by the question also used at once. Perl starts several times faster than Python.
printf %s "$SEED" >/dev/urandom
if perl=$(command -v perl); then
    # shellcheck disable=SC2016 # it is Perl's
    "$perl" -e 'open my $f, ">", "/dev/urandom"; ioctl $f, 0x5207, 0' 2>/dev/null
elif python=$(command -v python3); then
    "$python" -I -S -c 'import fcntl; fcntl.ioctl(open("/dev/urandom", "wb"), 0x5207)' 2>/dev/null
else
    fail 'without perl and python3 it gets no fresh randomness'
fi

# sshd reads its configuration again with the new key. What was written since it did would be in force, and is not in the machine that
# is booted and takes the same steps.
for file in /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*; do
    # shellcheck disable=SC3013 # dash, bash and busybox have it
    [ ! "$file" -nt /run/sshd.pid ] || [ ! -e /run/sshd.pid ] || fail "sshd has not read $file so far"
done

# The processes above this script are this session's.
mine=" $$ "
pid=$$
while [ "$pid" -gt 1 ]; do
    read -r stat <"/proc/$pid/stat" || break
    stat=${stat##*) }
    stat=${stat#* }
    pid=${stat%% *}
    mine="$mine$pid "
done
for line in /proc/[0-9]*/cmdline; do
    pid=${line#/proc/}
    pid=${pid%/cmdline}
    case $mine in *" $pid "*) continue ;; esac
    # By the title that sshd gives a process of a session; the listener has another. No other program is run for it: in an emulated
    # machine that takes seconds for all processes. The title has no newline, so that `read` is not content.
    title=
    { read -r title <"$line"; } 2>/dev/null
    case $title in
        *'[listener]'*) ;;
        'sshd: '* | 'sshd-session: '*) kill "$pid" 2>/dev/null ;;
    esac
done

key=/etc/ssh/ssh_host_ed25519_key
# cloud-init ends the file without a newline.
type=
blob=
read -r type blob _ <"$key.pub"
[ "$type $blob" = "$OLD_HOST" ] || fail "$key is not the key that the machine was booted with"
umask 077
if ! printf '%s\n' "$HOST_PRIVATE" >"$key.new" || ! printf '%s\n' "$HOST" >"$key.pub" || ! chmod 644 "$key.pub" ||
    ! mv "$key.new" "$key"; then
    fail "cannot write $key"
fi

replaced=0
# "TYPE BASE64" has no character that means something to sed, and none that ends the expression.
replace() {
    if [ -f "$1" ] && grep -qF "$OLD_LOGIN" "$1"; then
        # Into the same file: its owner and mode stay.
        text=$(sed "s|${OLD_LOGIN}[^,]*\$|$LOGIN $COMMENT|" "$1")
        printf '%s\n' "$text" >"$1" || fail "cannot write $1"
        replaced=$((replaced + 1))
    fi
}
# Where tidy.sh looks for it.
for home in $(getent passwd | cut -d: -f6 | sort -u); do
    for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
        replace "$file"
    done
done
for file in /etc/ssh/authorized_keys /etc/ssh/authorized_keys/* /etc/ssh/authorized_keys.d/*; do
    replace "$file"
done
[ "$replaced" -gt 0 ] || fail 'the login key of the checkpoint is in no authorized_keys'

if [ -r /run/sshd.pid ] && read -r pid </run/sshd.pid; then
    kill -HUP "$pid"
else
    systemctl reload-or-restart ssh.service 2>/dev/null || systemctl reload-or-restart sshd.service
fi || fail 'sshd does not read its new key'
