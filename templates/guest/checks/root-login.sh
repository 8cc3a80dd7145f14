#!/bin/sh
# check: root-login
# what: root cannot log in by password
# default: all
# as: root
# order: 60
#
# Nobody can log in as root by a password: root has none, and sshd would not take it over the network.
while IFS=: read -r user hash _; do
    [ "$user" = root ] && break
done </etc/shadow
case $hash in
    '')
        echo "root has an empty password"
        exit 1
        ;;
    '!'* | '*'*) ;;
    *)
        echo "root has a password: lock it with \`passwd -l root\`"
        exit 1
        ;;
esac
sshd=$(command -v sshd || echo /usr/sbin/sshd)
if [ ! -x "$sshd" ]; then
    echo "root has no password, and there is no sshd"
    exit 0
fi
# As sshd would treat root coming from elsewhere: Match blocks count.
if ! config=$("$sshd" -T -C user=root,host=factory,addr=192.0.2.1 2>&1); then
    printf '%s\n' "$config"
    echo "sshd does not understand its own configuration"
    exit 1
fi
root=no password=no
while read -r key value _; do
    case $key in
        permitrootlogin) root=$value ;;
        passwordauthentication | kbdinteractiveauthentication | challengeresponseauthentication)
            echo "$key $value"
            [ "$value" = no ] || password=$key
            ;;
        permitemptypasswords) echo "$key $value" ;;
    esac
done <<END
$config
END
echo "permitrootlogin $root"
if [ "$root" = yes ] && [ "$password" != no ]; then
    echo "sshd lets root log in by password: permitrootlogin yes, $password yes"
    exit 1
fi
echo "root has no password; sshd: permitrootlogin $root"
