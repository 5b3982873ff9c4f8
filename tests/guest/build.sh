#!/usr/bin/env bash
# Builds the bare-metal guest: build.sh OUTPUT. Needs nothing but a gcc for x86-64: no 32-bit libgcc or headers.
set -euo pipefail
out=${1:?usage: build.sh OUTPUT}
here=$(cd "$(dirname "$0")" && pwd)
flags=(-m32 -march=i686 -std=gnu11 -O2 -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables
       -fcf-protection=none -mgeneral-regs-only -Wall -Wextra -Wshadow -Wno-unused-function)
mkdir -p "$(dirname "$out")"
# to a name of its own first: two builds at once must not see each other's half
gcc "${flags[@]}" -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-N -Wl,--no-warn-rwx-segments \
    -T "$here/guest.ld" -o "$out.$$" "$here/boot.S" "$here"/{start,main,cpu,serial,text,ram,disk,ide,virtio,tpm}.c
mv "$out.$$" "$out"
