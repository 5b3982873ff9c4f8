#!/usr/bin/env bash
# Goal: whatever is wrong with credentials or address, adit forward ends soon, with status 1 and one line that names it;
# and the serving side, which says its own line, goes on for others.
. "$(dirname "$0")/lib.sh"
need openssl socat

pair="unix:$T/near=unix:$T/target"

# attempt WHAT PATTERN DEST OPTION...: must fail in one line that matches PATTERN
attempt() {
    local what=$1 pattern=$2 status
    shift 2
    timeout 30 "$ADIT" forward "$@" -L "$pair" 2>"$T/said"
    status=$?
    expect_equal "status of $what: $(cat "$T/said")" 1 "$status"
    expect_equal "lines of $what: $(cat "$T/said")" 1 "$(wc -l <"$T/said")"
    grep -qiE "$pattern" "$T/said" || fail "$what: $(cat "$T/said")"
    say "$what: $(cat "$T/said")"
    [ ! -e "$T/near" ] || fail "$what: the socket is left"
}

# works ARG...: a session comes about
works() {
    start_forward "$@" -L "$pair"
    end_forward
}

# PSK
make_psk good
"$ADIT" keygen -o "$T/other-key" good
"$ADIT" keygen -o "$T/other-name" stranger
cat "$PSK" "$T/other-name" >"$T/two"
chmod 600 "$T/two"
cp "$PSK" "$T/open"
chmod 644 "$T/open"
echo 'good:xyz' >"$T/broken"
chmod 600 "$T/broken"
start_serve --psk "$PSK" --allow-forward "unix:$T/target"
dest=tls://127.0.0.1:$PORT
works "$dest" --psk "$PSK"
attempt "a wrong key" 'key|psk|decrypt' "$dest" --psk "$T/other-key"
attempt "an unknown identity" 'identit|key|psk' "$dest" --psk "$T/other-name"
attempt "two identities" 'several identities' "$dest" --psk "$T/two"
works "tls://good@127.0.0.1:$PORT" --psk "$T/two"
attempt "an identity that the file has not" 'no identity "nobody"' "tls://nobody@127.0.0.1:$PORT" --psk "$T/two"
attempt "a key file that all can read" '0?600' "$dest" --psk "$T/open"
attempt "a key file that is none" "broken, line 1" "$dest" --psk "$T/broken"
attempt "no key file" 'No such file' "$dest" --psk "$T/missing"
attempt "a certificate where a key is asked for, and none is there" 'ca-cert.pem' "$dest" --tls-creds "$T"
attempt "plain against TLS" 'tls|encrypt|adit' "tcp://127.0.0.1:$PORT" --insecure
works "$dest" --psk "$PSK"
# the serving side learns of a new peer, and forgets an old one, without a restart
cp "$PSK" "$T/kept"
cat "$T/other-name" >"$PSK"
attempt "a new identity, before the server was told" 'stranger' "$dest" --psk "$T/other-name"
kill -HUP "$SERVE"
wait_until 5 "the credentials are read anew" grep -q 'read the credentials anew' "$T/serve.log"
works "$dest" --psk "$T/other-name"
attempt "an identity that was taken away" 'good' "$dest" --psk "$T/kept"
echo broken >"$PSK"
kill -HUP "$SERVE"
wait_until 5 "a broken file is complained of" grep -q 'the old configuration and credentials stay in force' "$T/serve.log"
works "$dest" --psk "$T/other-name"
cp "$T/kept" "$PSK"
grep -q 'connection from' "$T/serve.log" || fail "the serving side says nothing of failed connections"
kill "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"

# X.509
make_ca() { # DIR
    mkdir -p "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/ca-key.pem" -out "$1/ca-cert.pem" \
        -subj "/CN=CA ${1##*/}" -days 30 -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null || fail openssl
}
make_cert() { # CADIR DIR ROLE NAME SAN DAYS
    mkdir -p "$2"
    [ "$1" = "$2" ] || cp "$1/ca-cert.pem" "$2/ca-cert.pem"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$2/$3-key.pem" -out "$T/csr" -subj "/CN=$4" 2>/dev/null &&
        openssl x509 -req -in "$T/csr" -CA "$1/ca-cert.pem" -CAkey "$1/ca-key.pem" -CAcreateserial -out "$2/$3-cert.pem" -days "$6" \
            -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=%sAuth\nkeyUsage=digitalSignature\n' "$5" "$3") 2>/dev/null || fail openssl
}
make_ca "$T/ca"
make_ca "$T/foreign"
make_cert "$T/ca" "$T/server" server localhost 'DNS:localhost,IP:127.0.0.1' 30
make_cert "$T/ca" "$T/client" client good 'DNS:good' 30
make_cert "$T/ca" "$T/elsewhere" server elsewhere 'DNS:elsewhere.example' 30
make_cert "$T/foreign" "$T/foreign-client" client good 'DNS:good' 30
make_cert "$T/foreign" "$T/mixed" client good 'DNS:good' 30
cp "$T/ca/ca-cert.pem" "$T/mixed/ca-cert.pem" # trusts the server, is not trusted by it
make_cert "$T/ca" "$T/wrong-purpose" server good 'DNS:good' 30
mv "$T/wrong-purpose/server-cert.pem" "$T/wrong-purpose/client-cert.pem"
mv "$T/wrong-purpose/server-key.pem" "$T/wrong-purpose/client-key.pem"
# make_dated_cert DIR ROLE START END: of the CA, for localhost, with dates as openssl ca takes them
printf '[ca]\ndefault_ca=c\n[c]\nnew_certs_dir=%s\ndatabase=%s/index\nserial=%s/serial\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n' \
    "$T" "$T" "$T" >"$T/ca.cnf"
: >"$T/index"
echo 7001 >"$T/serial"
make_dated_cert() {
    mkdir -p "$1"
    cp "$T/ca/ca-cert.pem" "$1/ca-cert.pem"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/$2-key.pem" -out "$T/csr" -subj /CN=dated 2>/dev/null &&
        openssl ca -batch -config "$T/ca.cnf" -cert "$T/ca/ca-cert.pem" -keyfile "$T/ca/ca-key.pem" -in "$T/csr" -out "$1/$2-cert.pem" \
            -startdate "$3" -enddate "$4" -notext -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=%sAuth\n' "$2") 2>/dev/null || fail "openssl ca"
}
make_dated_cert "$T/expired" client 20200101000000Z 20200201000000Z
# of a server that outlives its certificate
make_dated_cert "$T/short" server 20200101000000Z "$(date -u -d '+4 seconds' +%Y%m%d%H%M%SZ)"
"$ADIT" serve --listen 127.0.0.1:0 --tls-creds "$T/short" 2>"$T/short.log" &
SHORT=$!
started "$SHORT"
wait_until 3 "adit serve listens" grep -q 'listening on' "$T/short.log"

start_serve --tls-creds "$T/server" --allow-forward "unix:$T/target"
dest=tls://127.0.0.1:$PORT
works "$dest" --tls-creds "$T/client"
works "tls://localhost:$PORT" --tls-creds "$T/client"
attempt "a server of a foreign CA" 'not trusted|CA|issuer|verif' "$dest" --tls-creds "$T/foreign-client"
attempt "a client of a foreign CA" 'not trusted|CA|unknown' "$dest" --tls-creds "$T/mixed"
attempt "an expired certificate" 'expired' "$dest" --tls-creds "$T/expired"
short_port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$T/short.log")
sleep 4
attempt "an expired certificate of the server" 'expired' "tls://127.0.0.1:$short_port" --tls-creds "$T/client"
kill "$SHORT"
attempt "a certificate for another purpose" 'purpose|certificate' "$dest" --tls-creds "$T/wrong-purpose"
attempt "a key against certificates" 'key|psk|certificate|credential' "$dest" --psk "$PSK"
works "$dest" --tls-creds "$T/client"
kill "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"

start_serve --tls-creds "$T/elsewhere" --allow-forward "unix:$T/target"
attempt "a wrong host name" 'name|127.0.0.1' "tls://127.0.0.1:$PORT" --tls-creds "$T/client"
kill "$SERVE"
wait "$SERVE"

start_serve --insecure --allow-forward "unix:$T/target"
attempt "TLS against plain" 'tls' "tls://127.0.0.1:$PORT" --psk "$PSK"
works "tcp://127.0.0.1:$PORT" --insecure
kill "$SERVE"
wait "$SERVE"

# others, or nobody
attempt "nobody listens" 'refused' "tls://127.0.0.1:$(free_port)" --psk "$PSK"
attempt "an unknown name" 'name.invalid' "tls://name.invalid" --psk "$PSK"
answers() { # WORDS, as printf takes them: a server that says them once a connection is there
    printf "$1" >"$T/words"
    OTHER=$(free_port)
    socat TCP-LISTEN:"$OTHER",bind=127.0.0.1,reuseaddr,fork SYSTEM:"cat $T/words; cat >/dev/null" 2>/dev/null &
    started $!
    wait_until 10 "the server listens" port_listens "$OTHER"
}
answers 'SSH-2.0-OpenSSH_9.2\r\n'
attempt "an ssh server" 'ssh' "tls://127.0.0.1:$OTHER" --psk "$PSK"
attempt "an ssh server, plain" 'ssh' "tcp://127.0.0.1:$OTHER" --insecure
answers 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'
attempt "a web server" 'http' "tls://127.0.0.1:$OTHER" --psk "$PSK"
attempt "a web server, plain" 'http' "tcp://127.0.0.1:$OTHER" --insecure
answers ''
attempt "a server that says nothing" 'handshake|seconds' "tls://127.0.0.1:$OTHER" --psk "$PSK"
port=$(free_port)
socat TCP-LISTEN:"$port",bind=127.0.0.1,reuseaddr,fork SYSTEM:"exit" 2>/dev/null &
started $!
wait_until 10 "the server listens" port_listens "$port"
attempt "a server that hangs up" 'closed|ended|reset|cut' "tls://127.0.0.1:$port" --psk "$PSK"
# a host that is not there: no route, in a network of its own where that can be had
if unshare -rn true 2>/dev/null; then
    timeout 30 unshare -rn "$ADIT" forward tls://192.0.2.1 --psk "$PSK" -L "$pair" 2>"$T/said"
    expect_equal "status with no route" 1 $?
    grep -qi 'unreachable' "$T/said" || fail "no route: $(cat "$T/said")"
fi
