#!/bin/sh
# Runs checks side by side. Each that has ended prints what it said between two lines that begin with $1, so that they are told
# apart; then its exit code. The factory appends one `check N <<'…'` for each, and `wait`.
set +e
mark=$1
shift
dir=$(mktemp -d) || exit 126
trap 'rm -rf "$dir"' EXIT
# Who has read the line may print.
mkfifo "$dir/turn" || exit 126
exec 9<>"$dir/turn"
echo >&9
# check NUMBER: runs the script on standard input.
check() {
    cat >"$dir/$1.sh"
    (
        sh "$dir/$1.sh" >"$dir/$1" 2>&1 </dev/null 9>&-
        code=$?
        read -r _ <&9
        printf '%s begin %s\n' "$mark" "$1"
        tail -c 65536 "$dir/$1"
        printf '\n%s end %s %s\n' "$mark" "$1" "$code"
        echo >&9
    ) &
}
