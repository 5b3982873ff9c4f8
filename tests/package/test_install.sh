#!/usr/bin/env bash
# Goal: cmake --install puts all in place, below DESTDIR and below another prefix: program, library, header, pkg-config
# file, manual pages, completions, units, configuration, documents; the installed program runs and its pages can be
# read; links of the documents lead to something; a configuration that is there already is left alone.
. "$(dirname "$0")/../integration/lib.sh"
: "${TOP:?}" "${BUILD:?}"
prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$BUILD/CMakeCache.txt")
version=$(sed -nE 's/^project\(adit VERSION ([0-9.]+).*/\1/p' "$TOP/CMakeLists.txt")

# there ROOT PATTERN...: each matches a file
there() {
    local root=$1 pattern
    shift
    for pattern; do
        compgen -G "$root/$pattern" >/dev/null || fail "not installed: $pattern"
    done
}
install_to() { cmake --install "$BUILD" "$@" >"$T/install.log" 2>&1 || fail "cmake --install: $(tail -n 5 "$T/install.log")"; }

look() {
    local root=$1 page file link
    there "$root" bin/adit 'lib*/libadit.so.0' 'lib*/libadit.so' 'lib*/pkgconfig/libadit.pc' include/adit.h \
        share/bash-completion/completions/adit 'share/zsh/*/_adit' share/fish/vendor_completions.d/adit.fish \
        share/doc/adit/{README.md,SECURITY.md,CHANGELOG.md,CONTRIBUTING.md,index.md,protocol.md,api.md,openapi.json} share/doc/adit/examples/launch-hook-example.sh
    for page in "$TOP"/docs/man/*; do
        page=${page##*/}
        there "$root" "share/man/man${page##*.}/$page"
    done
    for page in status set cancel; do
        expect_equal "the page of adit $page" '.so man1/adit-jobs.1' "$(cat "$root/share/man/man1/adit-$page.1")"
    done
    for page in console start; do
        expect_equal "the page of adit $page" '.so man1/adit-vms.1' "$(cat "$root/share/man/man1/adit-$page.1")"
    done
    there "$root" lib/systemd/system/{adit.service,adit.socket,adit-api.socket,adit-vm@.service}
    for page in adit.service adit-vm@.service; do
        grep -q "^ExecStart=$prefix/bin/adit " "$root/lib/systemd/system/$page" ||
            fail "$page does not start $prefix/bin/adit"
    done
    expect_equal 'version of the installed program' "adit $version" "$("$root/bin/adit" --version)"
    expect_equal 'version in libadit.pc' "$version" "$(sed -n 's/^Version: //p' "$root"/lib*/pkgconfig/libadit.pc)"
    # what a document refers to by a path is where the document is
    for file in "$root"/share/doc/adit/*.md; do
        while IFS= read -r link; do
            case $link in
            http* | '#'* | ../lib/adit.h) continue ;;
            esac
            [ -e "$root/share/doc/adit/${link%%#*}" ] || fail "${file##*/} refers to $link, which is not installed"
        done < <(grep -oE '\]\([^) ]+\)' "$file" | sed 's/^](//; s/)$//')
    done
}

say 'below DESTDIR'
export DESTDIR=$T/root
install_to
look "$T/root$prefix"
config=$T/root/etc/adit/adit.conf
cmp "$TOP/dist/adit.conf" "$config" || fail 'adit.conf was not installed'
expect_equal 'mode of adit.conf' 644 "$(stat -c %a "$config")"
echo '# mine' >"$config"
install_to
expect_equal 'a configuration that was there' '# mine' "$(cat "$config")"
stray=$(find "$T/root" -mindepth 1 -maxdepth 1 ! -name etc ! -name "$(cut -d/ -f2 <<<"$prefix")" ! -name lib)
[ -z "$stray" ] || fail "installed elsewhere: $stray"
unset DESTDIR

say 'below a prefix'
install_to --prefix "$T/staged"
look "$T/staged"
there "$T/staged" etc/adit/adit.conf
