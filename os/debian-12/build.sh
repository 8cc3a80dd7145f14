#!/bin/bash
# Write a Debian 12 disk image (qcow2) to $OUT.
#
# There is no loop device, no mount of the image and no grub-install: the root file system is made in a directory, mke2fs
# copies it into the partition, and GRUB is put where the BIOS looks for it with dd. So this runs in containers, on kernels
# without partition support, and for a user who is not root (in a user namespace; needs uidmap, and entries in /etc/subuid and
# /etc/subgid).
#
# Environment:
#   OUT              the file to write
#   MIRROR           Debian mirror; default: the one in this machine's own apt sources
#   SECURITY_MIRROR  the same for security updates; default: likewise, or $MIRROR-security
#   DISK_MB          size of the disk, default 2048
#   TMPDIR           where to work; needs 2.5 GB
set -euo pipefail
export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin
# Settings made for the Python of the caller are no business of the package scripts that run in the chroot, nor is the mask:
# it would close the image's own directories.
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME
umask 022

release=bookworm
here=$(cd "$(dirname "$0")" && pwd)
: "${OUT:?the file to write}"
disk_mb=${DISK_MB:-2048}
first_sector=2048 # 1 MiB: room for GRUB before the partition

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
die() {
    echo "os/debian-12: $*" >&2
    exit 1
}

# An ordinary user becomes root of a namespace, with subordinate ids for everybody else in the image. Root is the user itself
# there, whom its own directories let in; mmdebstrap's mode `unshare` makes root a subordinate id, whom a home of mode 0700 keeps
# out. With processes of its own it gets a /proc of its own; a container may refuse that, and mmdebstrap then shows the one there is.
if [ "$(id -u)" != 0 ]; then
    namespace=(--map-root-user --map-auto --mount)
    own_proc=(--pid --fork --kill-child --mount-proc)
    if unshare "${namespace[@]}" "${own_proc[@]}" -- true 2>/dev/null; then namespace+=("${own_proc[@]}"); fi
    exec unshare "${namespace[@]}" -- "$BASH" "$0" "$@"
fi

cleanup() {
    rm -rf --one-file-system "$work" "$OUT.part"
}
work=$(mktemp -d)
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 711 "$work" # apt downloads as another user

# --- where packages come from -------------------------------------------------------------------------------------------

# apt itself is asked, for it knows every form its sources can have. What is not http(s) the guest could not use.
apt_source() { # label
    # shellcheck disable=SC2016  # apt's variables, not the shell's
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -n "s#^$1|\(https\?://.*[^/]\)/*\$#\1#p" | sort | uniq -c | sort -rn | sed -n '1s/^ *[0-9]* //p'
}
if [ -n "${MIRROR:-}" ]; then
    mirror=${MIRROR%/}
    security=${SECURITY_MIRROR:-$mirror-security}
else
    mirror=$(apt_source Debian)
    [ -n "$mirror" ] || die "no Debian mirror in this machine's apt sources (or no apt-get update yet): set MIRROR=<url>"
    security=${SECURITY_MIRROR:-$(apt_source Debian-Security)}
    security=${security:-$mirror-security}
fi
case $mirror$security in *@*) die "the mirror's address contains a password, which would end up in the image: set MIRROR" ;; esac

# A frozen mirror has release files past their date. Whoever told apt to take them here meant that for the guests too:
# they have the same sources.
apt_options=()
for option in Acquire::Check-Valid-Until Acquire::Check-Date; do
    value=$(apt-config dump --no-empty --format '%v' "$option")
    [ -z "$value" ] || apt_options+=("--aptopt=$option \"$value\"")
done

# --- the root file system -----------------------------------------------------------------------------------------------

packages=(
    # boot. grub-pc-bin and grub2-common, not grub-pc: its upgrades run grub-install on a disk named at build time, and the
    # disk has another name on every hypervisor. update-grub and the hook kernels call are in grub2-common.
    linux-image-cloud-amd64 grub-pc-bin grub2-common initramfs-tools lz4 zstd e2fsprogs kmod udev
    # system
    systemd-sysv systemd-resolved systemd-timesyncd dbus libpam-systemd netplan.io iproute2 iputils-ping procps less tzdata
    ca-certificates apt-utils curl
    # cloud
    cloud-init cloud-guest-utils fdisk openssh-server sudo python3 qemu-guest-agent
    # Ansible's module for packages, which otherwise installs it on every builder
    python3-apt
)

uuid=$(cat /proc/sys/kernel/random/uuid)

# The files of this bundle, owned by root whoever has checked them out.
cp -R "$here/files" "$work/files"
echo "UUID=$uuid / ext4 rw,discard,errors=remount-ro 0 1" >"$work/files/etc/fstab"
tar -C "$work/files" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf "$work/files.tar" .
install -m 755 "$here/configure.sh" "$work/configure.sh"
printf '%s\n' "$uuid" >"$work/uuid"

# Documentation of these packages is left out, and configure.sh removes the rule again: what users install later is complete.
# Not mmdebstrap's --dpkgopt: that sends every archive it unpacks through a filter that takes 15 s.
cat >"$work/no-docs.sh" <<'END'
#!/bin/sh
set -eu
mkdir -p "$1/etc/dpkg/dpkg.cfg.d"
cat >"$1/etc/dpkg/dpkg.cfg.d/90-no-docs" <<'CFG'
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
CFG
rm -rf "$1"/usr/share/man/* "$1"/usr/share/info/* "$1"/usr/share/locale/*
find "$1/usr/share/doc" ! -type d ! -name copyright -delete
END
chmod 755 "$work/no-docs.sh"

say "Debian $release from $mirror and $security"
# The hook directory makes /bin a link from the start; Debian's package for that does it late, slowly, and brings Perl along.
# INITRD=No: configure.sh makes the initramfs, once, when everything is there; the kernel package and a trigger would both.
INITRD=No mmdebstrap --mode=root --variant=apt --include="${packages[*]}" \
    "${apt_options[@]}" \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --extract-hook="$work/no-docs.sh" \
    --customize-hook="$work/configure.sh" \
    "$release" "$work/root" \
    "deb $mirror $release main" \
    "deb $mirror $release-updates main" \
    "deb $security $release-security main"
# By this date Ansible tells how old the package lists are, and would leave them alone though there are none.
touch -d @0 "$work/root/var/lib/apt/lists"
say "root file system: $(du -sm --one-file-system "$work/root" | cut -f1) MB"

# --- the disk -----------------------------------------------------------------------------------------------------------

raw=$(mktemp "$work/disk.XXXXXXXXXXXX")
truncate -s "${disk_mb}M" "$raw"
echo "start=$first_sector, type=83, bootable" | sfdisk -q --label dos "$raw"

# Features by name: GRUB of Debian 12 cannot read all that a newer mke2fs turns on by itself. Everything is initialised here,
# so that a kernel thread does not do so during the first boot.
mke2fs -q -F -t ext4 -b 4096 -I 256 -i 16384 -m 1 -L root -U "$uuid" \
    -O none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum \
    -E offset=$((first_sector * 512)),lazy_itable_init=0,lazy_journal_init=0 \
    -d "$work/root" "$raw" $((disk_mb * 1024 - first_sector / 2))k

# boot.img: its first 440 bytes, the partition table follows. It loads core.img from the sector after it, which loads
# the rest from the partition.
grub=$work/root/boot/grub/i386-pc
[ "$(stat -c %s "$grub/core.img")" -le $(((first_sector - 1) * 512)) ] || die "GRUB's core.img does not fit before the partition"
dd if="$grub/boot.img" of="$raw" bs=440 count=1 conv=notrunc status=none
dd if="$grub/core.img" of="$raw" bs=512 seek=1 conv=notrunc status=none
say "disk: $disk_mb MB, $(du -m "$raw" | cut -f1) MB used"

# Compressed in parallel and written as it comes; zlib, which every QEMU and Glance reads.
qemu-img convert -c -W -m 8 -O qcow2 -o compat=1.1 "$raw" "$OUT.part"
mv "$OUT.part" "$OUT"
say "image: $(du -m "$OUT" | cut -f1) MB"
