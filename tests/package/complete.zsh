# complete.zsh FOLDER LINE [DUMP]: what a real zsh, with the functions of FOLDER, would complete at the end of LINE; a word a
# line; with DUMP, a file, what compinit found is kept for the next time. The zsh has a terminal of its own (zpty); there compadd, which all completion ends in, says what it matched.
zmodload zsh/zpty || exit 77
inner=$(mktemp) || exit 1
trap 'rm -f $inner' EXIT
cat >$inner <<'INNER'
PROMPT=
autoload -Uz compinit
if [[ -n $dump ]]; then compinit -u -d $dump; else compinit -u -D; fi
zstyle ':completion:*' insert-tab false
zmodload zsh/zutil
mark() { print -r -- '%%MARK%%' }
compprefuncs=(mark)
comppostfuncs=(mark exit)
compadd() {
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
		builtin compadd "$@"
		return
	fi
	typeset -a hits
	typeset -A before
	builtin compadd -A hits "$@"
	zparseopts -E P:=before p:=before
	for hit in $hits; do print -r -- "$IPREFIX${before[-P]}${before[-p]}$hit"; done
}
bindkey '^I' complete-word
print ready
INNER
zpty shell zsh -f -i
zpty -w shell "fpath=(${(q)1} \$fpath); dump=${(q)3}; source $inner"
while zpty -r shell line; do
	[[ $line != ready* ]] || break
done
zpty -n -w shell "$2"$'\t'
marks=0
while zpty -r shell line; do
	line=${${line%$'\n'}%$'\r'}
	if [[ $line == *%%MARK%% ]]; then
		((++marks < 2)) || break
	elif ((marks == 1)); then
		print -r -- $line
	fi
done
zpty -d shell
