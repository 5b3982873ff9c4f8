#!/usr/bin/env bash
# Goal: control/'s wings keep their order, and no circle of files comes back.
#
#     test_wings.sh SOURCES BUILD [NM [CC]]
#
# A wing is a folder of control/, a library, and the header of its name, control/WING.h: the only one
# of it that anybody else includes. The table below says what a wing may use; it is read from the top,
# so a wing uses only those above it. Held to it are the includes, the libraries' links, and what the
# objects in BUILD really refer to (nm), which an `extern` in a .c would hide from the includes.
# source/ and destination/ meet in cookies alone, whatever the table says. In cli/, serve/ and commands/
# stand on common/ and know nothing of each other.
#
# Then the files: none of control/, cli/ and lib/ includes itself by way of others, or calls what
# calls it, but for what is listed in `known`; and no phase refers to another one.
#
# At the end the test is held to what it is for: sources with a fault must make it fail.
set -u
export LC_ALL=C

# wing NAME: those of the wings, and of the floors, that it may use
wings='
qmp: base
talk: tunnel base
vm: qmp tunnel base
wish: vm tunnel base
host: talk vm base
twin: host vm proxy base
check: twin host wish vm talk qmp tunnel base
source: check wish vm talk qmp proxy tunnel base
destination: check twin host vm talk qmp proxy tunnel base
api: source wish vm qmp proxy tunnel base
'

# Circles that are still there, a line each. Nothing is added; whoever opens one takes it off.
known='
'

# edges_of_includes: "FILE FILE" for each header of ours that a file includes
edges_of_includes()
{
	find control cli lib -name '*.[ch]' -exec grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]*"' {} + |
		sed -E 's/^([^:]*):.*"([^"]*)"/\1 \2/'
}

# edges_of_objects BUILD NM: "FILE FILE" for each .c that refers to what another one defines
edges_of_objects()
{
	find "$1" -name '*.c.o' -path '*/CMakeFiles/adit*' -print0 | xargs -0r "$2" -P -A | sed -nE \
		"s%^$1/((base|tunnel|proxy|control|cli|lib)(/[a-z]+)?)/CMakeFiles/[^/]*\.dir/(.*)\.o: %\\1/\\4 %p" | awk '
		!($1 in there) { there[$1] = (getline line <$1) >= 0; close($1) } # or of a file that has gone since
		!there[$1] { next }
		$3 ~ /^[TDBRVCW]$/ { at[$2] = $1 }
		$3 == "U" { used[++n] = $1; name[n] = $2 }
		END {
			for (i = 1; i <= n; i++)
				if (name[i] in at && at[name[i]] != used[i] && !seen[used[i], at[name[i]]]++)
					print used[i], at[name[i]]
		}'
}

# circles: of "FILE FILE" lines on standard input, a line for each set of files that reach each other
circles()
{
	awk '
		$1 != $2 && !seen[$1, $2]++ { next_to[$1] = next_to[$1] " " $2; known[$1]; known[$2] }
		$1 == $2 { alone[$1] }
		function walk(from,   stack, top, i, n, part) {
			stack[top = 1] = from
			while (top) {
				n = split(next_to[stack[top--]], part, " ")
				for (i = 1; i <= n; i++)
					if (!((from, part[i]) in reach)) {
						reach[from, part[i]]
						stack[++top] = part[i]
					}
			}
		}
		END {
			for (f in known)
				walk(f)
			for (f in alone)
				print f
			for (f in known) {
				if (!((f, f) in reach) || f in told)
					continue
				n = 0
				for (g in known)
					if ((f, g) in reach && (g, f) in reach) {
						told[g]
						for (i = n++; i && set[i - 1] > g; i--)
							set[i] = set[i - 1]
						set[i] = g
					}
				for (i = 0; i < n; i++)
					printf "%s%s", set[i], i < n - 1 ? " " : "\n"
			}
		}' | sort
}

# check BUILD NM: complains of what is wrong with the sources in the working folder
check()
{
	local includes objects folder file uses from to wing above=' ' line
	includes=$(edges_of_includes)
	objects=$(edges_of_objects "$1" "$2")
	[ -n "$objects" ] || echo "$1: no objects there: build first"

	while read -r folder uses; do
		wing=${folder%:}
		[ -n "$wing" ] || continue
		for to in $uses; do
			case $to in base | tunnel | proxy) continue ;; esac
			[[ $above == *" $to "* ]] || echo "the table: $wing uses $to, which is not above it"
		done
		above+="$wing "
		[ -f "control/$wing.h" ] || echo "control/$wing.h: there is no such header of the wing"
		line=$(sed -n "s/^target_link_libraries(adit_$wing PUBLIC \(.*\))/\1/p" "control/$wing/CMakeLists.txt")
		for to in $line; do
			case $to in
			adit_*) [[ " $uses " == *" ${to#adit_} "* ]] ||
				echo "control/$wing/CMakeLists.txt: adit_$wing may link only: $uses" ;;
			esac
		done
		for to in $uses; do
			case $to in base | tunnel | proxy) continue ;; esac
			[[ " $line " == *" adit_$to "* ]] || echo "control/$wing/CMakeLists.txt: adit_$wing uses $to without linking it"
		done
	done <<<"$wings"
	for folder in control/*/; do
		folder=${folder#control/}
		[[ $above == *" ${folder%/} "* ]] || echo "control/$folder: no wing of the table"
	done
	for file in control/*.[ch]; do
		wing=${file#control/}
		[[ $above == *" ${wing%.h} "* ]] || echo "$file: control/ itself has the wings' headers only"
	done

	# "WING WHAT": what each file uses, by its wing; what is used of control/ by wing, else by floor
	{
		sed 's/^/include /' <<<"$includes"
		sed 's/^/call /' <<<"$objects"
	} | awk -v table="$wings" '
		function wing_of(f,   part) {
			if (split(f, part, "/") < 2 || part[1] != "control")
				return ""
			sub(/\.h$/, "", part[2])
			return part[2]
		}
		function room_of(f,   part) {
			return split(f, part, "/") == 3 && part[1] == "cli" ? part[2] : ""
		}
		BEGIN {
			split("base tunnel proxy control cli lib", part, " ")
			for (i in part)
				height[part[i]] = i > 5 ? 5 : i + 0
			n = split(table, line, "\n")
			for (i = 1; i <= n; i++) {
				m = split(line[i], word, /:? +/)
				for (j = 2; j <= m; j++)
					may[word[1], word[j]]
			}
		}
		{
			how = $1 == "call" ? "refers to" : "includes"
			mine = wing_of($2)
			its = wing_of($3)
			split($3, part, "/")
			what = its == "" ? part[1] : its
			door = $2 ~ /^control\/[a-z]+\.h$/
			if ((mine == "source" && its == "destination") || (mine == "destination" && its == "source"))
				print $2 ": " how " " $3 ": source/ and destination/ share nothing but cookies"
			else if (mine != "" && what != mine && !((mine, what) in may))
				print $2 ": " how " " $3 ": " mine "/ may not use " what "/"
			if ($1 == "include" && its != "" && what != mine && $3 !~ /^control\/[a-z]+\.h$/)
				print $2 ": includes " $3 ": of another wing that is control/" its ".h"
			if ($1 == "include" && mine != "" && what == mine && $3 ~ /^control\/[a-z]+\.h$/)
				print $2 ": includes " $3 ": that is for those outside of the wing"
			split($2, part, "/")
			split($3, below, "/")
			if (part[1] != below[1] && height[below[1]] >= height[part[1]])
				print $2 ": " how " " $3 ": " below[1] "/ is no floor below " part[1] "/"
			if (room_of($2) != "" && room_of($3) != "" && room_of($2) != room_of($3) && room_of($3) != "common")
				print $2 ": " how " " $3 ": another room of cli/, and not common/"
			if (door && what != mine)
				print $2 ": includes " $3 ": a wing is seen by headers of its own"
		}'

	grep -E '^control/(source|destination)/phase_[a-z]+\.c control/(source|destination)/phase_[a-z]+\.c$' <<<"$objects" |
		sed -E 's/^(.*) (.*)$/\1: refers to \2: no phase knows another one/'

	# the header says of what it is, and names all its callers
	awk '$2 ~ /^control\/[a-z]+\/|^(cli|lib)\// && $3 ~ /^control\/[a-z]+\.h$/ {
		sub(/^control\//, "", $2)
		sub(/\/.*/, "", $2)
		if (!seen[$2, $3]++)
			print $2, $3
	}' < <(sed 's/^/- /' <<<"$includes") | sort | while read -r from file; do
		sed '/\*\//q' "$file" | grep -qE "(^|[^a-z])$from/" || echo "$file: its first lines do not say that $from/ calls it"
	done
	for file in control/*.h; do
		wing=${file#control/}
		sed -n 2p "$file" | grep -q "^ \* ${wing%.h}/: " || echo "$file: does not begin with what the wing is"
	done

	{
		circles <<<"$includes"
		circles <<<"$objects"
	} | sort | grep -E '(^| )(control|cli|lib)/' >"$T/circles"
	grep . <<<"$known" | sort >"$T/known"
	comm -23 "$T/circles" "$T/known" | sed 's/^/a circle of files: /'
	comm -13 "$T/circles" "$T/known" | sed 's/^/not a circle any more, or another one: mend the list of this test: /'
}

T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
build=$(realpath "$2") nm=${3:-nm} cc=${4:-cc}
cd "$1" || exit 1
check "$build" "$nm" >"$T/found"
cat "$T/found"
[ ! -s "$T/found" ] || exit 1

# The same sources with faults in them; no objects but those that are put there.
mkdir -p "$T/spoilt/build" || exit 1
find base tunnel proxy control cli lib \( -name '*.[ch]' -o -name CMakeLists.txt \) -print0 |
	xargs -0 cp --parents -t "$T/spoilt"
cd "$T/spoilt" || exit 1
expected=()

# adds FILE INCLUDE WHAT: that include in that file is a fault, of which WHAT is said
adds()
{
	printf '#include "%s"\n' "$2" >>"$1"
	expected+=("$1: includes $2: $3")
}

# object FOLDER NAME TEXT: a file, and its object
object()
{
	local in=build/$1/CMakeFiles/adit_spoilt.dir
	printf '%s\n' "$3" >"$1/$2.c"
	mkdir -p "$in"
	"$cc" -c -o "$in/$2.c.o" "$1/$2.c" || exit 1
}

adds control/source/migrate_i.h control/destination.h 'source/ and destination/ share nothing'
adds control/destination/arrival.c control/source/migrate.h 'source/ and destination/ share nothing'
adds control/vm/vmdesc.h control/talk.h 'vm/ may not use talk/'
adds control/qmp/qmp.c tunnel/session.h 'qmp/ may not use tunnel/'
adds cli/main.c control/source/migrate_i.h 'of another wing that is control/source.h'
adds control/check/check.h control/vm/vmdesc.h 'of another wing that is control/vm.h'
adds control/twin/twin.c control/twin.h 'that is for those outside'
adds cli/common/options.h cli/serve/config.h 'another room of cli/'
adds cli/commands/carrier.c cli/serve/config.h 'another room of cli/'
adds control/twin.h control/vm.h 'a wing is seen by headers of its own'

printf '#include "control/talk/journal.h"\n' >>control/talk/cookie.h
printf '#include "control/talk/cookie.h"\n' >>control/talk/journal.h
expected+=('a circle of files: control/talk/cookie.h control/talk/journal.h')

object control/vm spoilt_vm 'int spoilt_talk(void); int spoilt_vm(void); int spoilt_vm(void) { return spoilt_talk(); }'
object control/talk spoilt_talk 'int spoilt_talk(void); int spoilt_talk(void) { return 0; }'
expected+=('control/vm/spoilt_vm.c: refers to control/talk/spoilt_talk.c: vm/ may not use talk/')

object base spoilt_base 'int spoilt_mux(void); int spoilt_base(void); int spoilt_base(void) { return spoilt_mux(); }'
object tunnel spoilt_mux 'int spoilt_mux(void); int spoilt_mux(void) { return 0; }'
expected+=('base/spoilt_base.c: refers to tunnel/spoilt_mux.c: tunnel/ is no floor below base/')

object control/qmp spoilt_a 'int spoilt_a(void); int spoilt_b(void); int spoilt_a(void) { return spoilt_b(); }'
object control/qmp spoilt_b 'int spoilt_a(void); int spoilt_b(void); int spoilt_b(void) { return spoilt_a(); }'
expected+=('a circle of files: control/qmp/spoilt_a.c control/qmp/spoilt_b.c')

object control/source phase_spoilta 'int spoilt_c(void); int spoilt_d(void); int spoilt_d(void) { return spoilt_c(); }'
object control/source phase_spoiltb 'int spoilt_c(void); int spoilt_c(void) { return 0; }'
expected+=('control/source/phase_spoilta.c: refers to control/source/phase_spoiltb.c: no phase knows another one')

sed -i 's/adit_qmp/adit_talk adit_qmp/' control/vm/CMakeLists.txt
expected+=('control/vm/CMakeLists.txt: adit_vm may link only')

object control/destination phase_spoilta 'int spoilt_e(void); int spoilt_f(void); int spoilt_f(void) { return spoilt_e(); }'
object control/destination phase_spoiltb 'int spoilt_e(void); int spoilt_e(void) { return 0; }'
expected+=('control/destination/phase_spoilta.c: refers to control/destination/phase_spoiltb.c: no phase knows another one')

mkdir control/new
expected+=('control/new/: no wing of the table')

sed -i 's%host/%%' control/talk.h
expected+=('control/talk.h: its first lines do not say that host/ calls it')

check "$T/spoilt/build" "$nm" >"$T/found"
bad=0
for what in "${expected[@]}"; do
	grep -qF "$what" "$T/found" || {
		echo "it does not see: $what"
		bad=1
	}
done
[ $bad = 0 ] || cat "$T/found"
exit $bad
