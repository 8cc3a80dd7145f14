#!/bin/sh
# Called by mmdebstrap for build.sh when all packages are installed: configure the system in directory $1.
set -eu
root=$1
uuid=$(cat "$(dirname "$0")/uuid")
in_root() { chroot "$root" "$@"; }

tar -C "$root" -xf "$(dirname "$0")/files.tar"
echo debian >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
echo LANG=C.UTF-8 >"$root/etc/default/locale"

# Nothing that has to be this machine's own: no host keys, no machine id (empty, not absent: see systemd-firstboot below).
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
rm -f "$root/etc/dpkg/dpkg.cfg.d/90-no-docs"
in_root passwd -q -l root

# With the keyring named, apt hands it to gpgv; without, it first merges every key it trusts, in a shell script, for each source:
# 11 of the 26 s of apt-get update on an emulated processor.
sed -i 's#^deb \([^[]\)#deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \1#' "$root/etc/apt/sources.list"
grep -q '^deb .signed-by=' "$root/etc/apt/sources.list" || {
    echo "no source in sources.list that a keyring could be named for" >&2
    exit 1
}

ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
in_root systemctl --quiet enable systemd-networkd systemd-resolved systemd-timesyncd cloud-init-stages

# Work that nobody waits for on a server, and that comes in the way of those who wait: it starts minutes after boot, takes
# the locks of apt, and takes long where the processor is emulated.
# systemd-firstboot: with a machine-id that is missing it asks a question on the console and waits for ever.
in_root systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-firstboot.service

# Generators run at every boot, and whenever a package has a unit. One looks for a GPT, and this disk
# has none; the other does nothing outside the initramfs.
mkdir -p "$root/etc/systemd/system-generators"
for generator in systemd-gpt-auto-generator systemd-hibernate-resume-generator; do
    ln -s /dev/null "$root/etc/systemd/system-generators/$generator"
done

in_root update-initramfs -c -k all

# --- GRUB: what grub-install would do, for a disk that is not there yet ---------------------------------------------------

grub=$root/boot/grub
mkdir -p "$grub/i386-pc"
cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/usr/lib/grub/i386-pc/boot.img" "$grub/i386-pc/"
# No disk before the comma: the one the BIOS has booted from.
in_root grub-mkimage -O i386-pc -o /boot/grub/i386-pc/core.img -p '(,msdos1)/boot/grub' biosdisk part_msdos ext2

# grub.cfg comes from update-grub, as it will in the running system. grub-probe has to be told where / is going to be.
mv "$root/usr/sbin/grub-probe" "$root/usr/sbin/grub-probe.real"
cat >"$root/usr/sbin/grub-probe" <<END
#!/bin/sh
for word; do
    case \$word in
        --target=*) target=\${word#--target=} ;;
        -t) target=next ;;
        *) [ "\${target:-}" != next ] || target=\$word ;;
    esac
done
case \$target in
    device) echo /dev/vda1 ;;
    disk) echo /dev/vda ;;
    fs) echo ext2 ;;
    fs_uuid) echo $uuid ;;
    fs_label) echo root ;;
    partuuid) ;;
    partmap) echo msdos ;;
    abstraction) ;;
    drive) echo '(hd0,msdos1)' ;;
    compatibility_hint) echo hd0,msdos1 ;;
    hints_string) echo --hint=hd0,msdos1 ;;
    *) exit 1 ;;
esac
END
chmod 755 "$root/usr/sbin/grub-probe"
# And it names / by its UUID only if udev has seen it.
mkdir -p "$root/dev/disk/by-uuid"
: >"$root/dev/disk/by-uuid/$uuid"
in_root update-grub
rm -r "$root/dev/disk"
mv "$root/usr/sbin/grub-probe.real" "$root/usr/sbin/grub-probe"
grep -q "root=UUID=$uuid" "$grub/grub.cfg" || {
    echo "grub.cfg has no kernel with this root file system:" >&2
    cat "$grub/grub.cfg" >&2
    exit 1
}

# --- what a fresh machine need not have -----------------------------------------------------------------------------------

rm -rf "$root"/var/log/*.log "$root"/var/log/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old \
    "$root"/var/cache/ldconfig/aux-cache
