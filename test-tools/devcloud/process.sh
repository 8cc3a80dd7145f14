# Daemons without an init system: started in the background with a pid file, ended by it.
# shellcheck shell=bash disable=SC2154

alive() { [ -s "$pids/$1.pid" ] && kill -0 "$(cat "$pids/$1.pid")" 2>/dev/null; }

# name, user, absolute path of the program, its arguments
start() {
    local name=$1 user=$2 program=$3
    shift 3
    alive "$name" && return
    : >>"$logs/$name.log"
    chown "$user" "$logs/$name.log"
    start-stop-daemon --start --background --make-pidfile --pidfile "$pids/$name.pid" --chuid "$user" --chdir /tmp --umask 022 \
        --output "$logs/$name.log" --startas "$program" -- "$@"
}

# An API that is a WSGI program: name, user, port, program, number of processes.
# Not for Glance: uWSGI does not take the chunks of an upload.
start_wsgi() {
    start "$1" "$2" /usr/bin/uwsgi_python3 --http-socket "$ip:$3" --wsgi-file "$4" --processes "$5" --threads 1 --master --lazy-apps \
        --enable-threads --buffer-size 65535 --die-on-term --no-orphans --thunder-lock --rem-header Content-Length \
        --add-header 'Connection: close' --procname-prefix-spaced "$1"
}

# Runs a command until it succeeds: seconds, what is waited for, command. A service that does not come shows the end of its log.
await() {
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            say "$what: not there in time"
            [ ! -e "$logs/$what.log" ] || tail -n 15 "$logs/$what.log" >&2
            return 1
        fi
        sleep 0.25
    done
}

answers() {
    local code
    code=$(curl -s -o /dev/null -m 5 -w '%{http_code}' "$1")
    case $code in 2* | 3* | 401) ;; *) return 1 ;; esac
}

# Ends a daemon: TERM, and KILL after 20 s.
stop() {
    local pid
    alive "$1" || { rm -f "$pids/$1.pid"; return 0; }
    pid=$(cat "$pids/$1.pid")
    kill "$pid"
    for _ in $(seq 80); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.25
    done
    ! kill -0 "$pid" 2>/dev/null || kill -9 "$pid" 2>/dev/null || true
    rm -f "$pids/$1.pid"
}
