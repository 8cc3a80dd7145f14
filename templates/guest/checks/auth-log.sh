#!/bin/sh
# check: auth-log
# what: no error in what was logged about logins
# default: all
# as: root
# order: 140
# last
#
# No error in what was logged about logins since boot. What clients do that go away in the middle is no fault of the machine: whoever
# waits for its SSH does just that.
looked=
if command -v journalctl >/dev/null; then
    looked=journal
    lines=$(journalctl --boot --quiet --no-pager --output=cat --facility=auth,authpriv --priority=err 2>/dev/null)
    if [ -z "$lines" ]; then
        # Older journalctl has no --facility.
        lines=$(journalctl --boot --quiet --no-pager --output=cat --priority=err SYSLOG_FACILITY=4 SYSLOG_FACILITY=10 2>/dev/null)
    fi
fi
for file in /var/log/auth.log /var/log/secure; do
    [ -r "$file" ] || continue
    looked=$file
    lines="$lines
$(grep -i 'error' "$file")"
done
if [ -z "$looked" ]; then
    echo "no journal, and no /var/log/auth.log or /var/log/secure"
    exit 77
fi
kept=$(printf '%s\n' "$lines" | grep -v -i -e '^$' -e kex_exchange_identification -e kex_protocol_error -e 'connection \(reset\|closed\|timed out\)' \
    -e 'maximum authentication attempts' -e 'banner exchange' -e 'preauth' -e 'Broken pipe')
if [ -n "$kept" ]; then
    printf '%s\n' "$kept" | tail -n 20
    echo "$(printf '%s\n' "$kept" | wc -l) errors, the last: $(printf '%s\n' "$kept" | tail -n 1)"
    exit 1
fi
echo "none"
