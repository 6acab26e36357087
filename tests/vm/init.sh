#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# First process of the virtual machine: mounts what a node has, runs the test, ends the machine with its result.
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var/lib
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
mount -t cgroup2 cg /sys/fs/cgroup; mount -t bpf bpf /sys/fs/bpf; mount -t tracefs tr /sys/kernel/tracing
ip link set lo up
for module in /modules/*.ko; do
	[ ! -e "$module" ] || insmod "$module"
done
echo "kernel $(uname -r)"
sh "/$(sed -n 's/.*sonde.test=\([^ ]*\).*/\1/p' /proc/cmdline)"
code=$?
sync
/vmexit $code
poweroff -f
