#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Measures sonde on this machine: a report on standard output, the same as JSON in $BUILD/bench.json. Some ten minutes;
# --quick: some three, fewer rounds. Needs root and the packages of kind test in tools/packages.txt; tools to compare with, of kind
# bench, are left out where they are missing. Ends by itself, leaves nothing behind.
# Usage: run.sh [--quick] [SECTION...]        (sections: footprint kernel overhead hooks file syscall flow dns together
# memory limits latency store)
set -eu
[ "$(id -u)" = 0 ] || { echo "bench: needs root: it loads BPF programs" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
export BUILD="$(cd "$here/.." && realpath "${BUILD:-build}")"
"$here/../tools/mount-kernel-filesystems.sh"
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/bench.py" "$@"
