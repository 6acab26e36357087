#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Lists what the build is made of, so that a new file or folder needs no edit of a central list.
# Usage: find-sources.sh sources|tests|programs|hooks|testdata      (one a line, sorted)
set -eu
cd "$(dirname "$0")/.."
case "$1" in
sources) find src -name '*.c' ! -name '*_test.c' ! -name '*.bpf.c' ;;
tests) find src programs -name '*_test.c' ;;
programs) find programs -name program.bpf.c | xargs -r -n1 dirname | xargs -r -n1 basename ;;
hooks) # the user side of the programs: program.c, and what stands beside it
	find programs -name '*.c' ! -name '*_test.c' ! -name '*.bpf.c' ;;
testdata) # SOURCE:CASE for each case of a source that is compiled once for each, else SOURCE:
	for source in $(find src programs -path '*/testdata/*.bpf.c'); do
		cases=$(sed -n 's/^#.*if defined(\([a-z0-9_]*\)) .* expect: .*/\1/p' "$source")
		[ -n "$cases" ] || echo "$source:"
		for case in $cases; do echo "$source:$case"; done
	done ;;
*) echo "unknown list '$1'" >&2; exit 2 ;;
esac | LC_ALL=C sort
