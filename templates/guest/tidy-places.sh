#!/bin/sh
# Where a machine's identity is kept besides the places that everybody knows: of the boot loader, of its disks and network cards, of
# those it was enrolled with. Functions for tidy.sh, before which this text is put; what they use of it (`there`, `has`, `homes`)
# is there when they are called. BUNDLES.md has the list.
#
# shellcheck disable=SC2034,SC2154,SC2317

# Boot entries are named by the ID of the machine that installed the kernel. Under this name they are of no machine, and GRUB and
# systemd-boot put whatever a new machine installs (named by its ID: digits and lower-case letters) before them. 32 characters, as
# the ID has: GRUB's environment block keeps its size.
NOBODY=Factory0000000000000000000000000
BOOTS='/boot /boot/efi /efi'

is_id() {
    case $1 in *[!0-9a-f]*) return 1 ;; esac
    [ ${#1} -eq 32 ]
}

# IDs in names below /boot: `<ID>-5.14.0.conf`, `<ID>/`, `EFI/Linux/<ID>-6.1.efi`, `initramfs-0-rescue-<ID>.img`. Into $ids, with $1,
# this machine's, last: of two entries for one kernel its own stays.
boot_ids() {
    ids=
    for root in $BOOTS; do
        for file in "$root"/* "$root"/.[!.]* "$root"/loader/entries/* "$root"/EFI/Linux/*; do
            name=${file##*/}
            last=${name##*-}
            for id in "${name%%-*}" "${last%%.*}"; do
                is_id "$id" || continue
                case " $ids $1 " in *" $id "*) ;; *) ids="$ids $id" ;; esac
            done
        done
    done
    ids="$ids $1"
}

# $1: this machine's ID, or nothing where it has none.
boot_entries() {
    boot_ids "$1"
    for id in $ids; do
        for root in $BOOTS; do
            for file in "$root"/*"$id"* "$root"/.[!.]*"$id"* "$root"/loader/entries/*"$id"* "$root"/EFI/Linux/*"$id"*; do
                [ -e "$file" ] || continue
                name=${file##*/}
                new=${file%/*}/${name%%"$id"*}$NOBODY${name#*"$id"}
                if [ -d "$file" ] && [ -d "$new" ]; then
                    cp -a "$file/." "$new/" && rm -rf -- "$file" || return 1
                else
                    mv -f -- "$file" "$new" || return 1
                fi
            done
            for file in "$root"/loader/entries/*.conf "$root"/loader/loader.conf "$root"/grub2/grubenv "$root"/grub/grubenv \
                "$root"/EFI/*/grubenv "$root"/grub2/grub.cfg "$root"/grub/grub.cfg "$root"/EFI/*/grub.cfg; do
                forget_text "$id" "$file" || return 1
            done
        done
        forget_text "$id" /etc/kernel/entry-token && forget_text "$id" /etc/kernel/cmdline || return 1
        for file in /etc/kernel/install.conf /etc/machine-info; do
            # An ID is wanted there, or nothing.
            ! has "MACHINE_ID=$id" "$file" || sed -i "/MACHINE_ID=$id/d" "$file" || return 1
        done
    done
}

# Every mention of ID $1 in file $2, which stays the file it was: GRUB finds its block by where it lies.
forget_text() {
    has "$1" "$2" || return 0
    # The line of an entry that says of which machine it is may be left out.
    sed -e "/^machine-id[[:space:]]/d" -e "s/$1/$NOBODY/g" "$2" >/run/factory-tidy-text && cat /run/factory-tidy-text >"$2" &&
        rm -f /run/factory-tidy-text
}

# --- what hardware this machine had --------------------------------------------------------------------------------------

hardware() {
    # A disk that LVM does not find in its list is none to it. Of kdump: the initramfs made for these devices; it is made anew.
    there removed /etc/lvm/devices/system.devices /etc/lvm/devices/backup/* /etc/lvm/cache/.cache /etc/multipath/bindings \
        /etc/multipath/wwids /etc/blkid.tab /etc/blkid.tab.old /etc/blkid/blkid.tab /etc/nvme/hostnqn /etc/nvme/hostid \
        /etc/udev/rules.d/70-persistent-net.rules /etc/udev/rules.d/70-persistent-cd.rules /etc/sysconfig/hw-uuid \
        /etc/smolt/smolt-uuid /boot/initramfs-*kdump.img /var/lib/kdump/initramfs-*kdump.img || return 1
    # Debian's makes a name of its own where it is told to; the others where there is none.
    if has InitiatorName= /etc/iscsi/initiatorname.iscsi; then
        if [ -e /etc/debian_version ]; then
            echo GenerateName=yes >/etc/iscsi/initiatorname.iscsi || return 1
        else
            rm -f /etc/iscsi/initiatorname.iscsi
        fi
    fi
    cards
}

# Addresses of this machine's network cards, where a connection is bound to one.
cards() {
    for card in /sys/class/net/*/address; do
        mac=
        [ ! -r "$card" ] || read -r mac <"$card"
        case $mac in '' | 00:00:00:00:00:00) continue ;; esac
        any=$(printf %s "$mac" | tr abcdef ABCDEF)
        for file in /etc/sysconfig/network-scripts/ifcfg-* /etc/sysconfig/network/ifcfg-* \
            /etc/NetworkManager/system-connections/*; do
            for one in "$mac" "$any"; do
                if has "$one" "$file"; then
                    sed -i -e "/^[[:space:]]*\(HWADDR\|MACADDR\)=.*$one/d" -e "/^mac-address=$one/d" "$file" || return 1
                fi
            done
        done
    done
    return 0
}

# Where else a file names one of this machine's cards. What that means nobody here can know, so it stays, and is told: machines
# of the image have other cards. To be called when cloud-init's own files are gone.
bound() {
    for card in /sys/class/net/*/address; do
        mac=
        [ ! -r "$card" ] || read -r mac <"$card"
        case $mac in '' | 00:00:00:00:00:00) continue ;; esac
        any=$(printf %s "$mac" | tr abcdef ABCDEF)
        for file in /etc/netplan/*.yaml /etc/systemd/network/*.network /etc/systemd/network/*.link /etc/network/interfaces \
            /etc/network/interfaces.d/* /etc/udev/rules.d/*.rules /etc/cloud/cloud.cfg.d/*.cfg; do
            if has "$mac" "$file" || has "$any" "$file"; then
                echo "warning: $file names the builder's network card $mac: machines of the image have others, and no network by it"
            fi
        done
    done
}

# --- whom it was enrolled with -------------------------------------------------------------------------------------------

subscription() {
    # Ubuntu Pro's sources want the password that goes: with them and without it no list of packages can be read.
    set --
    if [ -e /var/lib/ubuntu-advantage/private/machine-token.json ] || [ -e /var/lib/ubuntu-advantage/machine-token.json ]; then
        for file in /etc/apt/sources.list.d/ubuntu-*; do
            ! has esm.ubuntu.com "$file" || set -- "$@" "$file"
        done
    fi
    said="nothing there"
    there told "$@" /etc/apt/auth.conf.d/90ubuntu-advantage /etc/pki/consumer/* /etc/pki/entitlement/* /var/lib/rhsm/cache/* \
        /var/lib/rhsm/facts/* /etc/sysconfig/rhn/systemid /var/lib/yum/uuid \
        /etc/insights-client/machine-id /etc/insights-client/.registered /etc/insights-client/.lastupload \
        /var/lib/ubuntu-advantage/private/machine-token.json /var/lib/ubuntu-advantage/machine-token.json \
        /etc/zypp/credentials.d/SCCcredentials /etc/zypp/credentials.d/NCCcredentials
}

# Keys by which a server knows this one machine. What says which server that is stays.
agents() {
    said="nothing there"
    there unenrolled /etc/puppetlabs/puppet/ssl/* /var/lib/puppet/ssl/* /etc/salt/pki/minion/minion.pem /etc/salt/pki/minion/minion.pub \
        /etc/salt/minion_id /etc/chef/client.pem /etc/cinc/client.pem /etc/krb5.keytab /var/lib/samba/private/secrets.tdb \
        /var/lib/sss/db/* /var/lib/sss/mc/* /etc/docker/key.json /var/lib/docker/engine-id /var/lib/tailscale/tailscaled.state \
        /var/lib/zerotier-one/identity.* /var/lib/teleport/host_uuid /opt/consul/node-id /var/lib/consul/node-id \
        /var/lib/mysql/auto.cnf /etc/Pegasus/*.pem /etc/Pegasus/*.cnf /etc/Pegasus/*.crt /etc/Pegasus/*.csr /etc/Pegasus/*.srl
}

unenrolled() {
    # One that runs writes what it has in mind.
    systemctl --quiet stop puppet.service salt-minion.service chef-client.timer cinc-client.timer sssd.service \
        winbind.service tog-pegasus.service tailscaled.service zerotier-one.service teleport.service consul.service 2>/dev/null
    told "$@"
}

# Removes, and says what.
told() {
    said="removed $(printf '%s ' "$@" | tr '\n' '?')"
    said=${said% }
    rm -rf -- "$@"
}

# --- what a bundle asks for ----------------------------------------------------------------------------------------------

# Keys, known hosts and settings of SSH of every user; after the build key, whose line may be in there.
user_ssh() {
    set --
    for home in $homes; do
        if [ -e "$home/.ssh" ]; then
            set -- "$@" "$home/.ssh"
        fi
    done
    said="$# removed"
    [ $# -eq 0 ] || rm -rf -- "$@"
}

# Jobs that users left with cron and at. Those in /etc are configuration.
schedules() {
    set --
    # Red Hat's cron keeps the tables themselves in /var/spool/cron; the names are users'.
    for file in /var/spool/cron/crontabs/* /var/spool/cron/tabs/* /var/spool/cron/atjobs/* /var/spool/at/* /var/spool/cron/*; do
        [ ! -f "$file" ] || set -- "$@" "$file"
    done
    said="$# removed"
    [ $# -eq 0 ] || rm -f -- "$@"
}

# --- what was written while it ran ---------------------------------------------------------------------------------------

# Mail, crashes, and what is kept of accounts that were changed. For `logs` and `histories`.
spools() {
    # What the installer left has the hash of root's password in it.
    there removed /var/lib/systemd/pstore/* /core /core.[0-9]* /root/core /root/core.[0-9]* /root/anaconda-* /root/initial-setup-ks.cfg \
        /root/original-ks.cfg /root/ks-post.log /root/ks-pre.log /root/install.log* /root/upgrade.log* \
        /root/autoinst.xml /root/curtin-install.log /root/curtin-install-cfg.yaml /var/log/installer /var/log/curtin /var/log/anaconda \
        /var/lib/logrotate.status /var/lib/logrotate/status /var/lib/logrotate/logrotate.status || return 1
    there without_files /var/spool/postfix/maildrop /var/spool/postfix/incoming /var/spool/postfix/active /var/spool/postfix/deferred \
        /var/spool/postfix/defer /var/spool/postfix/bounce /var/spool/postfix/hold /var/spool/mqueue /var/spool/clientmqueue \
        /var/spool/exim4/input /var/spool/exim4/msglog /var/spool/exim/input /var/spool/exim/msglog /var/named/data \
        /var/named/chroot/var/named/data /var/adm/autoinstall || return 1
    # A mailbox is its user's; what is in it is the builder's.
    there emptied /var/mail /var/spool/mail /var/account
}

# A directory may be reached by a link.
emptied() {
    find -H "$@" -type f -size +0 -exec truncate -s 0 -- {} +
}

# Whose fingers were learnt, and who logged in at the screen.
people() {
    there removed /var/lib/fprint/* /var/lib/AccountsService/users/* /var/lib/AccountsService/icons/* /var/cache/gdm/*
}

# As it was before the last change: a password that a step set for a while is in there.
account_backups() {
    there removed /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid- /etc/security/opasswd.old \
        /var/backups/passwd.bak /var/backups/shadow.bak /var/backups/group.bak /var/backups/gshadow.bak
}
