#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the generated parts of the documentation anew: the programs' pages (between the marks), docs/metrics.md (same),
# docs/configuration.md and docs/sonde.1. With --check changes nothing, and fails if one differs.
# Usage: update-docs.sh [--check] [BUILD]      (BUILD: folder of the build, default build; from the root of the source)
set -eu
check=
[ "${1:-}" != --check ] || { check=1; shift; }
build=$(realpath "${1:-build}")
cd "$(dirname "$0")/.."
begin='<!-- generated: begin. Made by tools/update-docs.sh; change the source instead. -->'
end='<!-- generated: end -->'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=

# put FILE: its new contents are in $work/new.
put() {
	cmp -s "$work/new" "$1" && return
	if [ -z "$check" ]; then
		cp "$work/new" "$1"
		echo "updated $1"
		return
	fi
	failed=1
	echo "$1 is not up to date: run tools/update-docs.sh"
	diff -u "$1" "$work/new" || true
}

# put_part FILE: the part between the marks is in $work/part; without marks it goes to the end.
put_part() {
	if [ ! -f "$1" ]; then
		printf '# %s\n\nWhat it sees, what it costs, what it does not see.\n' "$(basename "$(dirname "$1")")" >"$work/old"
	else
		cp "$1" "$work/old"
	fi
	grep -qxF "$begin" "$work/old" || printf '\n%s\n%s\n' "$begin" "$end" >>"$work/old"
	awk -v begin="$begin" -v end="$end" -v part="$work/part" '
		$0 == end { skip = 0 }
		!skip { print }
		$0 == begin { skip = 1; while ((getline line < part) > 0) print line }' "$work/old" >"$work/new"
	put "$1"
}

for source in programs/*/program.bpf.c; do
	program=$(basename "$(dirname "$source")")
	"$build/sonde" schema "$build/$program.bpf.o" -o markdown >"$work/part"
	put_part "programs/$program/README.md"
done

# HELP and TYPE come before the samples of a metric; of the samples, the names of the labels.
"$build/metrics_page" >"$work/page"
awk 'BEGIN { print "| metric | type | labels | help |\n|---|---|---|---|" }
	function flush() { if (name != "") printf "| `%s` | %s | %s | %s |\n", name, type, labels, help }
	/^# HELP / { flush(); name = $3; help = $0; sub(/^# HELP [^ ]+ /, "", help); gsub(/\|/, "\\|", help); labels = ""; next }
	/^# TYPE / { type = $4; next }
	labels == "" && /\{/ {
		text = $0; sub(/^[^{]*\{/, "", text)
		while (match(text, /^,?[a-z_]+="[^"]*"/)) {
			label = substr(text, RSTART, RLENGTH); text = substr(text, RLENGTH + 1)
			sub(/^,/, "", label); sub(/=.*/, "", label)
			labels = labels (labels == "" ? "" : ", ") label
		}
	}
	END { flush() }' "$work/page" >"$work/part"
put_part docs/metrics.md

"$build/sonde" config --markdown >"$work/new"
put docs/configuration.md
"$build/sonde" help --man >"$work/new"
put docs/sonde.1
[ -z "$failed" ]
