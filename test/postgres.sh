#!/usr/bin/env bash
# A PostgreSQL server for tests: in a folder of its own, on a socket in it, on no port.
#   test/postgres.sh start DIR [SETTING=VALUE ...]    makes DIR and starts; conninfo is then "host=DIR user=postgres dbname=postgres"
#   test/postgres.sh crash DIR                        as if the host had lost power: no shutdown
#   test/postgres.sh check DIR                        only whether it can: 0, or 77 with the reason
#   test/postgres.sh stop DIR                         stops and removes DIR
# The programs come from the distribution's package postgresql (scripts/setup.sh --test).
set -eu
dir=$2
bin=$(find /usr/lib/postgresql -name bin -type d 2>/dev/null | sort -V | tail -n 1)
if [ -z "$bin" ]; then
    echo "postgres.sh: no PostgreSQL server is installed: scripts/setup.sh --test installs it" >&2
    exit 1
fi
as_owner() { # the server refuses to run as root
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    else
        "$@"
    fi
}
if ! as_owner "$bin/initdb" --version >/dev/null 2>&1; then
    echo "skipped: the user that PostgreSQL's server runs as may not run programs on this system" >&2
    exit 77
fi
start() {
    as_owner "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 30 \
        -o "-c listen_addresses='' -k $dir $*" start >/dev/null || {
        tail -n 5 "$dir/log" >&2
        exit 1
    }
}
case $1 in
check) ;;
start)
    shift 2
    settings=
    for s in "$@"; do settings="$settings -c $s"; done
    if [ ! -d "$dir/data" ]; then
        mkdir -p "$dir"
        [ "$(id -u)" -ne 0 ] || chown postgres "$dir"
        (cd "$dir" && as_owner "$bin/initdb" -D "$dir/data" -A trust -U postgres --no-sync >/dev/null)
    fi
    cd "$dir"
    start "$settings"
    ;;
crash)
    cd "$dir"
    as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null
    ;;
stop)
    (cd "$dir" && as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null) || true
    rm -rf "$dir"
    ;;
*)
    echo "postgres.sh: check, start, crash or stop DIR" >&2
    exit 2
    ;;
esac
