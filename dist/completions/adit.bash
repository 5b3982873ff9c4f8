# Completion of adit in bash. tests/package/test_words.sh holds it to the help of each command.

# __adit_options COMMAND: all its long options
__adit_options()
{
	local creds='--psk --tls-creds --insecure' ssh='--identity --ssh-config --remote-command'
	local how='--qmp --dest-address --dest-qmp --copy-storage --copy-media --disks --target --storage --drop-snapshots --rename --net --persistent
		--max-bandwidth --downtime-limit --timeout --on-timeout --live --offline --multifd --compression --auto-converge --xbzrle
		--postcopy'
	local jobs='--api --run-dir --json'

	case $1 in
	'') echo --version ;;
	migrate) echo "$creds $ssh $how --keep-source --state-dir --json --log-level" ;;
	check) echo "$creds $ssh $how --measure-dirty --json --log-level" ;;
	forward) echo "$creds $ssh --background --pid-file --log-level" ;;
	run) echo "$creds $ssh --libvirt --libvirt-dir --log-level" ;;
	serve)
		echo "$creds --config --check-config --listen --stdio --allow-forward --allow-migrate --allow-launch --launch-user --images
			--allow-storage --overwrite-images --allow-networks --memory-paths --swtpm --launch-hook --allow-dest-qmp --allow-libvirt --libvirt-dir --vms --api --api-listen --api-token-file
			--run-dir --state-dir --log-level"
		;;
	recover) echo '--run-here --drop-here --state-dir --json --log-level' ;;
	jobs | cancel) echo "$jobs" ;;
	status) echo "$jobs --watch" ;;
	set) echo "$jobs --max-bandwidth --downtime-limit --timeout --on-timeout --postcopy" ;;
	vms) echo '--json --run-dir --powerdown' ;;
	start) echo --state-dir ;;
	console) echo --run-dir ;;
	keygen) echo --output ;;
	esac
	echo --help
}

# __adit_jobs COMMAND: ids of jobs that it may be given
__adit_jobs()
{
	"${COMP_WORDS[0]}" jobs 2>/dev/null | awk -v all="$1" '
		NR > 1 && (all == "status" || / (pending|running) /) { print $1 }'
}

# names of the VMs that adit launched here
__adit_vms() { "${COMP_WORDS[0]}" vms 2>/dev/null | awk 'NR > 1 { print $1 }'; }

# __adit_reply WHAT...: what compgen finds for the word at the cursor
__adit_reply() { mapfile -t COMPREPLY < <(compgen "$@" -- "$cur"); }

__adit_files()
{
	compopt -o filenames 2>/dev/null
	__adit_reply "$1"
}

# __adit_beginnings WORD...: something is to be typed behind it
__adit_beginnings()
{
	compopt -o nospace 2>/dev/null
	__adit_reply -W "$*"
}

# __adit_command AT: the command that begins there, by its own completion where bash-completion is
__adit_command()
{
	if declare -F _command_offset >/dev/null; then
		_command_offset "$1"
	elif [ "$COMP_CWORD" -eq "$1" ]; then
		__adit_reply -c
	else
		__adit_files -f
	fi
}

# __adit_value OPTION: what can stand behind it; 1 when it takes no value
__adit_value()
{
	case $1 in
	--psk | --ssh-config | --pid-file | --api-token-file | --output | -o | --qmp | --dest-qmp | --api | \
		--launch-hook | --swtpm | --allow-launch | --allow-dest-qmp | --config)
		__adit_files -f
		;;
	--tls-creds | --state-dir | --run-dir | --images | --memory-paths | --vms | --libvirt-dir) __adit_files -d ;;
	--copy-storage) __adit_reply -W 'all inc none' ;;
	--copy-media) __adit_reply -W 'auto on off' ;;
	--disks) __adit_reply -W 'all none' ;;
	--on-timeout) __adit_reply -W 'abort suspend postcopy' ;;
	--compression) __adit_reply -W 'zlib zstd' ;;
	--log-level) __adit_reply -W 'error warning info debug' ;;
	--dest-address) __adit_reply -A hostname ;;
	--launch-user) __adit_reply -u ;;
	--allow-forward | -L) __adit_beginnings unix:/ tcp: ;;
	--identity | --remote-command | --rename | --target | --storage | --allow-storage | --net | --allow-networks | --max-bandwidth | --downtime-limit | --timeout | --multifd | --measure-dirty | \
		--listen | --api-listen) ;;
	*) return 1 ;;
	esac
}

_adit()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' at words

	COMPREPLY=()
	# bash takes --option=value apart at the '='
	if [ "$cur" = = ]; then
		cur=
	elif [ "$prev" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((at = 1; at < COMP_CWORD; at++)); do
		case ${COMP_WORDS[at]} in
		-*) ;;
		*)
			command=${COMP_WORDS[at]}
			break
			;;
		esac
	done
	if [ "$command" = run ]; then
		for ((; at < COMP_CWORD; at++)); do
			if [ "${COMP_WORDS[at]}" = -- ]; then
				__adit_command $((at + 1))
				return
			fi
		done
	fi
	if [ -n "$command" ] && __adit_value "$prev"; then
		return
	fi
	case $cur in
	-*)
		words=$(__adit_options "$command")
		__adit_reply -W "$words"
		return
		;;
	esac
	case $command in
	'') __adit_reply -W 'serve forward run migrate check recover jobs status set cancel start vms console keygen' ;;
	migrate | check | forward | run) __adit_beginnings tls:// ssh:// ssh+tls:// tcp:// ;;
	vms | console) __adit_reply -W "$(__adit_vms)" ;;
	status | set | cancel) __adit_reply -W "$(__adit_jobs "$command")" ;;
	esac
}

complete -F _adit adit
