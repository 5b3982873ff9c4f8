#!/usr/bin/env bash
# Goal: adit run is all that a program needs for its far side, over tls:// and over ssh:// through a real sshd: nbdcopy and
# qemu-img, curl, pgbench and psql, iperf3; contents are right, and a program that fails fails with its own status.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/programs.sh"
. "$(dirname "$0")/ssh.sh"
need nbdkit nbdcopy qemu-img curl jq
need_programs nginx iperf3 initdb postgres pgbench psql

make_psk
start_nginx
start_postgres
iperf_port=$(free_port)
near_port=$(free_port)
iperf3 -s -B 127.0.0.1 -p "$iperf_port" >"$T/iperf3.log" 2>&1 &
started $!
start_nbdkit "$T/far-random" sparse-random 1G seed=1 percent=5
start_nbdkit "$T/far-same" sparse-random 1G seed=1 percent=5
start_nbdkit "$T/far-other" sparse-random 1G seed=2 percent=5
head -c 60000000 /dev/urandom >"$T/www/big"
wait_until 5 "iperf3 listens" port_listens "$iperf_port"

rights=(--allow-forward "unix:$T/far-*" --allow-forward "unix:$T/http" --allow-forward "unix:$T/pg/.s.PGSQL.$PG_PORT"
    --allow-forward "tcp:127.0.0.1:$iperf_port" --run-dir "$T/run")
start_serve --psk "$PSK" "${rights[@]}"
make_ssh_keys
start_sshd "AllowTcpForwarding no" "AllowStreamLocalForwarding no"

# run ARG...: adit run there
run() { timeout 60 "$ADIT" run "${dest[@]}" "$@" 2>"$T/run.log"; }
disks=(-L "a=unix:$T/far-random" -L "b=unix:$T/far-same" -L "c=unix:$T/far-other")
disk=nbd+unix:///?socket
base=(-L ".s.PGSQL.$PG_PORT=unix:$T/pg/.s.PGSQL.$PG_PORT")
direct() { psql -XqAt -h "$T/pg" -p "$PG_PORT" -c "$1"; }

for over in tls ssh; do
    case $over in
    tls) dest=("tls://127.0.0.1:$PORT" --psk "$PSK") ;;
    ssh) dest=(ssh://far --ssh-config "$T/ssh/config" --remote-command "adit serve --stdio ${rights[*]}") ;;
    esac
    # what is written has to be what is there
    run "${disks[@]}" -- nbdcopy "$disk={a}" "$disk={b}" || fail "nbdcopy over $over: $(cat "$T/run.log")"
    run "${disks[@]}" -- qemu-img compare -f raw -F raw "$disk={a}" "$disk={b}" >/dev/null || fail "qemu-img over $over: $(cat "$T/run.log")"
    run "${disks[@]}" -- qemu-img compare -f raw -F raw "$disk={a}" "$disk={c}" >/dev/null
    expect_equal "status of qemu-img compare when they differ, over $over" 1 $?

    run -L "web=unix:$T/http" -- curl -sSf --unix-socket '{web}' http://localhost/big | cmp - "$T/www/big" || fail "down over $over"
    run -L "web=unix:$T/http" -- curl -sSf --unix-socket '{web}' -T "$T/www/big" http://localhost/up/big || fail "up over $over"
    cmp "$T/www/big" "$T/www/up/big" || fail "what came up over $over"
    rm "$T/www/up/big"
    run -L "web=unix:$T/http" -- curl -sf --unix-socket '{web}' http://localhost/nothing
    expect_equal "status of curl for what is not there, over $over" 22 $?

    # a database's client wants a folder, and a name of its own in it
    run "${base[@]}" -- pgbench -q -i -s 1 -h '{dir}' -p "$PG_PORT" >"$T/init.log" 2>&1 || fail "pgbench -i over $over: $(cat "$T/init.log" "$T/run.log")"
    run "${base[@]}" -- pgbench -c 8 -t 50 -h '{dir}' -p "$PG_PORT" >"$T/pgbench.log" 2>&1 || fail "pgbench over $over: $(tail -n 3 "$T/pgbench.log" "$T/run.log")"
    expect_equal "transactions over $over" 400 "$(direct 'select count(*) from pgbench_history')"
    expect_equal "the sums over $over" "$(direct 'select sum(delta) from pgbench_history')" \
        "$(run "${base[@]}" -- psql -XqAt -h '{dir}' -p "$PG_PORT" -c 'select sum(abalance) from pgbench_accounts')"

    run -L "tcp:127.0.0.1:$near_port=tcp:127.0.0.1:$iperf_port" -- \
        iperf3 -J -R -P 2 -n 30000000 -c 127.0.0.1 -p "$near_port" >"$T/said.json" || fail "iperf3 over $over: $(jq -r .error "$T/said.json")"
    [ "$(jq .end.sum_received.bytes "$T/said.json")" -ge 30000000 ] || fail "iperf3 over $over: $(jq -c .end.sum_received "$T/said.json")"
done
! grep -hE 'Sanitizer|runtime error' "$T/run.log" "$T/serve.log" || fail "a sanitizer spoke"
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with status $?"
