#!/usr/bin/env bash
# Goal: no file and no function outgrows whoever reads it.
#
#     test_sizes.sh SOURCES
#
# Of the .c, .h and .sh files of ours: none has over 600 lines, and half of them have 250 or fewer. No function
# of C has over 80 lines between its braces, but where a comment right above it begins with "(Long: " and says
# why that is better than two (a table is no reason: it goes out of the function).
#
# At the end the test is held to what it is for: sources with a fault must make it fail.
set -u
export LC_ALL=C
FILE_MAX=600 MEDIAN_MAX=250 FUNCTION_MAX=80

# Files that still have more, a line each. Nothing is added; whoever splits one takes it off.
known='
'

# check FOLDER...: complains of what is too long in them
check()
{
	find "$@" -name '*.[ch]' -o -name '*.sh' | xargs wc -l | grep -v ' total$' | sort -n >"$T/sizes"
	awk -v max=$FILE_MAX -v median=$MEDIAN_MAX -v known_files="$known" '
		BEGIN {
			count = split(known_files, part, /\n/)
			for (i = 1; i <= count; i++)
				if (part[i] != "")
					known[part[i]]
		}
		{ n[NR] = $1 }
		$1 > max && !($2 in known) { print $2 ": " $1 " lines, at most " max ": split it by what it means" }
		$1 > max { delete known[$2] }
		END {
			for (file in known)
				print file ": no more than " max " lines any more: take it off the list of this test"
			half = n[int((NR + 1) / 2)]
			if (NR == 0 || half > median)
				print "half of the files have " half " lines or more, at most " median
		}' "$T/sizes"
	# as clang-format writes it, a function is what stands between a { and a } that are alone in their lines
	find "$@" -name '*.c' -print0 | xargs -0 awk -v max=$FUNCTION_MAX '
		FNR == 1 { begun = 0; reason = 0; name = "" }
		/^{$/ { begun = FNR }
		/^}$/ && begun {
			lines = FNR - begun - 1
			if (lines > max && !reason)
				print FILENAME ": " name ": " lines " lines, at most " max ", or a comment \"(Long: why)\" above it"
			begun = reason = 0
		}
		/^[a-z].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
		/^$/ && !begun { reason = 0 } # what stands above a blank line is not of this function
		/\(Long: ./ && !begun { reason = 1 }'
}

T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
cd "$1" || exit 1
folders=(base tunnel proxy control cli bench lib tests tools demo)
check "${folders[@]}" >"$T/found"
cat "$T/found"
[ ! -s "$T/found" ] || exit 1

# lines N: as many
lines()
{
	yes '	x();' | head -n "$1"
}

# The same with faults.
mkdir "$T/a" && cd "$T/a" || exit 1
{
	printf 'static int just(void)\n{\n' && lines 80 && printf '}\n\n'
	printf '/* (Long: it is made up.) */\nint with_reason(void)\n{\n' && lines 81 && printf '}\n\n'
	printf '/* (Long: of another one.) */\n\nint *too_long(void)\n{\n' && lines 81 && printf '}\n\n'
	printf 'int after_it(void)\n{\n\t/* (Long: within.) */\n' && lines 81 && printf '}\n'
} >functions.c
lines 601 >file.sh
lines 601 >known.h
lines 600 >just.h
known='
./known.h
./just.h
'
for i in 1 2 3 4 5; do lines 251 >"$i.h"; done
check . >"$T/found"
sort >"$T/expected" <<-'END'
	./file.sh: 601 lines, at most 600: split it by what it means
	./just.h: no more than 600 lines any more: take it off the list of this test
	./functions.c: after_it: 82 lines, at most 80, or a comment "(Long: why)" above it
	./functions.c: too_long: 81 lines, at most 80, or a comment "(Long: why)" above it
	half of the files have 251 lines or more, at most 250
END
sort "$T/found" | diff "$T/expected" - || { echo 'it does not see what it is for'; exit 1; }
