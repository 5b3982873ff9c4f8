#!/usr/bin/env bash
# Goal: PostgreSQL through adit, by unix socket and by TCP: pgbench fills a database and works on it with 8 clients; what is
# in the tables afterwards, seen past adit, is what the clients were told; a query can be cancelled, a dead server is seen.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/programs.sh"
need_programs initdb postgres pgbench psql

make_psk
start_postgres
near_port=$(free_port)
mkdir "$T/near"
start_serve --psk "$PSK" --allow-forward "unix:$T/pg/.s.PGSQL.$PG_PORT" --allow-forward "tcp:127.0.0.1:$PG_PORT"
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "unix:$T/near/.s.PGSQL.$PG_PORT=unix:$T/pg/.s.PGSQL.$PG_PORT" \
    -L "tcp:127.0.0.1:$near_port=tcp:127.0.0.1:$PG_PORT"
# ask HOST PORT SQL
ask() { timeout 30 psql -XqAt -h "$1" -p "$2" -c "$3"; }
direct() { ask "$T/pg" "$PG_PORT" "$1"; }
contents="select md5(string_agg(a::text, ',' order by aid)) from pgbench_accounts a"

for over in "$T/near $PG_PORT" "127.0.0.1 $near_port"; do
    read -r host port <<<"$over"
    timeout 60 pgbench -q -i -s 1 -h "$host" -p "$port" >"$T/init.log" 2>&1 || fail "pgbench -i over $over: $(tail -n 3 "$T/init.log")"
    expect_equal "rows that pgbench -i made over $over" 100000 "$(direct 'select count(*) from pgbench_accounts')"
    timeout 60 pgbench -c 8 -T 3 -h "$host" -p "$port" >"$T/pgbench.log" 2>&1 || fail "pgbench over $over: $(tail -n 3 "$T/pgbench.log")"
    done=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$T/pgbench.log")
    [ "$done" -gt 100 ] || fail "pgbench did $done transactions over $over"
    expect_equal "failed transactions" 0 "$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' "$T/pgbench.log")"
    expect_equal "transactions in the history" "$done" "$(direct 'select count(*) from pgbench_history')"
    sum=$(direct 'select sum(delta) from pgbench_history')
    for table in accounts:abalance tellers:tbalance branches:bbalance; do
        expect_equal "the sum of ${table%:*}" "$sum" "$(direct "select sum(${table#*:}) from pgbench_${table%:*}")"
    done
    expect_equal "all accounts, over $over" "$(direct "$contents")" "$(ask "$host" "$port" "$contents")"
    say "$over: $done transactions"
done

# tables as a whole, out and in again
timeout 30 psql -Xq -h "$T/near" -p "$PG_PORT" -c '\copy pgbench_accounts to stdout' >"$T/accounts"
ask "$T/near" "$PG_PORT" 'create table again (like pgbench_accounts)'
timeout 30 psql -Xq -h 127.0.0.1 -p "$near_port" -c '\copy again from stdin' <"$T/accounts" || fail "COPY in"
expect_equal "rows that differ after COPY out and in" 0 \
    "$(direct 'select count(*) from (table again except all table pgbench_accounts) x')"
expect_equal "rows after COPY out and in" 100000 "$(direct 'select count(*) from again')"

# to cancel a query a client connects once more
psql -Xq -h "$T/near" -p "$PG_PORT" -c 'select pg_sleep(60)' 2>"$T/said" &
client=$!
sleeping() { [ "$(direct "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'")" = 1 ]; }
wait_until 10 "the query runs" sleeping
kill -INT "$client"
begin=$(now_ms)
wait "$client"
grep -q 'canceling statement due to user request' "$T/said" || fail "the query was not cancelled: $(cat "$T/said")"
[ $(($(now_ms) - begin)) -lt 5000 ] || fail "to cancel a query took $(($(now_ms) - begin)) ms"

# the server breaks off
psql -Xq -h 127.0.0.1 -p "$near_port" -c 'select pg_sleep(60)' 2>"$T/said" &
client=$!
wait_until 10 "the query runs" sleeping
kill -INT "$POSTGRES"
wait "$client"
grep -q 'server closed the connection\|terminating connection' "$T/said" || fail "the client was not told: $(cat "$T/said")"
wait "$POSTGRES"
ask 127.0.0.1 "$near_port" 'select 1' 2>"$T/said" && fail "an answer of a server that has ended"
say "a server that has ended: $(head -n 1 "$T/said")"
end_adits
