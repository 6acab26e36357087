#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles one BPF object and strips it to code and BTF; the dependency file makes an edited header rebuild it.
# Usage: build-bpf.sh SOURCE.bpf.c [OBJECT [DEPFILE [ARCHITECTURE [CLANG-OPTION...]]]]
#        (default: SOURCE.bpf.o in the current directory, no dependency file, this machine)
set -eu
source=$1 object=${2:-$(basename "$1" .c).o} depfile=${3:-/dev/null} arch=${4:-$(uname -m)}
shift $(($# < 4 ? $# : 4))
root=$(dirname "$0")/..
case "$arch" in
x86_64) target=x86 ;;
aarch64) target=arm64 ;;
*) echo "no BPF target known for '$arch'" >&2; exit 1 ;;
esac
uapi=/usr/include/$(gcc -print-multiarch)
clang -target bpf -mcpu=v3 -O2 -g -std=gnu17 -Wall -Wextra -Werror -Wno-unused-parameter \
	-D__TARGET_ARCH_$target -I "$root/include" -I "$root" -idirafter "$uapi" \
	-MD -MF "$depfile" -MT "$object" "$@" -c "$source" -o "$object.full"
# gen object also drops DWARF (600 KB to a few KB)
bpftool gen object "$object" "$object.full"
rm -f "$object.full"
