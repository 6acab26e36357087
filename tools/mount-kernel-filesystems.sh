#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Mounts tracefs and bpffs where they belong, if they are not mounted (containers and small systems lack them).
set -eu
[ "$(id -u)" = 0 ] || exit 0
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing || true
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || true
