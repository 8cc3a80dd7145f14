#!/bin/sh
# check: cloud-init-package
# what: cloud-init installs a package
# default: os
# as: root
# order: 170
# slow
#
# cloud-init installs a package. Its module is run here by itself: in user data a mirror that is away would take the whole first boot
# with it, and nothing else could be tested.
if ! command -v cloud-init >/dev/null; then
    echo "cloud-init is not installed"
    exit 77
fi
package=${FACTORY_PACKAGE:-tree}
has_package() {
    if command -v dpkg-query >/dev/null; then
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in *' installed') return 0 ;; *) return 1 ;; esac
    fi
    rpm -q "$package" >/dev/null 2>&1
}
if has_package; then
    echo "$package is part of the image: name another by \`tests.package\`"
    exit 77
fi
config=$(mktemp)
trap 'rm -f "$config"' EXIT
printf '#cloud-config\npackage_update: true\npackages: [%s]\n' "$package" >"$config"
for module in cc_package_update_upgrade_install package-update-upgrade-install; do
    said=$(cloud-init --file "$config" single --name "$module" --frequency always 2>&1) && has_package && break
done
printf '%s\n' "$said" | tail -n 30
if ! has_package; then
    tail -n 20 /var/log/cloud-init-output.log
    echo "cloud-init did not install $package: $(printf '%s\n' "$said" | tail -n 1)"
    exit 1
fi
echo "cloud-init installed $package"
