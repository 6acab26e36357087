#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Lists what the build is made of, so that a new file or folder needs no edit of a central list.
# Usage: find-sources.sh sources|tests|programs|hooks      (one path a line, sorted)
set -eu
cd "$(dirname "$0")/.."
case "$1" in
sources) find src -name '*.c' ! -name '*_test.c' ;;
tests) find src programs -name '*_test.c' ;;
programs) find programs -name program.bpf.c | xargs -r -n1 dirname | xargs -r -n1 basename ;;
hooks) find programs -name program.c ;;
*) echo "unknown list '$1'" >&2; exit 2 ;;
esac | LC_ALL=C sort
