# Real servers for the tests of programs that go through adit, each with files, sockets and ports of its own in $T; sourced
# after lib.sh. Each is also to be had past adit, so that what came through can be held against it.
# shellcheck shell=bash disable=SC2034
. "$(dirname "${BASH_SOURCE[0]}")/../lib/unpacked.sh"

listens_unix() { [ -S "$1" ]; }

# start_nbdkit SOCKET WORD...: ends with the test; sets NBDKIT
start_nbdkit() {
    local socket=$1
    shift
    rm -f "$socket"
    nbdkit -f -U "$socket" "$@" 2>>"$T/nbdkit.log" &
    NBDKIT=$!
    started "$NBDKIT"
    wait_until 10 "nbdkit listens on $socket" listens_unix "$socket"
}
# nbd SOCKET: its URI
nbd() { printf 'nbd+unix:///?socket=%s' "$1"; }

# start_nginx: serves $T/www on the unix socket $T/http and on a port of 127.0.0.1, to be written to below /up/; sets
# HTTP_PORT
start_nginx() {
    HTTP_PORT=$(free_port)
    mkdir -p "$T/www/up" "$T/www/small" "$T/nginx"
    cat >"$T/nginx/nginx.conf" <<END
daemon off;
master_process off;
pid $T/nginx/pid;
error_log $T/nginx.log;
events { worker_connections 256; }
http {
    access_log off;
    client_max_body_size 1g;
    client_body_temp_path $T/nginx/body;
    proxy_temp_path $T/nginx/proxy;
    fastcgi_temp_path $T/nginx/fastcgi;
    uwsgi_temp_path $T/nginx/uwsgi;
    scgi_temp_path $T/nginx/scgi;
    server {
        listen unix:$T/http;
        listen 127.0.0.1:$HTTP_PORT;
        root $T/www;
        location /up/ { dav_methods PUT; }
        location /small/ { dav_methods PUT; client_max_body_size 100k; }
    }
}
END
    nginx -e "$T/nginx.log" -c "$T/nginx/nginx.conf" &
    NGINX=$!
    started "$NGINX"
    wait_until 10 "nginx listens" port_listens "$HTTP_PORT"
}
ready_postgres() { psql -qh "$T/pg" -p "$PG_PORT" -c 'select 1' >/dev/null 2>&1; }
# start_postgres: a new cluster on the unix socket $T/pg/.s.PGSQL.$PG_PORT and on that port of
# 127.0.0.1; sets PG_PORT, and the environment of its clients but for PGHOST and PGPORT
start_postgres() {
    local as=()
    # PostgreSQL will not run as root: it is to see itself as nobody
    if [ "$(id -u)" = 0 ]; then
        as=(unshare --user --map-user=65534 --map-group=65534 --)
        "${as[@]}" true 2>/dev/null || skip "PostgreSQL does not run as root, and no user namespace may be made here"
    fi
    PG_PORT=$(free_port)
    export PGDATABASE=postgres PGUSER=postgres TZ=UTC PGCONNECT_TIMEOUT=20 PGSSLMODE=disable PGGSSENCMODE=disable
    mkdir -m 700 "$T/pg"
    "${as[@]}" "$(command -v initdb)" -D "$T/pg/data" -U postgres -A trust --locale=C --no-sync >"$T/initdb.log" 2>&1 ||
        fail "initdb: $(tail -n 3 "$T/initdb.log")"
    "${as[@]}" "$(command -v postgres)" -D "$T/pg/data" -k "$T/pg" -h 127.0.0.1 -p "$PG_PORT" \
        -c fsync=off -c shared_buffers=32MB >"$T/postgres.log" 2>&1 &
    POSTGRES=$!
    started "$POSTGRES"
    wait_until 20 "PostgreSQL is ready" ready_postgres
}
