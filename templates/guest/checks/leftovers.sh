#!/bin/sh
# check: leftovers
# what: nothing of the builder is left in the image
# default: all
# as: root
# order: 150
# last
#
# Nothing of the builder is left in the image. Looks, and changes nothing.
#
# FACTORY_BUILD_KEY    the build key, as it stands in authorized_keys or its base64 alone
# FACTORY_RUN_BUILDER  the names that the builder has had
# FACTORY_BUILDER_ID   the builder's machine-id
# FACTORY_TIDY         the parts of tidy that were on; unset: all
count=0
first=
left() {
    count=$((count + 1))
    first=${first:-$1}
    echo "left: $1"
}
on() {
    case " ${FACTORY_TIDY-$1} " in
        *" $1 "*) return 0 ;;
        *) return 1 ;;
    esac
}
# Text $1 in file $2?
has() {
    [ -f "$2" ] && [ -r "$2" ] || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in *"$1"*) return 0 ;; esac
    done <"$2"
    return 1
}
# Files below the given directories that were there before this machine first booted, with something in them. The inode's change
# time is asked: apt gives its lists the dates of the mirror.
older() {
    dirs=
    for dir; do
        [ ! -e "$dir" ] || dirs="$dirs $dir"
    done
    # shellcheck disable=SC2086
    [ -z "$dirs" ] || find $dirs -xdev -type f -size +0 ! -newerct "@$born" 2>/dev/null
}
each() {
    while IFS= read -r file; do
        [ -z "$file" ] || left "$1 $file"
    done <<END
$2
END
}

# When this machine came into being, by its own clock. This boot: written before the root file system is, so before all that
# the machine itself has put there. If it has booted again since, what is known is the birth of its cloud-init instance,
# which comes some seconds into the first boot.
present=$(readlink /var/lib/cloud/instance)
birth=$(stat -L -c %W /var/lib/cloud/instance 2>/dev/null || echo 0)
born=$(stat -c %Y /run/cloud-init/.ds-identify.result 2>/dev/null || sed -n 's/^btime //p' /proc/stat)
again=
if [ "$birth" -gt 0 ] && [ "$birth" -lt "$born" ]; then
    born=$birth
    again=yes
fi

key=${FACTORY_BUILD_KEY#ssh-* }
key=${key%% *}
homes=
while IFS=: read -r _ _ _ _ _ home _; do
    [ -d "$home" ] && [ "$home" != / ] && case " $homes " in *" $home "*) ;; *) homes="$homes $home" ;; esac
done </etc/passwd
for home in $homes; do
    if [ -n "$key" ] && on build-key; then
        for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
            has "$key" "$file" && left "the build key in $file"
        done
    fi
    on histories || continue
    for name in .bash_history .zsh_history .sh_history .ash_history .python_history .lesshst .viminfo .mysql_history \
        .psql_history .sqlite_history .local/share/fish/fish_history; do
        [ -s "$home/$name" ] && left "history $home/$name"
    done
done
if [ -n "$key" ] && on build-key; then
    for file in /etc/ssh/authorized_keys /etc/ssh/authorized_keys/* /etc/ssh/authorized_keys.d/*; do
        has "$key" "$file" && left "the build key in $file"
    done
fi

# The builder's alone: dpkg without its syncs.
for file in /etc/dpkg/dpkg.cfg.d/image-factory-builder /etc/apt/apt.conf.d/image-factory-builder; do
    [ ! -e "$file" ] || left "$file"
done

if on cloud-init; then
    for name in $FACTORY_RUN_BUILDER; do
        for file in /etc/hostname /etc/hosts /etc/mailname /etc/postfix/main.cf /etc/exim4/update-exim4.conf.conf \
            /etc/sysconfig/network /etc/sysconfig/network-scripts/ifcfg-* /etc/sysconfig/network/ifcfg-* \
            /etc/NetworkManager/system-connections/* /etc/dhcp/dhclient*.conf /etc/dhclient*.conf; do
            has "$name" "$file" && left "the builder's name in $file"
        done
    done
    for dir in /var/lib/cloud/instances/*; do
        [ -d "$dir" ] && [ "${dir##*/}" != "${present##*/}" ] && left "cloud-init instance $dir"
    done
fi

# Boot entries, what installs kernels, agents: wherever an ID is kept, it is the present machine's.
if on machine-id && [ ${#FACTORY_BUILDER_ID} -eq 32 ]; then
    each "the builder's machine-id in the name of" "$(find /boot /efi -name "*$FACTORY_BUILDER_ID*" 2>/dev/null)"
    each "the builder's machine-id in" "$(grep -rlsF "$FACTORY_BUILDER_ID" /etc /boot/loader /boot/efi/loader /efi/loader \
        /boot/grub2/grubenv /boot/grub/grubenv /boot/grub2/grub.cfg /boot/grub/grub.cfg /boot/efi/EFI/*/grubenv \
        /boot/efi/EFI/*/grub.cfg 2>/dev/null)"
fi
if on hardware; then
    each "a list of disks" "$(older /etc/lvm/devices /etc/multipath/bindings /etc/multipath/wwids /etc/blkid.tab)"
    each "rules for network cards" "$(older /etc/udev/rules.d/70-persistent-net.rules)"
    each "a name of this machine's" "$(older /etc/nvme/hostnqn /etc/nvme/hostid)"
    ! has InitiatorName= /etc/iscsi/initiatorname.iscsi ||
        each "a name of this machine's" "$(older /etc/iscsi/initiatorname.iscsi)"
fi
if on subscription; then
    each "a subscription" "$(older /etc/pki/consumer /etc/pki/entitlement /var/lib/rhsm/facts /etc/sysconfig/rhn/systemid /var/lib/yum/uuid \
        /etc/insights-client/machine-id /var/lib/ubuntu-advantage/private/machine-token.json \
        /etc/apt/auth.conf.d/90ubuntu-advantage /etc/zypp/credentials.d/SCCcredentials)"
fi
if on agents; then
    each "a key of an agent" "$(older /etc/puppetlabs/puppet/ssl /var/lib/puppet/ssl /etc/salt/pki/minion/minion.pem /etc/salt/minion_id \
        /etc/chef/client.pem /etc/cinc/client.pem /etc/krb5.keytab /var/lib/samba/private/secrets.tdb /etc/docker/key.json \
        /var/lib/docker/engine-id /var/lib/tailscale/tailscaled.state /var/lib/zerotier-one/identity.secret /var/lib/teleport/host_uuid \
        /var/lib/mysql/auto.cnf /etc/Pegasus/*.pem /etc/Pegasus/*.cnf /etc/Pegasus/*.crt /etc/Pegasus/*.csr /etc/Pegasus/*.srl)"
fi
if on histories; then
    each "a record of people" "$(older /var/lib/fprint /var/lib/AccountsService/users /var/lib/AccountsService/icons /var/cache/gdm)"
fi
if on schedules; then
    each "a job" "$(older /var/spool/cron /var/spool/at)"
fi

if on host-keys; then
    each "host key" "$(older /etc/ssh/ssh_host_*_key)"
fi
if on packages; then
    each "package cache" "$(older /var/lib/apt/lists /var/cache/apt/archives /var/cache/dnf /var/cache/yum /var/cache/libdnf5)"
fi
if on leases; then
    each "lease" "$(older /var/lib/dhcp /var/lib/dhclient /var/lib/dhcpcd /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key \
        /var/lib/systemd/network)"
fi
if on temp; then
    each "temporary file" "$(older /tmp /var/tmp)"
fi
if on random-seed && [ -z "$again" ]; then
    # Every boot writes into the file that is there; its birth tells whether it came with the image. 0: the file system does
    # not know.
    seed=$(stat -c %W /var/lib/systemd/random-seed 2>/dev/null || echo 0)
    [ "$seed" -gt 0 ] && [ "$seed" -lt "$born" ] && left "random seed /var/lib/systemd/random-seed"
fi
if on logs; then
    each "mail" "$(older /var/mail/ /var/spool/mail/)"
    each "a file of the installer" "$(older /root/anaconda-* /root/initial-setup-ks.cfg /root/original-ks.cfg /root/ks-post.log \
        /root/ks-pre.log /root/install.log* /root/upgrade.log* /root/autoinst.xml /root/curtin-install.log \
        /root/curtin-install-cfg.yaml /var/log/installer /var/log/curtin /var/log/anaconda)"
    each "a file of the installer" "$(older /var/adm/autoinstall/)"
    each "log" "$(older /var/named/data /var/named/chroot/var/named/data)"
    # journalctl shows but what is under the present machine ID.
    read -r id </etc/machine-id
    for dir in /var/log/journal/*; do
        case ${dir##*/} in "$id" | "$id".* | '*') ;; *) left "journal of another machine $dir" ;; esac
    done
    [ -n "$again" ] || boots=$(journalctl --list-boots --quiet --no-pager 2>/dev/null | grep -c '^ *-\{0,1\}[0-9]')
    [ "${boots:-1}" -gt 1 ] && left "journal of $boots boots"
    # Time of last change of what is in the file. wtmp has the record of the shutdown, which no one can prevent.
    each "log" "$(find /var/log -path /var/log/journal -prune -o -type f -size +0 ! -name wtmp ! -newermt "@$born" -print 2>/dev/null)"
fi

if [ "$count" -gt 0 ]; then
    echo "$count left over from the build: $first"
    exit 1
fi
echo "nothing of the builder is left"
