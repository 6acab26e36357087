#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All tests: the unit tests, then each program against the real kernel, then the agent end to end. Ends with one line,
# "N passed, N failed" (and ", N skipped"), and fails if a test failed or if none ran.
# Usage: BUILD=build tests/run.sh [FILE.py...]      with files: only these
set -uo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${BUILD:-build}")
export SONDE=$build/sonde
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# number WORD: what stands behind it in the log's last line about it, 0 if there is none.
number() {
	local found
	found=$(grep -oE "$1 *[0-9]+" "$log" | tail -1 | grep -oE '[0-9]+$') || found=0
	echo "$found"
}

unit() {
	echo "== unit tests"
	meson test -C "$build" --print-errorlogs 2>&1 | tee "$log"
	local code=${PIPESTATUS[0]} ok bad
	ok=$(number '^Ok:') bad=$(($(number '^Fail:') + $(number '^Timeout:') + $(number '^Unexpected Pass:')))
	[ "$code" = 0 ] || [ "$bad" != 0 ] || bad=1
	[ "$ok" != 0 ] || [ "$bad" != 0 ] || bad=1
	passed=$((passed + ok + $(number '^Expected Fail:'))) failed=$((failed + bad)) skipped=$((skipped + $(number '^Skipped:')))
}

python() {
	echo "== $1"
	if [ "$(id -u)" != 0 ]; then
		echo "skipped: needs root"
		skipped=$((skipped + 1))
		return
	fi
	timeout --kill-after=10 600 python3 tests/run_file.py "$1" -v 2>&1 | tee "$log"
	local code=${PIPESTATUS[0]} ok=0 bad=0 left=0
	read -r ok bad left < <(sed -n 's/^counted: //p' "$log" | tail -1) || true
	# A file that cannot be run, or that runs nothing, has failed.
	[ "$code" = 0 ] || [ "${bad:-0}" != 0 ] || bad=1
	[ "${ok:-0}" != 0 ] || [ "${left:-0}" != 0 ] || [ "${bad:-0}" != 0 ] || bad=1
	passed=$((passed + ${ok:-0})) failed=$((failed + ${bad:-0})) skipped=$((skipped + ${left:-0}))
}

main() {
	if [ $# = 0 ]; then
		unit
		set -- programs/*/test.py programs/*/*_test.py tests/e2e/*_test.py
	fi
	for file in "$@"; do
		python "$file"
	done
	if [ "$skipped" = 0 ]; then
		echo "$passed passed, $failed failed"
	else
		echo "$passed passed, $failed failed, $skipped skipped"
	fi
	[ "$failed" = 0 ] && [ "$passed" != 0 ]
}
main "$@"
exit
