#!/bin/sh
# Runs as root on a builder, before its first step: from here on nobody but the steps installs anything.
#
# LIMIT  seconds that the package manager is waited for
#
# Stopped is not disabled: in the image the timers are as they were.
set +e
export LC_ALL=C
if command -v systemctl >/dev/null; then
    systemctl --quiet stop apt-daily.timer apt-daily-upgrade.timer dnf-makecache.timer dnf-automatic.timer \
        dnf-automatic-install.timer packagekit.service 2>/dev/null
fi

# Who holds a lock of apt or dpkg, or is about to, into $holder: a PID, or a unit. These are locks of fcntl, which flock(1) does not see; the kernel lists them by
# inode.
held() {
    holder=
    # Of one process: each costs an emulated machine a tenth of a second.
    inodes=$(stat -c :%i /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock 2>/dev/null)
    while read -r _ kind _ _ pid place _; do
        case $kind in POSIX | OFDLCK) ;; *) continue ;; esac
        for inode in $inodes; do
            case $place in *"$inode")
                holder=$pid
                return 0
                ;;
            esac
        done
    done </proc/locks
    # Between its start and its lock it waits for the network.
    if [ -d /var/lib/apt ] && command -v systemctl >/dev/null; then
        for state in $(systemctl is-active apt-daily.service apt-daily-upgrade.service 2>/dev/null); do
            case $state in activating | deactivating)
                holder="apt's daily service"
                return 0
                ;;
            esac
        done
    fi
    return 1
}

name() {
    case $1 in *[!0-9]*)
        echo "$1"
        return
        ;;
    esac
    { [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline"; } || echo "process $1"
}

begin=$(date +%s)
who=
while held; do
    # A name, said when it is over: the one that began it.
    who=${who:-$(name "$holder")}
    waited=$(($(date +%s) - begin))
    if [ "$waited" -ge "$LIMIT" ]; then
        echo "held $waited $who"
        exit 0
    fi
    sleep 2
done
[ -z "$who" ] || echo "waited $(($(date +%s) - begin)) $who"
exit 0
