#!/usr/bin/env bash
# Programs that the tests need and that a machine may be without: web server, database, iperf3, Open vSwitch. As packages they would
# bring services along, some of them started at the next boot, and a database. So they are only unpacked, with the
# libraries that are missing, into the tests' cache; nothing is installed.
#
#     unpacked.sh install     fetches what is neither installed nor there yet
#
# Sourced, it gives need_programs.
# shellcheck shell=bash

UNPACKED=${ADIT_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/adit-tests}/programs
# program:package
UNPACKED_WANTED=(nginx:nginx iperf3:iperf3 initdb:postgresql postgres:postgresql pgbench:postgresql psql:postgresql
    ovs-vsctl:openvswitch-switch ovs-vswitchd:openvswitch-switch ovsdb-server:openvswitch-switch ovsdb-tool:openvswitch-switch)

# those of the system first; PostgreSQL's servers are in no PATH, nor is Debian's ovs-vswitchd
unpacked_path() {
    local d
    PATH=$PATH:/usr/sbin:/sbin
    for d in /usr/lib/postgresql/*/bin /usr/lib/openvswitch-switch; do
        [ ! -d "$d" ] || PATH=$PATH:$d
    done
    PATH=$PATH:$UNPACKED/bin
}

# need_programs PROGRAM...: in the PATH afterwards, wherever they are; else the test is skipped
need_programs() {
    local p
    unpacked_path
    for p; do
        command -v "$p" >/dev/null || skip "$p is not installed, and tests/lib/unpacked.sh install has not fetched it"
    done
}

unpacked_install() (
    set -eu
    unpacked_path
    packages=() programs=()
    for p in "${UNPACKED_WANTED[@]}"; do
        ! command -v "${p%:*}" >/dev/null || continue
        programs+=("${p%:*}") packages+=("${p#*:}")
    done
    [ ${#packages[@]} != 0 ] || exit 0
    command -v apt-get >/dev/null || { echo "not a Debian; not to be had: ${programs[*]}"; exit 1; }
    mkdir -p "$UNPACKED"
    exec 9>"$UNPACKED/.lock"
    flock 9
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/partial"
    # resolved as for an installation, so that libraries that are missing come along; but nothing is installed
    download() {
        apt-get -q -y --no-install-recommends -o Dir::Cache::archives="$work" -o Debug::NoLocking=1 \
            -o APT::Sandbox::User=root --download-only install "${packages[@]}" >"$work/log" 2>&1
    }
    # apt's lists may be missing, or be too old
    download || { [ "$(id -u)" = 0 ] && apt-get -q update >/dev/null 2>&1 && download; } ||
        { echo "cannot be downloaded: ${packages[*]}: $(tail -n 1 "$work/log")"; exit 1; }
    for p in "$work"/*.deb; do
        dpkg -x "$p" "$UNPACKED"
    done
    mkdir -p "$UNPACKED/bin"
    for p in "${programs[@]}"; do
        at=$(find "$UNPACKED"/usr/{bin,sbin,lib/postgresql/*/bin,lib/openvswitch-switch} -name "$p" -type f 2>/dev/null | tail -n 1)
        [ -n "$at" ] || { echo "$p is not in its package"; exit 1; }
        # its libraries are those of the system where they can be; the program finds its other files by its own place
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' \
            "$(printf '%q:' "$UNPACKED"/usr/lib/*-linux-gnu*)" "$(printf %q "$at")" >"$UNPACKED/bin/$p"
        chmod 755 "$UNPACKED/bin/$p"
        missing=$(LD_LIBRARY_PATH=$(printf '%s:' "$UNPACKED"/usr/lib/*-linux-gnu*) ldd "$at" | awk '/not found/ { printf "%s ", $1 }')
        [ -z "$missing" ] || { rm "$UNPACKED/bin/$p"; echo "$p lacks libraries: $missing"; exit 1; }
    done
)

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    case ${1:-} in
    install) unpacked_install ;;
    *) echo "usage: unpacked.sh install" >&2; exit 2 ;;
    esac
fi
