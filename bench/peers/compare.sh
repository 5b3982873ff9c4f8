#!/usr/bin/env bash
# Goal: `adit forward` beside `ssh -L`, in one run, over the same loopback of a
# network namespace of their own with cubic: throughput, CPU seconds a GB of the
# tunnel's own processes, and p99 of a small message beside the bulk. Printed as
# ratios, pair by pair, as the speed of the machine drifts.
#
#   compare.sh [-n PAIRS] [-b BYTES] [-s STREAMS] [-t tls|ssh] [-r MS] ADIT LOAD
#
# -t: adit's transport. -r: the round trip of the path, made by the relay beside LOAD.
#
# Exit status: 0, or 1 when something did not work. Judges nothing.
set -eu

pairs=5 bytes=1000000000 streams=1 transport=tls rtt=0
while getopts n:b:s:t:r: o; do
	case $o in
	n) pairs=$OPTARG ;;
	b) bytes=$OPTARG ;;
	s) streams=$OPTARG ;;
	t) transport=$OPTARG ;;
	r) rtt=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || { sed -n 's/^#   compare.sh/usage: compare.sh/p' "$0" >&2; exit 2; }
case $transport in tls | ssh) ;; *) echo "compare.sh: -t tls or -t ssh" >&2; exit 2 ;; esac
adit=$(realpath "$1") load=$(realpath "$2")
for tool in ip ssh sshd ssh-keygen awk; do
	command -v $tool >/dev/null || { echo "compare.sh: $tool is missing" >&2; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "compare.sh: needs root for its network namespace" >&2; exit 77; }

# A network namespace of its own; everything in it ends with it.
if [ -z "${COMPARE_INSIDE:-}" ]; then
	export COMPARE_INSIDE=1
	exec unshare -n -m -p -f --kill-child --mount-proc -- "$0" -n "$pairs" -b "$bytes" \
		-s "$streams" -t "$transport" -r "$rtt" "$adit" "$load"
fi

T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
chmod 700 "$T"
ip link set lo up
# Namespaces may be kept from choosing cubic for all; a route may always.
sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null ||
	ip route replace local 127.0.0.1 dev lo table local proto kernel scope host \
		src 127.0.0.1 congctl cubic

# The ports that the clients connect to: those of the servers, or of a long path to them.
adit_port=7000 ssh_port=7022
if [ "$rtt" -gt 0 ]; then
	delay=$(dirname "$load")/delay
	"$delay" 7100 7000 $((rtt / 2)) &
	"$delay" 7122 7022 $((rtt / 2)) &
	adit_port=7100 ssh_port=7122
fi

wait_for()
{
	local i
	for i in $(seq 200); do
		[ -S "$1" ] && return
		sleep 0.05
	done
	echo "compare.sh: $1 did not appear:" >&2
	cat "$T"/*.log >&2
	exit 1
}

"$load" sink "$T/sink" &
wait_for "$T/sink"

"$adit" keygen -o "$T/psk" bench >"$T/keygen.log" 2>&1
"$adit" serve --listen 127.0.0.1:7000 --psk "$T/psk" --allow-forward "unix:$T/sink" \
	>"$T/serve.log" 2>&1 &
serve=$!
sleep 0.5

ssh-keygen -q -t ed25519 -N '' -f "$T/host"
ssh-keygen -q -t ed25519 -N '' -f "$T/user"
cp "$T/user.pub" "$T/authorized"
mkdir -p /run/sshd
cat >"$T/sshd_config" <<CONF
ListenAddress 127.0.0.1
HostKey $T/host
AuthorizedKeysFile $T/authorized
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PidFile none
CONF
"$(command -v sshd)" -D -f "$T/sshd_config" -p 7022 2>"$T/sshd.log" &
sshd=$!
if [ "$transport" = ssh ]; then
	kill $serve
	"$(command -v sshd)" -D -f "$T/sshd_config" -p 7000 2>"$T/sshd-adit.log" &
	serve=$!
	cat >"$T/ssh_config" <<-CONF
		User root
		IdentityFile $T/user
		UserKnownHostsFile $T/known
	CONF
	echo "[127.0.0.1]:$adit_port $(cat "$T/host.pub")" >"$T/known"
	proof=(--ssh-config "$T/ssh_config" --remote-command
		"$adit serve --stdio --allow-forward unix:$T/sink")
else
	proof=(--psk "$T/psk")
fi
sleep 0.5
# The cipher that adit uses, and ssh's fastest.
ssh -N -F none -p $ssh_port -i "$T/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
	-o LogLevel=ERROR -o ExitOnForwardFailure=yes -c aes128-gcm@openssh.com \
	-L "$T/ssh:$T/sink" root@127.0.0.1 2>"$T/ssh.log" &
ssh=$!
wait_for "$T/ssh"
"$adit" forward "$transport://127.0.0.1:$adit_port" "${proof[@]}" -L "unix:$T/adit=unix:$T/sink" \
	>"$T/forward.log" 2>&1 &
forward=$!
wait_for "$T/adit"

# CPU ticks of the processes given and all that descend from them.
ticks()
{
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v roots="$*" '
		{ sub(/\(.*\)/, "x"); parent[$1] = $4; used[$1] = $14 + $15 }
		END {
			n = split(roots, r, " ")
			for (i = 1; i <= n; i++) want[r[i]] = 1
			for (p in parent) {
				for (q = p; q in parent; q = parent[q])
					if (q in want) { sum += used[p]; break }
			}
			print sum + 0
		}'
}
hz=$(getconf CLK_TCK)

# once NAME SOCKET PID...: one run, a line "NAME MB/s CPU-s/GB p50 p99"
once()
{
	local name=$1 socket=$2 before after line
	shift 2
	before=$(ticks "$@")
	line=$("$load" run "$socket" "$bytes" "$streams")
	after=$(ticks "$@")
	awk -v name="$name" -v line="$line" -v t=$((after - before)) -v hz="$hz" 'BEGIN {
		n = split(line, w, " ")
		for (i = 1; i <= n; i++) { split(w[i], kv, "="); v[kv[1]] = kv[2] }
		printf "%s %.0f %.2f %.0f %.0f\n", name, v["bytes"] / v["seconds"] / 1e6,
			t / hz / (v["bytes"] / 1e9), v["p50_us"], v["p99_us"]
	}'
}

once warm "$T/adit" $serve $forward >/dev/null
once warm "$T/ssh" $sshd $ssh >/dev/null
for i in $(seq "$pairs"); do
	once adit "$T/adit" $serve $forward
	once ssh "$T/ssh" $sshd $ssh
done | tee "$T/results" | sed 's/^/  /'

echo
awk -v streams="$streams" -v bytes="$bytes" -v transport="$transport" -v rtt="$rtt" '
	function median(a, n,   i, j, t) {
		for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++)
			if (a[j] < a[i]) { t = a[i]; a[i] = a[j]; a[j] = t }
		return a[int((n + 1) / 2)]
	}
	$1 == "adit" { m = $2; c = $3; p = $5 }
	$1 == "ssh" { n++; tp[n] = m / $2; cpu[n] = c / $3; lat[n] = p / $5 }
	END {
		printf "adit forward %s:// beside ssh -L (aes128-gcm), round trip %d ms, %d stream(s) of %.1f GB, median of %d pairs:\n",
			transport, rtt, streams, bytes / streams / 1e9, n
		printf "  throughput        %.2f times that of ssh\n", median(tp, n)
		printf "  CPU a GB          %.2f times that of ssh\n", median(cpu, n)
		printf "  p99 beside bulk   %.2f times that of ssh\n", median(lat, n)
	}' "$T/results"
