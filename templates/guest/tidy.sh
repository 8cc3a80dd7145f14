#!/bin/sh
# Removes from a builder what must not be in an image. Runs as root, in the factory's own SSH session, as the last thing
# before the machine is powered off. Debian, Ubuntu and the Red Hat family.
#
# The factory writes two lines and tidy-places.sh above this text:
#   PARTS      the parts that are on, separated by blanks
#   BUILD_KEY  base64 of the public key that the factory logs in with
#
# Every part prints one line. A part that fails ends the script with a line that names it; what is absent is done.
# A process costs 20 ms and more on an emulated processor, so the shell does itself what it can do.
set +e
umask 022
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin

# Is this part on? Begins its report; `end` prints it. A function leaves what there is to say in $said.
on() {
    current=$1
    said='done'
    case " $PARTS " in
        *" $1 "*) return 0 ;;
        *) return 1 ;;
    esac
}

# Ends a part, given its exit code. Complaints are on stderr already.
end() {
    if [ "$1" -ne 0 ]; then
        echo "tidy: $current failed" >&2
        exit 1
    fi
    echo "$current: $said"
}

# Calls $1 with those of the other arguments that exist, if any does. A name that a pattern found may be any name.
there() {
    act=$1
    shift
    left=$#
    while [ "$left" -gt 0 ]; do
        if [ -e "$1" ] || [ -h "$1" ]; then set -- "$@" "$1"; fi
        shift
        left=$((left - 1))
    done
    [ $# -eq 0 ] || "$act" "$@"
}

# shellcheck disable=SC2317 # `there` calls it
removed() {
    rm -rf -- "$@"
}

# Directories stay: some have an owner of their own.
# shellcheck disable=SC2317
without_files() {
    find "$@" -type f -delete
}

# Does file $2 contain text $1?
has() {
    [ -f "$2" ] && [ -r "$2" ] || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in *"$1"*) return 0 ;; esac
    done <"$2"
    return 1
}

# The homes of all users, once each. Homes that are not somebody's own (/, /usr/sbin) are none.
homes=
while IFS=: read -r _ _ _ _ _ home _; do
    case $home in
        / | /bin | /dev | /proc | /sbin | /usr/* | /run/* | /nonexistent | *[!A-Za-z0-9._/@+-]*) continue ;;
    esac
    [ -d "$home" ] || continue
    case " $homes " in
        *" $home "*) ;;
        *) homes="$homes $home" ;;
    esac
done </etc/passwd

# --- what the build installed from, and what was typed ------------------------------------------------------------------

packages() {
    # A timer that fires now would download the lists again behind our back. Units that do not exist are no matter.
    systemctl --quiet stop apt-daily.timer apt-daily-upgrade.timer apt-daily.service dnf-makecache.timer \
        dnf-makecache.service dnf5-makecache.timer packagekit.service 2>/dev/null
    there without_files /var/lib/apt/lists /var/lib/apt/periodic /var/cache/apt /var/cache/dnf /var/cache/yum /var/cache/libdnf5 \
        /var/cache/zypp /var/cache/PackageKit || return 1
    # Of Berkeley DB, which makes them anew; and who counts machines would count each once more.
    there removed /var/lib/rpm/__db.* /usr/lib/sysimage/rpm/__db.* /var/lib/dnf/repos/*/countme || return 1
    # By this date Ansible tells how old the lists are, and would leave them alone though there are none.
    [ ! -d /var/lib/apt/lists ] || touch -d @0 /var/lib/apt/lists
}

histories() {
    set --
    for home in $homes; do
        for name in .bash_history .zsh_history .zhistory .sh_history .ash_history .history .local/share/fish/fish_history \
            .python_history .lesshst .viminfo .wget-hsts .mysql_history .mariadb_history .psql_history .sqlite_history \
            .rediscli_history .node_repl_history .irb_history .sudo_as_admin_successful; do
            if [ -e "$home/$name" ] || [ -h "$home/$name" ]; then
                set -- "$@" "$home/$name"
            fi
        done
    done
    said="$# removed"
    [ $# -eq 0 ] || rm -rf -- "$@" || return 1
    people && account_backups
}

leases() {
    resolver /etc/resolv.conf && resolver /etc/resolvconf/resolv.conf.d/original || return 1
    # A DHCP server does not start without its file.
    for file in /var/lib/dhcpd/* /var/lib/dhcp/dhcpd*.leases /var/lib/dhcp/dhcpd*.leases~; do
        [ ! -f "$file" ] || : >"$file" || return 1
    done
    # Who this machine was on its network. With the DUIDs and the secret_key, clones of it would be one DHCP client.
    there removed /var/lib/dhcp/dhclient* /var/lib/dhcp6/* /var/lib/dhclient/* /var/lib/dhcpcd/* /var/lib/dhcpcd5/* \
        /var/db/dhcpcd/* /etc/dhcpcd.duid /etc/dhcpcd.secret /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/timestamps \
        /var/lib/NetworkManager/seen-bssids /var/lib/NetworkManager/secret_key /var/lib/NetworkManager/dhclient* \
        /var/lib/wicked/*.xml /var/lib/systemd/network/*
}

# Name servers in file $1 that this machine was told of. A link is somebody's who writes it at every boot.
resolver() {
    if [ -h "$1" ] || [ ! -f "$1" ]; then
        return 0
    fi
    for mark in 'Generated by NetworkManager' 'reated by cloud-init' 'enerated by dhcpcd'; do
        if has "$mark" "$1"; then
            : >"$1"
            return
        fi
    done
    # dhclient signs nothing: it is its work if all that is named there is in its leases.
    servers=
    while read -r key value _; do
        [ "$key" != nameserver ] || servers="$servers $value"
    done <"$1"
    [ -n "$servers" ] || return 0
    for server in $servers; do
        leased "$server" || return 0
    done
    : >"$1"
}

# Did a lease name server $1?
leased() {
    for file in /var/lib/dhcp/dhclient*.leases /var/lib/dhclient/*; do
        [ -r "$file" ] || continue
        while read -r _ key value; do
            case $key in domain-name-servers | dhcp6.name-servers) ;; *) continue ;; esac
            case ",${value%;}," in *",$1,"*) return 0 ;; esac
        done <"$file"
    done
    return 1
}

temp() {
    mounted_below /tmp /var/tmp
    if [ -n "$mounted" ]; then
        around_mounts || return 1
    else
        # systemd-private-*: /tmp of services that run; they go with their service, and what is left of them at boot.
        # FACTORY_KEEP: where the session that runs this has files of its own, if it has.
        find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' ! -name snap-private-tmp \
            ! -path "${FACTORY_KEEP:-/dev/null}" -exec rm -rf -- {} + || return 1
    fi
    set --
    for home in $homes; do
        for room in .ansible/tmp .ansible/cp .ansible_async .cache/pip; do
            [ -d "$home/$room" ] || continue
            mounted_below "$home/$room"
            if [ -z "$mounted" ]; then
                set -- "$@" "$home/$room"
            else
                said="$said; something is mounted in $home/$room, and it is left as it is"
            fi
        done
    done
    [ $# -eq 0 ] || rm -rf -- "$@" || return 1
    for home in $homes; do
        [ ! -d "$home/.ansible" ] || rmdir -- "$home/.ansible" 2>/dev/null
    done
    return 0
}

# Mount points at or below the given directories, but for /tmp and /var/tmp themselves, into $mounted: one a line, blanks as \040.
# The shell compares, for a file system that is bound elsewhere is no other one to `find -xdev`.
mounted_below() {
    mounted=
    while read -r _ _ _ _ point _; do
        for dir; do
            case $point in
                /tmp | /var/tmp) ;;
                "$dir" | "$dir"/*)
                    mounted="$mounted$point
"
                    ;;
            esac
        done
    done </proc/self/mountinfo
}

# Empties /tmp and /var/tmp around $mounted: what is mounted there belongs to no image, and may be of use to others.
around_mounts() {
    set -- -path '/tmp/systemd-private-*' -o -path '/var/tmp/systemd-private-*' -o -path /tmp/snap-private-tmp \
        -o -path "${FACTORY_KEEP:-/dev/null}"
    said='done; left as it is, because it is mounted:'
    while IFS= read -r point; do
        [ -n "$point" ] || continue
        point=$(printf %b "$(printf %s "$point" | sed 's/\\\([0-7]\{3\}\)/\\0\1/g')")
        said="$said $point"
        set -- "$@" -o -path "$(printf %s "$point" | sed 's/[][*?\\]/\\&/g')"
    done <<END
$mounted
END
    find /tmp /var/tmp -xdev -mindepth 1 \( "$@" \) -prune -o ! -type d -exec rm -f -- {} + || return 1
    # Those within first.
    find /tmp /var/tmp -xdev -mindepth 1 \( "$@" \) -prune -o -type d -print0 | sort -rz |
        xargs -0 -r rmdir --ignore-fail-on-non-empty --
}

random_seed() {
    # They write a new seed when they stop. They would at shutdown, so they stop now.
    systemctl --quiet stop systemd-random-seed.service systemd-boot-random-seed.service 2>/dev/null
    rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/urandom/random-seed /var/lib/random-seed \
        /boot/efi/loader/random-seed /efi/loader/random-seed /boot/loader/random-seed
}

# --- who this machine was -------------------------------------------------------------------------------------------------

host_keys() {
    there removed /etc/ssh/ssh_host_*
}

cloud_init() {
    if [ ! -d /var/lib/cloud ]; then
        said='not installed'
        return 0
    fi
    builder_name
    # By hand what `cloud-init clean --logs --seed` does in seconds of Python, and without what it does too much: it takes
    # scripts/per-boot and its like, where a bundle may have put something.
    #
    # 90-cloud-init-users is written again for the default user of every instance, and only then wanted. The session that
    # runs this is root already.
    network_config || return 1
    # Ubuntu's installer wrote down the user data of its own machine, a password's hash in it, and that no cloud is asked.
    if has 'userdata_raw:' /etc/cloud/cloud.cfg.d/99-installer.cfg; then
        rm -f /etc/cloud/cloud.cfg.d/99-installer.cfg || return 1
    fi
    rm -rf /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data /var/lib/cloud/sem /var/lib/cloud/handlers \
        /var/lib/cloud/seed /var/log/cloud-init.log /var/log/cloud-init-output.log /etc/sudoers.d/90-cloud-init-users \
        || return 1
    for hook in /etc/cloud/clean.d/*; do
        if [ -f "$hook" ] && [ -x "$hook" ] && ! "$hook"; then
            echo "$hook failed" >&2
            return 1
        fi
    done
    # Disks which this machine had and others will not have.
    if has 'comment=cloudconfig' /etc/fstab; then
        sed -i '/comment=cloudconfig/d' /etc/fstab || return 1
    fi
    forget_name
}

# The name that the cloud gave this machine, without its domain, into $builder.
builder_name() {
    builder=
    [ -r /run/cloud-init/instance-data.json ] || return 0
    while IFS= read -r line; do
        case $line in
            *'"local_hostname": "'*)
                builder=${line#*: \"}
                builder=${builder%%[\".]*}
                break
                ;;
        esac
    done </run/cloud-init/instance-data.json
    case $builder in *[!A-Za-z0-9-]*) builder= ;; esac
}

# A name that the bundle gave is left alone.
forget_name() {
    [ -n "$builder" ] || return 0
    # "localhost" is what systemd and cloud-init take for no name at all.
    if has "$builder" /etc/hostname; then
        echo localhost >/etc/hostname || return 1
    fi
    # What is said of a machine's name to a DHCP server, and set at boot. The same names stand quoted, too.
    name="[[:space:]]*[\"']\{0,1\}$builder\([.][^\"']*\)\{0,1\}[\"']\{0,1\}"
    for file in /etc/sysconfig/network /etc/sysconfig/network-scripts/ifcfg-* /etc/sysconfig/network/ifcfg-* \
        /etc/NetworkManager/system-connections/* /etc/dhcp/dhclient*.conf /etc/dhclient*.conf; do
        has "$builder" "$file" || continue
        # Whatever the key is called: a value that is the builder's name is right on no other machine.
        sed -i -e "/^[[:space:]]*[A-Za-z0-9_.-]*[[:space:]]*=${name}[[:space:]]*\$/d" \
            -e "/^[[:space:]]*[a-z]*[[:space:]][[:space:]]*[a-z0-9.-]*[[:space:]]*=\{0,1\}${name}[[:space:]]*;[[:space:]]*\(#.*\)\{0,1\}\$/d" \
            -e "/^[[:space:]]*#.*$builder/d" "$file" || return 1
    done
    if has "$builder" /etc/hosts; then
        # Twice, for neighbours share a blank. Then lines with nothing but an address.
        word="s/[[:space:]]$builder\(\.[^[:space:]]*\)\{0,1\}\([[:space:]]\|\$\)/\2/g"
        sed -i -e "$word" -e "$word" -e '/^[0-9a-fA-F][0-9a-fA-F.:]*[[:space:]]*$/d' /etc/hosts || return 1
    fi
    # What mail servers wrote down when they were installed. Postfix asks the machine for its name where none is written.
    for file in /etc/mailname /etc/postfix/main.cf /etc/exim4/update-exim4.conf.conf; do
        has "$builder" "$file" || continue
        sed -i -e "/^myhostname[[:space:]]*=[[:space:]]*$builder/d" \
            -e "s/$builder\(\.[A-Za-z0-9.-]*\)\{0,1\}/localhost/g" "$file" || return 1
    done
}

# Network configuration is written per instance, for the builder's MAC address. It is rewritten at the first boot of another,
# unless that one finds no data source: then it would sit there without a network, which is worse than the default.
network_config() {
    if grep -qsE '^[^#]*config: *["'\'']?disabled' /etc/cloud/cloud.cfg /etc/cloud/cloud.cfg.d/*.cfg; then
        # Whoever forbids cloud-init to write it owns the files, whatever they are called.
        said='done; network configuration kept, for cloud-init may not write it'
        return 0
    fi
    there removed /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init* \
        /etc/systemd/network/10-cloud-init-*.network /etc/systemd/network/50-cloud-init-*.link \
        /etc/NetworkManager/system-connections/cloud-init-*.nmconnection /etc/NetworkManager/conf.d/*-cloud-init*.conf \
        /etc/udev/rules.d/85-persistent-net-cloud-init.rules || return 1
    for file in /etc/sysconfig/network-scripts/ifcfg-* /etc/sysconfig/network/ifcfg-*; do
        if has 'reated by cloud-init' "$file"; then
            rm -f -- "$file" || return 1
        fi
    done
}

# Only our line, from every file in which sshd may look for it.
build_key() {
    lines=0
    for home in $homes; do
        for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
            without_key "$file" || return 1
        done
    done
    for file in /etc/ssh/authorized_keys /etc/ssh/authorized_keys/* /etc/ssh/authorized_keys.d/*; do
        without_key "$file" || return 1
    done
    set --
    for home in $homes; do
        [ ! -d "$home/.ssh" ] || set -- "$@" "$home/.ssh"
    done
    # Those that cloud-init made for our key alone are empty now; the others do not go.
    [ $# -eq 0 ] || rmdir -- "$@" 2>/dev/null
    said="removed $lines times"
}

without_key() {
    has "$BUILD_KEY" "$1" || return 0
    kept=
    text=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            *"$BUILD_KEY"*)
                lines=$((lines + 1))
                continue
                ;;
            *[![:space:]]*) text=yes ;;
        esac
        kept="$kept$line
"
    done <"$1"
    if [ -z "$text" ]; then
        rm -f -- "$1"
    else
        # Into the same file: its owner and mode stay.
        printf %s "$kept" >"$1"
    fi
}

machine_id() {
    id=
    [ ! -r /etc/machine-id ] || read -r id </etc/machine-id
    is_id "$id" || id=
    boot_entries "$id" || return 1
    # Empty, never absent: an absent one makes the next boot a "first boot", where systemd-firstboot asks on the console
    # and waits for ever.
    : >/etc/machine-id || return 1
    if [ -f /var/lib/dbus/machine-id ] && [ ! -h /var/lib/dbus/machine-id ]; then
        rm -f /var/lib/dbus/machine-id
    fi
}

# --- last: what is written all the time ----------------------------------------------------------------------------------

logs() {
    # They have a last word at shutdown; they say it now. auditd lets nobody but a signal stop it. (wtmp does get the record of
    # the shutdown itself: systemd writes it whatever one stops.)
    systemctl --quiet stop syslog.socket rsyslog.service syslog-ng.service sysstat.service 2>/dev/null
    if [ -r /run/auditd.pid ] && read -r pid </run/auditd.pid; then
        kill -TERM "$pid" 2>/dev/null
    fi
    # From here on the journal is in /run, what shutdown says included. Older systemd has no such request.
    if [ -d /var/log/journal ] && ! journalctl --relinquish-var 2>/dev/null; then
        mkdir -p /run/systemd/journald.conf.d &&
            printf '[Journal]\nStorage=volatile\n' >/run/systemd/journald.conf.d/factory-tidy.conf &&
            systemctl restart systemd-journald.service || return 1
    fi
    there removed /var/log/journal/* /var/log/sa/* /var/log/sysstat/* /var/lib/systemd/coredump/* /var/crash/* /var/spool/abrt/* \
        /var/lib/wtmpdb/wtmp.db /var/lib/lastlog/lastlog2.db || return 1
    spools || return 1
    # Rotated ones go. The others become empty and stay: some daemons can open their log but could not make it.
    find /var/log -type f \( \( -name '*.gz' -o -name '*.xz' -o -name '*.bz2' -o -name '*.zst' -o -name '*.old' -o -name '*.[0-9]' \
        -o -name '*.[0-9][0-9]' -o -name '*-20[0-9][0-9][0-9][0-9][0-9][0-9]' \) -delete \
        -o -size +0 -exec truncate -s 0 -- {} + \)
}

trim() {
    # Freed blocks go back to whoever keeps the disk: the image gets smaller. Not every disk can do that.
    if ! said=$(fstrim -av 2>&1); then
        said="warning: ${said:-fstrim failed}"
    fi
    # One line, though there may be several file systems.
    said=$(printf '%s' "${said:-no disk takes it}" | tr '\n' ';')
}

# What the factory itself made faster on a builder, whatever parts are on.
rm -f /etc/dpkg/dpkg.cfg.d/image-factory-builder /etc/apt/apt.conf.d/image-factory-builder || exit 1

# The key and the default user's rights go late: until then, whoever looks into a failure can still log in.
on packages && { packages; end $?; }
on histories && { histories; end $?; }
on leases && { leases; end $?; }
on temp && { temp; end $?; }
on random-seed && { random_seed; end $?; }
on hardware && { hardware; end $?; }
on subscription && { subscription; end $?; }
on agents && { agents; end $?; }
on schedules && { schedules; end $?; }
on host-keys && { host_keys; end $?; }
on machine-id && { machine_id; end $?; }
on cloud-init && { cloud_init; end $?; }
case " $PARTS " in *" hardware "*) bound ;; esac
on build-key && { build_key; end $?; }
on user-ssh && { user_ssh; end $?; }
on logs && { logs; end $?; }
# Whatever parts are on: a builder's dpkg does not sync, and a cloud may cut the power of a machine
# that stops slowly.
sync || { echo "tidy: sync failed" >&2; exit 1; }
on trim && { trim; end $?; }
:
