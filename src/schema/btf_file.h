/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file btf_file.h A file of raw BTF in memory, as the kernel's own. Threads: does not change once opened. */

#include <stddef.h>

#define SONDE_KERNEL_BTF "/sys/kernel/btf/vmlinux"

struct sonde_btf_file {
	void *data; /* NULL: not open */
	size_t size;
};

/** @return 0, -EFBIG: empty, or above 256 MiB, or the error of open(2) or read(2). */
int sonde_btf_file_open(const char *path, struct sonde_btf_file *ret_file);
void sonde_btf_file_close(struct sonde_btf_file *file);
