# The table of what adit check and adit migrate agree on: each row is a VM, and what both say of it. Sourced after lib.sh by
# the tests test-agrees-*.sh, which hold the rows; a new one is best put into the file of its kind, or into one of its own.
#
#     row NAME [KEY=VALUE]...
#
# The VM:
#     vm=WORDS        words of its command line, split at spaces (as often as needed, in order); its disks too
#     mem=MIB machine=TYPE append=OPTIONS  as of vm_start; the guest writes to no disk, but to RAM
#     kernel=FILE initrd=FILE as of vm_start, for both
#     run=JSON        a QMP command once it is up, which must succeed; do=FUNCTION is called with the VM's name. In order.
#     option=WORD     of adit check and of adit migrate alike
#     twin=WORDS      a QEMU that waits on the destination with these words (--dest-qmp); twin_mem=, twin_machine=
# What is said of it:
#     check=LEVEL:CHECK:REGEX   a finding that adit check must have (LEVEL ok, warning or error; any case)
#     migrate=REGEX   what adit migrate must say: its one line of error, or one of its notes
#     after=FUNCTION  called with the VM's and the twin's name once it has moved
#     lost=DRIVE      whose contents are not there in the end, which a warning has said
#     back=[FUNCTION] once it has moved it goes back, to the adit serve of adit_serve_back, in the same way; FUNCTION is called
#                     with the names of the VM there and of the one that is back
#
# A row with an error of adit check is refused by adit migrate, in the words of one of these errors, with status 1; the VM
# runs on, and nothing is left behind. A row without one is moved: then the guest goes on with its RAM whole, each drive is
# empty there if it was here, and has the same contents (of its image and what is below it, as the guest sees them), and each
# warning of adit check has been shown by adit migrate.
#
# AGREES_SECRET: the object with which its images are opened when they are compared.
# shellcheck shell=bash disable=SC2034

AGREES=0 AGREES_FAILED=() TABLE_WORDS='' TABLE_BECOMES=()

# (each in a shell of its own, so that one that fails does not hide the others; AGREES_ONLY=REGEX: rows with such names alone)
row() {
    local name=$1
    [[ $name =~ ${AGREES_ONLY:-} ]] || return 0
    AGREES=$((AGREES + 1))
    row_run "$@" &
    wait $! || AGREES_FAILED+=("$name")
}

row_run() {
    local name=$1 item level check regex vm=() runs=() options=() want=() says=() twin=() lost=() boot=() refused=''
    local mem=32 machine=pc append='ram=4 rate=400 disks=none' after='' has_twin='' twin_mem='' twin_machine='' has_back='' back=''
    shift
    for item; do
        case $item in
        vm=*) mapfile -t -O ${#vm[@]} vm < <(row_words "${item#*=}") ;;
        twin=*) has_twin=1; mapfile -t -O ${#twin[@]} twin < <(row_words "${item#*=}") ;;
        mem=*) mem=${item#*=} ;; machine=*) machine=${item#*=} ;; append=*) append=${item#*=} ;;
        twin_mem=*) twin_mem=${item#*=} ;; twin_machine=*) twin_machine=${item#*=} ;;
        kernel=* | initrd=*) boot+=("$item") ;;
        run=* | do=*) runs+=("$item") ;;
        option=*) options+=("${item#*=}") ;;
        check=error:*) want+=("${item#*=}") refused=1 ;;
        check=*) want+=("${item#*=}") ;;
        migrate=*) says+=("${item#*=}") ;; after=*) after=${item#*=} ;; lost=*) lost+=("${item#*=}") ;;
        back=*) has_back=1 back=${item#*=} ;;
        *) fail "row: $item is not known" ;;
        esac
    done
    ROW=vm$AGREES
    trap row_end EXIT
    say "$ROW, $name:"
    vm_start "$ROW" src mem="$mem" machine="$machine" append="$append" ${boot[@]+"${boot[@]}"} ${vm[@]+"${vm[@]}"}
    guest_ready "$ROW" 90
    for item in ${runs[@]+"${runs[@]}"}; do
        case $item in
        run=*) vm_qmp "$ROW" "${item#*=}" >"$T/run.json" 2>&1 || fail "$item: $(tail -n 1 "$T/run.json")" ;;
        do=*) "${item#*=}" "$ROW" ;;
        esac
    done
    if [ -n "$has_twin" ]; then
        rm -rf "${T:?}/$ROW-twin"
        vm_start "$ROW-twin" dst guest="$ROW" incoming=1 mem="${twin_mem:-$mem}" machine="${twin_machine:-$machine}" \
            append="$append" ${boot[@]+"${boot[@]}"} ${twin[@]+"${twin[@]}"}
        options+=(--dest-qmp "${VM_QMP[$ROW-twin]}")
    fi

    row_check "$ROW" ${options[@]+"${options[@]}"}
    # (the first row may be one that is refused)
    : >"$T/row.block"
    left_mark
    left_clock
    row_migrate "$ROW" ${options[@]+"${options[@]}"}
    if [ -n "$refused" ]; then
        row_refused ${says[@]+"${says[@]}"}
    else
        row_moved "$ROW" "$ROW-twin" "$after" ${says[@]+"${says[@]}"}
        [ -z "$has_back" ] || row_back "$back" ${options[@]+"${options[@]}"}
        vm_end "$ROW-twin"
    fi
    vm_end "$ROW"
}

row_migrate() {
    vm_query "$1" query-block >"$T/row.block"
    adit_start "$@"
    adit_wait 60
}

row_back() {
    local want=() back=$1
    shift
    say '  and back:'
    adit_turn dst
    row_check "$ROW-twin" "$@"
    vm_keep_log "$ROW-twin"
    row_migrate "$ROW-twin" "$@"
    row_moved "$ROW-twin" "$ROW-back" "$back"
    vm_end "$ROW-back"
}

# whatever the end: nothing of this row is in the next one's way
row_end() {
    local status=$? name
    for name in "$MIGRATE" "$ROW" "$ROW-twin" "$ROW-back"; do
        [ -z "${PROC_PID[$name]:-}" ] || kill -KILL "${PROC_PID[$name]}" 2>/dev/null || true
    done
    rm -rf "${T:?}/$ROW"
    exit "$status"
}

row_words() {
    local words
    read -ra words <<<"${1//$'\n'/ }"
    printf 'arg=%s\n' "${words[@]}"
}

# row_check VM [OPTION]...: runs adit check, and holds it to want and refused of row
row_check() {
    local is=0 item level check regex vm=$1
    shift
    in_host "$ADIT_FROM" "$ADIT" check --qmp "${VM_QMP[$vm]}" "${ADIT_CREDS[@]}" --json --measure-dirty 0 "$@" "$ADIT_DEST" \
        >"$T/row.check" 2>"$T/row.check.log" || is=$?
    for item in ${want[@]+"${want[@]}"}; do
        IFS=: read -r level check regex <<<"$item"
        row_found "$level" "$check" | grep -qiE -- "$regex" ||
            fail "no $level of $check like '$regex' from adit check, but: $(row_found 'warning|error' | paste -sd'|') ($(row_found .\* "$check" | paste -sd'|'))"
        say "  check: $level: $(row_found "$level" "$check" | grep -iE -m 1 -- "$regex")"
    done
    expect_equal "the exit status of adit check ($(row_found error | paste -sd'|')$(cat "$T/row.check.log"))" "${refused:-0}" "$is"
}
# row_found LEVELS [CHECK]: "text: mend" of the findings
row_found() {
    jq -r --arg level "^($1)\$" --arg check "${2:-}" 'select(.event == "finding") | select(.level | test($level)) |
        select($check == "" or .check == $check) | "\(.text)\(if .mend then ": " + .mend else "" end)"' "$T/row.check"
}

# adit migrate has refused it, in the words of an error of adit check
row_refused() {
    [ "$MIGRATE_STATUS" != 0 ] || fail "adit check found an error, and adit migrate moved it all the same"
    move_failed "$ROW" 1 "$@"
    row_found error | grep -qxF -- "$(sed 's/^adit migrate: //; s/; the VM runs on here$//' "$T/$MIGRATE.log")" ||
        fail "adit migrate says it in other words than adit check: $(row_found error | paste -sd'|')"
}

# row_moved VM TWIN FUNCTION [REGEX]...
row_moved() {
    local vm=$1 twin=$2 after=$3 text
    shift 3
    [ "$MIGRATE_STATUS" = 0 ] ||
        fail "adit check called it fine, and adit migrate ended with $MIGRATE_STATUS: $(tail -n 1 "$T/$MIGRATE.log")"
    json_complete
    [ -n "${VM_QMP[$twin]:-}" ] || adit_adopt_twin "$twin"
    wait_until 5 "the end of the source's QEMU" proc_gone "$vm"
    guest_continues "$vm" "$twin"
    say "  moved; $(guest_verify "$twin")"
    row_drives "$twin"
    row_found warning | while IFS= read -r text; do
        row_noted "$text" || fail "adit check warns, adit migrate does not: $text"
    done
    for text; do
        jq -r '.. | .text? // empty' "$T/$MIGRATE.json" | grep -qiE -- "$text" || fail "no note like '$text' from adit migrate"
    done
    [ -z "$after" ] || "$after" "$vm" "$twin"
    no_secrets
}

# each drive of the source, by its device's name, is on the twin what it was
row_drives() {
    local what key file format there there_format said
    vm_query "$1" query-block >"$T/row.there"
    while IFS=$'\t' read -r what key file format there there_format; do
        if [ "$what" = both ]; then
            # nothing is there that was not here, and no file is behind two drives that was not
            expect_equal "$key" "$file" "$there"
        elif [[ " ${lost[*]-} " == *" $key "* ]]; then
            say "  drive $key: its contents were said to be lost"
        elif [ "$file" = empty ] || [ "$there" = empty ] || [ "$there" = missing ]; then
            expect_equal "the medium of drive $key there" "$file" "$there"
            say "  drive $key: empty"
        elif [[ $file == null-* || $format == null-* ]]; then
            expect_equal "what is behind drive $key there" "$format" "$there_format"
        elif [ "$file" != "$there" ]; then
            # (the source's files are another host's: no two drives may have come from one)
            said=$(qemu-img compare -U ${AGREES_SECRET:+--object "$AGREES_SECRET"} "$(row_image "$file" "$format")" "$(row_image "$there" "$there_format")" 2>&1) ||
                fail "the contents of drive $key: $file and $there: $said"
            say "  drive $key: $there has its contents"
        else
            say "  drive $key: $there is on both"
        fi
    done < <(jq -rn --slurpfile here "$T/row.block" --slurpfile there "$T/row.there" "$ROW_DRIVES")
}
# (an image's format is that below filters; jq, since each start of it costs more than all it does)
ROW_DRIVES='
    def name: if .device != "" then .device else .qdev end;
    def image: if (.format // "") | IN("throttle", "copy-on-read") then ."backing-image" | image else . end;
    def format: .inserted.image | image | .format // "";
    def file: .inserted.file // "empty";
    def names: map(name) | sort | join(" ");
    def files: map(file) | unique | length;
    $here[0] as $here | $there[0] as $there |
    ($here[] | name as $key | first(($there[] | select(.device == $key or .qdev == $key)), null) as $other |
        ["drive", $key, file, format, if $other then ($other | file, format) else "missing", "" end]),
    ["both", "the drives there", ($here | names), "", ($there | names), ""],
    ["both", "the number of files behind them", ($here | files), "", ($there | files), ""] |
    map(if . == "" then "-" else . end) | @tsv'
# row_image FILE FORMAT: as qemu-img is to open it. A driver is named, as contents are not to be guessed at; a throttle filter
# is left out, as its group is the VM's.
row_image() {
    case $1 in
    json:*) printf 'json:%s' "$(jq -c 'def below: if .driver | IN("throttle", "copy-on-read", "preallocate") then .file | below else . end; below' <<<"${1#json:}")" ;;
    *)
        jq -cnr --arg file "$1" --arg format "$2" --arg driver "$([ -b "$1" ] && echo host_device || echo file)" \
            '{driver: $driver, filename: $file} | if $format | IN("file", "host_device") then . else {driver: $format, file: .} end | "json:" + tostring' ;;
    esac
}
row_noted() { jq -r '.. | .text? // empty' "$T/$MIGRATE.json" | grep -qF -- "$1"; }

# agrees_table VM...: a row for each of these VMs of agrees.table, over images that agrees_table_images has made
agrees_table() {
    local vm words check becomes rows
    for vm; do
        rows=() TABLE_WORDS='' TABLE_BECOMES=()
        find "$T/images" -type f ! -name '*.elf' -delete
        while IFS=$'\t' read -r words check becomes; do
            TABLE_BECOMES+=("$becomes")
            TABLE_WORDS+=" $words"
            [ "$check" = ok ] || rows+=(check="$check")
            [[ $becomes != left* ]] || cp "$T/disks/${becomes#left }" "$T/images/"
        done < <(awk -F ' \\| ' -v OFS='\t' -v vm="$vm" '$1 == vm { print $2, $3, $4 }' "$TESTS_QEMU/agrees.table" |
            sed "s|\\\$D|$T/disks|g; s|\\\$L|${TABLE_LOOP:-}|g; s|\\\$R|${TABLE_LOOP_RO:-}|g")
        [ ${#TABLE_BECOMES[@]} != 0 ] || fail "agrees.table has no VM $vm"
        [ ! -d "$T/there.table" ] || cp "$T"/there.table/* "$T/images/"
        table_left >"$T/table.left"
        row "agrees.table, $vm" vm="$TABLE_WORDS" ${rows[@]+"${rows[@]}"} after=table_became
    done
}
# those that are to be left as they are: which file, and when it was last written to
table_left() { (cd "$T/images" && stat -c '%n %i %s %y' -- *); }
table_became() {
    local becomes name twin=$2
    for becomes in "${TABLE_BECOMES[@]}"; do
        name=${becomes##*[ /]}
        case $becomes in
        copied* | filled*)
            ! grep -q "^$name " "$T/table.left" || fail "$name was there before"
            [ "$(stat -c %F "$T/images/$name")" = 'regular file' ] || fail "$name is no file there"
            # (disk_make leaves a quarter of an image out)
            [[ $becomes == filled* ]] || [ "$(stat -c '%s' "$T/images/$name")" -lt 4194304 ] || [ "$(stat -c %b "$T/images/$name")" -le 7168 ] ||
                fail "$name takes $(stat -c %b "$T/images/$name") blocks there: it is not sparse"
            ;;
        left*) grep -qxF "$(table_left | grep "^$name ")" "$T/table.left" || fail "$name was touched there" ;;
        empty | nothing) ;;
        *) fail "agrees.table: $becomes is not known" ;;
        esac
    done
    # (a medium that is copied goes through the page cache)
    diff <(sed 's/readonly=on,cache=none/readonly=on/' <<<"$TABLE_WORDS" | table_kept) <(tr '\0' ' ' <"/proc/${PROC_PID[$twin]}/cmdline" | table_kept) ||
        fail 'the words of its drives are others there'
}
# what is the guest's, of a command line in whichever spelling
table_kept() {
    grep -oE '\b(discard|detect-zeroes|werror|rerror|aio|copy-on-read|serial|num-queues|bootindex|cache|cache\.direct|bps_rd|iops_wr|x-bps-total)("?:"|=)[^,"} ]+' |
        sed 's/":"/=/' | sort
}
# agrees_table_images: what the lines name
agrees_table_images() {
    local n D=$T/disks
    disk_make "$D/t1.raw" raw 4M
    for n in 3 4 6 7 8 10; do cp --sparse=always "$D/t1.raw" "$D/t$n.raw"; done
    for n in 1 3 4 6 7 8 10; do printf 'image %s' "$n" | dd of="$D/t$n.raw" bs=1 seek=1500000 conv=notrunc status=none; done
    for n in 2 5 9; do qemu-img convert -O qcow2 "$D/t$((n + 1)).raw" "$D/t$n.qcow2" 2>/dev/null || qemu-img convert -O qcow2 "$D/t1.raw" "$D/t$n.qcow2"; done
    cp --sparse=always "$D/t3.raw" "$D/part.raw"
    cp --sparse=always "$D/t8.raw" "$D/odd.raw"
    printf 'the last bytes' >>"$D/odd.raw"
    cp --sparse=always "$D/t10.raw" "$D/linked.raw"
    ln -s linked.raw "$D/link.raw"
    mkdir -p "$D/by-id"
    cp --sparse=always "$D/t4.raw" "$D/linked-too.raw"
    ln -s ../linked-too.raw "$D/by-id/scsi-0QEMU_t4"
    qemu-img convert -O vdi "$D/t1.raw" "$D/t1.vdi"
    for n in one ro seed user-data tools other short; do
        truncate -s 256k "$D/$n.iso"
        printf 'the medium %s' "$n" | dd of="$D/$n.iso" bs=1 seek=40000 conv=notrunc status=none
    done
    for n in odd odd2; do (head -c 200000 "$D/one.iso" && printf 'the last bytes of %s' "$n") >"$D/$n.iso"; done
    truncate -s 1440k "$D/fd.img"
    truncate -s 65M "$D/large.iso"
}

# at the end of each test
agrees_end() {
    [ ${#AGREES_FAILED[@]} = 0 ] ||
        fail "${#AGREES_FAILED[@]} of $AGREES rows: $(printf '%s; ' "${AGREES_FAILED[@]}")"
    say "$AGREES rows"
}
