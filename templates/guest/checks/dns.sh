#!/bin/sh
# check: dns
# what: names resolve
# default: all
# as: user
# order: 120
#
# Names resolve.
# Unless one is given, the name is that of the host where the machine gets its packages: the one name it surely needs.
if [ -z "$FACTORY_DNS_NAME" ]; then
    FACTORY_DNS_NAME=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/yum.repos.d/*.repo 2>/dev/null |
        sed -n '/^[[:space:]]*#/d; s|.*https\{0,1\}://\([^/:[:space:]]*\).*|\1|p' | head -n 1)
fi
if [ -z "$FACTORY_DNS_NAME" ]; then
    echo "there is no name to resolve"
    exit 77
fi
# A resolver that has just started may need a second try.
for try in 1 2 3; do
    if found=$(timeout 15 getent ahosts "$FACTORY_DNS_NAME") && [ -n "$found" ]; then
        printf '%s\n' "$found"
        echo "$FACTORY_DNS_NAME is ${found%% *}"
        exit 0
    fi
    echo "try $try failed"
    [ "$try" = 3 ] || sleep 2
done
cat /etc/resolv.conf
command -v resolvectl >/dev/null && resolvectl --no-pager status 2>&1
servers=$(sed -n 's/^nameserver *//p' /etc/resolv.conf | tr '\n' ' ')
echo "$FACTORY_DNS_NAME does not resolve; name servers: ${servers:-none}"
exit 1
