#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Boots Debian kernels in emulation (no KVM needed) and runs the programs in them. Needs qemu-system-x86, busybox-static, cpio.
# Usage: BUILD=build tests/vm/run.sh [6.1|6.12 ...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${BUILD:-$here/../../build}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$build/vm
mkdir -p "$cache"

# fetch SERIES: the newest Debian cloud kernel of the series, unpacked, never installed. Prints its folder.
fetch() {
	local package
	case "$1" in
	6.1) package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/ *Depends: //p' | head -1) ;;
	*) package=$(apt-cache search "^linux-image-$1[.].*-cloud-amd64-unsigned" | cut -d' ' -f1 | sort -V | tail -1) ;;
	esac
	[ -n "$package" ] || { echo "no kernel of series $1" >&2; return 1; }
	if [ ! -d "$cache/$package" ]; then
		(cd "$work" && apt-get download -q "$package" >/dev/null && dpkg -x "$package"_*.deb "$cache/$package")
	fi
	echo "$cache/$package"
}

# image KERNEL: an initial file system: busybox, sonde with its libraries, the test, and what hooks on interfaces need of the
# kernel's modules before Linux 6.6.
image() {
	local root=$work/root
	rm -rf "$root"
	mkdir -p "$root"/{bin,lib64,etc,sys,proc,dev,modules}
	find "$1/lib/modules" '(' -name sch_ingress.ko -o -name cls_bpf.ko ')' -exec cp {} "$root/modules/" ';'
	cp /bin/busybox "$root/bin/"
	cp "$build/sonde" "$root/sonde"
	ldd "$build/sonde" | grep -oE '/[^ ]+' | while read -r library; do
		mkdir -p "$root$(dirname "$library")"
		cp -L "$library" "$root$library"
	done
	cp "$here/init.sh" "$root/init"
	cp "$here/test.sh" "$here/memory.sh" "$root/"
	chmod +x "$root/init"
	gcc -static -O2 -o "$root/vmexit" "$here/vmexit.c"
	gcc -static -O2 -o "$root/hog" "$here/hog.c"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/image"
}

# boot FOLDER TEST MIB: a kernel with so much memory, and this test in it.
boot() {
	local kernel code
	kernel=$(ls "$1"/boot/vmlinuz-* | head -1)
	set +e
	timeout 600 qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m "$3" \
		-display none -serial stdio -no-reboot -kernel "$kernel" -initrd "$work/image" \
		-device isa-debug-exit,iobase=0xf4,iosize=0x04 \
		-append "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr tsc=reliable random.trust_cpu=on sonde.test=$2"
	code=$?
	set -e
	# Even: the machine ended by itself, not by the test.
	[ $((code % 2)) = 1 ] && [ $((code / 2)) = 0 ]
}

failed=0
for series in "${@:-6.1}"; do
	folder=$(fetch "$series")
	image "$folder"
	while read -r test mib; do
		if boot "$folder" "$test" "$mib" </dev/null; then
			echo "kernel $series, $test: passed"
		else
			echo "kernel $series, $test: FAILED"
			failed=1
		fi
	done <<-END
		test.sh 1024
		memory.sh 320
	END
done
exit $failed
