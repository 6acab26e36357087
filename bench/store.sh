#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the store costs, on a recording of real events of this machine (connections, drops, processes, name lookups), and what counts
# by a column of very many values. Root.
# Usage: store.sh [EVENTS [SECONDS]]        (default 10000000, and 60 s of 1,000,000 events/s; needs some 500 MB in $TMPDIR or
# /tmp, and gives them back)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/.." && realpath "${BUILD:-build}")
"$here/../tools/mount-kernel-filesystems.sh"
folder=$(mktemp -d "${TMPDIR:-/tmp}/sonde-bench-XXXXXX")
trap 'rm -rf "$folder"; [ -z "${pid:-}" ] || kill "$pid" 2>/dev/null || true' EXIT
"$build/bench_store" "$folder" 12 "${1:-10000000}" "${2:-60}" &
pid=$!
sleep 2
"$build/generate" exec 3000 >"$folder/out"
"$build/generate" connections 127.0.0.1 30000 >"$folder/out"
"$build/generate" udp 127.0.0.1 9 30000 >"$folder/out"
"$build/generate" tcp 127.0.0.1 9 5000 >"$folder/out"
for i in $(seq 200); do getent hosts "localhost" >/dev/null; ls -l /usr >/dev/null; done
for i in 1 2 3 4 5; do curl -s -o /dev/null --max-time 1 "http://127.0.0.1:$((9000 + i))/" || true; done
wait "$pid"
pid=
"$build/bench_store" "$folder" "${1:-10000000}"
