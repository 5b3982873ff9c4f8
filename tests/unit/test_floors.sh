#!/usr/bin/env bash
# Goal: each floor includes only those below it; OpenSSL, libssh and jansson stay in
# the rooms that they were given; the protocol's files know no event loop and do no
# I/O.
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 1
bad=0

complain()
{
	printf '%s\n' "$*"
	bad=1
}

# Lines "FILE:#include ..." of the sources in the folders given.
includes()
{
	find "$@" -name '*.[ch]' -exec grep -HE '^[[:space:]]*#[[:space:]]*include' {} +
}

# allow FOLDER FLOOR...: FOLDER may include its own headers and those of FLOORs.
allow()
{
	local folder=$1 line
	shift
	while IFS= read -r line; do
		complain "$line: $folder/ may include only: $folder $*"
	done < <(includes "$folder" | awk -F '"' -v may="$folder $*" '
		BEGIN { n = split(may, of, " "); for (i = 1; i <= n; i++) ok[of[i]] = 1 }
		NF > 1 { floor = $2; sub("/.*", "", floor); if (!(floor in ok)) print }')
}

allow base
allow tunnel base
allow proxy tunnel base
allow control proxy tunnel base
[ -n "$(find bench -name '*.[ch]')" ] && allow bench control proxy tunnel base
allow cli bench control proxy tunnel base
allow lib control proxy tunnel base

# Programs see one header of the library's, and no other floor sees the library.
while IFS= read -r line; do
	complain "$line: lib/adit.h is for strangers: it includes nothing of ours"
done < <(grep -HE '#[[:space:]]*include' lib/adit.h)

while IFS= read -r line; do
	case $line in
	tunnel/*tls* | tunnel/creds*) ;;
	*) complain "$line: <openssl/*> belongs to the TLS files of tunnel/" ;;
	esac
done < <(includes base tunnel proxy control cli bench lib | grep '<openssl/')

while IFS= read -r line; do
	case $line in
	tunnel/transport_ssh*) ;;
	*) complain "$line: <libssh/*> belongs to tunnel/transport_ssh*" ;;
	esac
done < <(includes base tunnel proxy control cli bench lib | grep '<libssh/')

while IFS= read -r line; do
	case $line in
	control/* | cli/* | bench/* | lib/*) ;;
	*) complain "$line: <jansson.h> belongs to control/, cli/, bench/ and lib/" ;;
	esac
done < <(includes base tunnel proxy control cli bench lib | grep '<jansson.h>')

pure=(tunnel/frame.[ch] tunnel/framebuf.[ch] tunnel/mux*.[ch] tunnel/stream.[ch] tunnel/sched.c
	tunnel/window.c tunnel/rate.c tunnel/strands.[ch])
for f in "${pure[@]}"; do
	[ -f "$f" ] || complain "$f: gone; mend the list of this test"
done
while IFS= read -r line; do
	complain "$line: the protocol does no I/O and knows no event loop"
done < <(grep -HE '#[[:space:]]*include[[:space:]]*<(event2/|sys/socket|sys/uio|unistd|netinet/|poll|time\.h|sys/time)' "${pure[@]}")

# What holds in a phase stands in its side's table (control/source/phase.h, control/destination/arrival_phase.h).
states=$(sed -nE 's/^\t((MIGRATE|ARRIVAL)_[A-Z]+),.*/\1/p' control/source/phase.h control/destination/arrival_phase.h | grep -v '_STATES$' | paste -sd'|')
[[ "$states" == *MIGRATE_PAGING*ARRIVAL_RUNS* ]] || complain "control/source/phase.h, control/destination/arrival_phase.h: no states found in them"
while IFS= read -r line; do
	complain "$line: ask the table of phases, not the enum's order"
done < <(grep -rnE --include='*.[ch]' "([^-][<>]=?[[:space:]]*($states)\>|\<($states)[[:space:]]*[<>])" control cli lib)

exit $bad
