#!/usr/bin/env bash
# Goal: HTTP through adit, by curl and nginx: 200 MB down and up, ranges, uploads of unknown length, many requests on one
# connection, 50 at once, answers that come before their question has ended, and servers that break off, which must look
# like what they are.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/programs.sh"
need curl perl sha256sum
need_programs nginx

make_psk
start_nginx
near_port=$(free_port)
start_serve --psk "$PSK" --allow-forward "unix:$T/http" --allow-forward "tcp:127.0.0.1:$HTTP_PORT" --allow-forward "unix:$T/raw-*"
start_forward "tls://127.0.0.1:$PORT" --psk "$PSK" -L "tcp:127.0.0.1:$near_port=tcp:127.0.0.1:$HTTP_PORT" \
    -L "unix:$T/near=unix:$T/http" -L "unix:$T/near-close=unix:$T/raw-close" -L "unix:$T/near-short=unix:$T/raw-short"
url=http://127.0.0.1:$near_port
fetch() { timeout 60 curl -sS --fail "$@" || fail "curl $*"; }
# same FILE OTHER: or one of them on standard input
same() { cmp -- "$1" "$2" || fail "${2##*/} is not what was sent"; }

head -c 200000000 /dev/urandom >"$T/www/big"
sha256sum <"$T/www/big" >"$T/big.sha256"
fetch "$url/big" | sha256sum | cmp -s - "$T/big.sha256" || fail "200 MB down"
fetch -T "$T/www/big" "$url/up/big"
same "$T/www/big" "$T/www/up/big"
rm "$T/www/up/big"
head -c 50000000 "$T/www/big" >"$T/www/half"
# its length unknown, so in chunks; and by unix socket
fetch -T - --unix-socket "$T/near" http://localhost/up/chunks <"$T/www/half"
same "$T/www/half" "$T/www/up/chunks"

# ranges, and the rest of what broke off
fetch -r 99999999-100000999 "$url/big" | cmp - <(tail -c +100000000 "$T/www/big" | head -c 1001) || fail "a range"
fetch -r -1000 "$url/big" | cmp - <(tail -c 1000 "$T/www/big") || fail "the last bytes"
head -c 30000001 "$T/www/half" >"$T/rest"
fetch -C - -o "$T/rest" "$url/half"
same "$T/www/half" "$T/rest"

# one connection for many requests, and many at once
mkdir "$T/www/many" "$T/got"
for ((i = 1; i <= 50; i++)); do
    head -c $((i * 4001)) /dev/urandom >"$T/www/many/$i"
done
expect_equal "connections for 50 requests in a row" 1 \
    "$(fetch -o "$T/got/#1" -w '%{num_connects}\n' "$url/many/[1-50]" | awk '{ n += $1 } END { print n }')"
diff -r "$T/www/many" "$T/got" || fail "50 files in a row"
rm "$T/got"/*
expect_equal "connections for 50 requests at once" 50 \
    "$(fetch --no-progress-meter --parallel --parallel-immediate --parallel-max 50 -o "$T/got/#1" -w '%{num_connects}\n' "$url/many/[1-50]" |
        awk '{ n += $1 } END { print n }')"
diff -r "$T/www/many" "$T/got" || fail "50 files at once"

# an answer before the end of the question: the server says no while 200 MB are on their way
expect_equal "the answer to too large an upload" 413 "$(timeout 20 curl -sS -o /dev/null -w '%{http_code}' -H 'Expect:' \
    -T "$T/www/big" "$url/small/big" 2>"$T/said")"
expect_equal "what is not there" 404 "$(timeout 20 curl -sS -o /dev/null -w '%{http_code}' "$url/nothing")"

# servers that end their direction first: for one the end is the end of the answer, and it hears the client's end; the
# other promises more than it sends, which curl tells as 18, as it does without adit. (socat loses bytes in such a dialogue.)
cat >"$T/server.pl" <<'END'
use Socket;
my ($path, $head, $body, $rest) = @ARGV;
my ($listener, $c);
socket($listener, AF_UNIX, SOCK_STREAM, 0) && bind($listener, sockaddr_un($path)) && listen($listener, 5) or die "$path: $!";
$SIG{PIPE} = "IGNORE";
while (accept($c, $listener)) {
    my $line;
    do { $line = <$c> } while (defined $line && $line ne "\r\n");
    open(my $f, "<", $body) or die;
    read($f, my $bytes, 1000000);
    $c->autoflush(1);
    print $c "HTTP/1.1 200 OK\r\n$head\r\n$bytes";
    shutdown($c, 1);
    open(my $out, ">", $rest);
    print $out "the client has ended\n" unless defined <$c>;
}
END
perl -MIO::Handle "$T/server.pl" "$T/raw-close" $'Connection: close\r\n' "$T/www/big" "$T/end" 2>"$T/close.log" &
started $!
perl -MIO::Handle "$T/server.pl" "$T/raw-short" $'Content-Length: 1000001\r\n' "$T/www/big" "$T/end-short" 2>"$T/short.log" &
started $!
wait_until 5 "the server listens" listens_unix "$T/raw-close"
wait_until 5 "the server listens" listens_unix "$T/raw-short"
timeout 20 curl -sS --unix-socket "$T/near-close" http://localhost/ | cmp - <(head -c 1000000 "$T/www/big") || fail "an answer that ends with its connection"
wait_until 5 "the server hears the end of its client" test -s "$T/end"
for socket in near raw; do
    timeout 20 curl -sS --unix-socket "$T/$socket-short" -o "$T/cut" http://localhost/ 2>"$T/said"
    expect_equal "status of curl for an answer that is cut short ($socket)" 18 $?
    cmp "$T/cut" <(head -c 1000000 "$T/www/big") || fail "what came of an answer that is cut short ($socket)"
done

# the server dies in the middle: an error, at once
rm "$T/cut"
timeout 20 curl -sS --limit-rate 10M -o "$T/cut" "$url/big" 2>"$T/said" &
client=$!
wait_until 5 "the download begins" test -s "$T/cut"
kill -KILL "$NGINX"
begin=$(now_ms)
wait "$client"
status=$?
[ "$status" != 0 ] && [ "$status" != 124 ] || fail "curl ended with $status when nginx was killed"
say "nginx killed: curl $status after $(($(now_ms) - begin)) ms: $(cat "$T/said")"
end_adits
