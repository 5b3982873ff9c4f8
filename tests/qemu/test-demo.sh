#!/usr/bin/env bash
# Goal: ./demo, the first thing that a reader tries, does what it says.
set -u
export TOP
TOP=$(cd "$(dirname "$0")/../.." && pwd)
ADIT=${ADIT:-$TOP/build/release/cli/adit} exec bash "$TOP/demo"
