#!/usr/bin/env bash
# Goal: libadit for who embeds it: nothing but adit_* is seen from outside, with versions; its header is C99 and C++; it
# installs with a pkg-config file that builds the example; a tunnel with forwards in a foreign event loop carries what it is given,
# says why it ends, and leaves nothing; nothing is written to standard output or error; misuse is told, not done.
. "$(dirname "$0")/lib.sh"
need nm socat pkg-config

say 'what is seen from outside'
nm -D --defined-only "$LIBADIT" | awk '$2 != "A" { print $3 }' >"$T/symbols"
[ "$(wc -l <"$T/symbols")" -ge 18 ] || fail "too few symbols: $(paste -sd' ' "$T/symbols")"
other=$(grep -vE '^adit_[a-z_]+@@ADIT_0$' "$T/symbols" || true)
[ -z "$other" ] || fail "seen from outside: $(paste -sd' ' <<<"$other")"
missing=$(grep -oE '\badit_[a-z_]+\(' "$TOP/lib/adit.h" | tr -d '(' | sort -u |
    comm -23 - <(sed 's/@@.*//' "$T/symbols" | sort -u) | paste -sd' ')
[ -z "$missing" ] || fail "in the header, but not in the library: $missing"
readelf -d "$LIBADIT" | grep -q 'SONAME.*\[libadit\.so\.0\]' || fail 'the soname is not libadit.so.0'

say 'the header is C99 and C++'
printf '#include <adit.h>\nint main(void) { return !adit_version(); }\n' | tee "$T/h.c" >"$T/h.cc"
"$CC" -std=c99 -pedantic -Wall -Wextra -Werror -Wstrict-prototypes -I"$TOP/lib" -fsyntax-only "$T/h.c" || fail 'not C99'
if c++ --version >/dev/null 2>&1; then
    c++ -std=c++98 -pedantic -Wall -Wextra -Werror -I"$TOP/lib" -fsyntax-only "$T/h.cc" || fail 'not C++'
else
    # the same grammar, as far as a C compiler can tell: no word of C++ may be a name there
    say 'note: no C++ compiler is here; looked for words of C++ instead'
    ! sed 's,/\*.*,,; /^ \*/d; /^\t* \*/d; s,".*",,' "$TOP/lib/adit.h" |
        grep -nwE 'class|new|delete|this|template|private|public|try|catch|namespace|operator|using' ||
        fail 'a word of C++ is a name in the header'
fi

say 'installed, and used by way of pkg-config'
DESTDIR=$T/root cmake --install "$BUILD" >"$T/install.log" 2>&1 || fail 'cmake --install'
pc=$(find "$T/root" -name libadit.pc)
[ -n "$pc" ] || fail 'no libadit.pc was installed'
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$T/root
read -ra flags <<<"$(pkg-config --cflags --libs libadit)"
[[ $SANITIZE ]] && flags+=("-fsanitize=$SANITIZE")
"$CC" -std=c99 -Wall -Wextra -Werror "$TOP/lib/example.c" -o "$T/example" "${flags[@]}" || fail 'the example does not build'
export LD_LIBRARY_PATH=${pc%/pkgconfig/*}
expect_equal 'what the installed example says' 'usage: give QMP-SOCKET, tls://DESTINATION and KEY-FILE' "$("$T/example" 2>&1)"
[ "$(wc -l <"$TOP/lib/example.c")" -le 32 ] || fail 'the example has grown beyond thirty lines'

make_psk
start_serve --psk "$PSK" --allow-forward "unix:$T/far*"
socat "UNIX-LISTEN:$T/far.sock,fork" EXEC:'/usr/bin/sha256sum -' &
started $!
head -c 3000000 /dev/urandom >"$T/data"
sum=$(sha256sum - <"$T/data")

# said REGEX: the embedding program has printed such a line
said() { wait_until 10 "'$1' from the program" grep -qE -- "$1" "$T/out.log"; }
tell() { printf '%s\n' "$*" >&"$IN"; }
embed_begin() {
    rm -f "$T/in"
    mkfifo "$T/in"
    "$HELPERS/embed-$1" <"$T/in" >"$T/out.log" 2>"$T/err.log" &
    EMBED=$!
    started $EMBED
    exec {IN}>"$T/in"
}
embed_end() {
    tell quit
    wait_until 10 'the program ends' gone $EMBED
    wait $EMBED || fail "the program ended with $?: $(cat "$T/err.log")"
    exec {IN}>&-
    grep -qx over "$T/out.log" || fail 'the loop was not freed'
    [ ! -s "$T/err.log" ] || fail "standard error: $(cat "$T/err.log")"
    other=$(grep -vE '^(event|end|job|ready|failed|forwarding|closed|cancelling|too late|set|freed|what\?|over|log) ?' "$T/out.log" || true)
    [ -z "$other" ] || fail "standard output: $other"
    [ ! -e "$T/near.sock" ] || fail 'the socket of a forward was left behind'
}
carried() {
    expect_equal 'what came back through the tunnel' "$sum" \
        "$(timeout 20 socat -t 20 - "UNIX-CONNECT:$T/near.sock" <"$T/data")"
}

for kind in shared embedded; do
    say "a tunnel, $kind"
    embed_begin $kind
    tell "tunnel tls://127.0.0.1:$PORT psk=$PSK"
    tell "forward unix:$T/near.sock unix:$T/far.sock"
    said '^forwarding'
    said '^ready psk:tester'
    carried
    # two at once, and one that the far side refuses
    carried & pid=$!
    carried
    wait $pid || fail 'the second of two'
    tell "forward unix:$T/near2.sock unix:$T/elsewhere"
    said '^forwarding unix:.*near2'
    [ -z "$(timeout 10 socat -t 5 - "UNIX-CONNECT:$T/near2.sock" <"$T/data" 2>/dev/null)" ] || fail 'a target that is not allowed answered'
    tell "forward unix:$T/data unix:$T/far.sock"
    said '^failed forward: address: .*/data is there already'
    tell "forward nonsense unix:$T/far.sock"
    said '^failed forward: usage: '
    tell close
    said '^closed'
    wait_until 10 "the forward's socket goes" [ ! -e "$T/near.sock" ]

    say '  misuse and failures are told'
    tell "tunnel tls://127.0.0.1:$PORT"
    said '^failed tunnel: usage: tls:// needs --psk'
    tell "tunnel tls://127.0.0.1:$PORT psk=$T/none"
    said "^failed tunnel: [a-z]+: .*$T/none"
    tell "tunnel tls://127.0.0.1:$PORT qmp=/x"
    said '^failed tunnel: usage: a tunnel has the options'
    tell "tunnel tls://127.0.0.1:1 psk=$PSK"
    said '^failed tunnel: address: .*127.0.0.1:1'
    tell "start qmp=$T/none dest=tls://127.0.0.1:$PORT psk=$PSK colour=red"
    said '^failed start: usage: "colour" is not known'
    tell "start qmp=$T/none dest=tls://127.0.0.1:$PORT psk=$PSK multifd=many"
    said '^failed start: usage: multifd "many"'
    tell "start qmp=$T/none dest=tls://127.0.0.1:$PORT psk=$PSK state-dir=$T/state max-bandwidth=none"
    said "^(failed start: |end )[a-z]+: .*$T/none"
    tell "resume 00000000000000000000000000000000 state-dir=$T/state"
    said '^failed resume: usage: '
    tell "resume 00000000000000000000000000000000 multifd=2"
    said '^failed resume: usage: "multifd" is not known'

    say '  the log, once it is asked for; and a loop that is freed with a tunnel in it'
    tell log
    tell "tunnel tls://127.0.0.1:$PORT psk=$PSK"
    tell "forward unix:$T/near.sock unix:$T/far.sock"
    said '^log 3 link: handshake -> hello'
    said '^ready psk:tester'
    carried
    embed_end
done

say 'a tunnel that is lost'
embed_begin embedded
tell "tunnel tls://127.0.0.1:$PORT psk=$PSK"
tell "forward unix:$T/near.sock unix:$T/far.sock"
said '^ready psk:tester'
kill -TERM "$SERVE"
wait "$SERVE" || fail "adit serve ended with $?"
said '^failed tunnel: refused: the peer ended the session: this adit is ending'
wait_until 10 "the forward's socket goes" [ ! -e "$T/near.sock" ]
tell what
said '^what\? what'
embed_end
