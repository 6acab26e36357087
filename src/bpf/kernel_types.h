/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file kernel_types.h
 * The few of the kernel's types that some objects ask for.
 *
 * For each struct that an object relocates, libbpf compares its name with those of all the kernel's types, some 130,000: that was a
 * quarter of the agent's start. Given this file instead (btf_custom_path) it finds the same types under the same numbers, sooner.
 *
 * Only for objects that ask for nothing of the kernel's modules.
 * Threads: any.
 */

#include <stddef.h>

struct sonde_image {
	const void *object; /* ELF file */
	size_t size;
};

struct sonde_kernel_types {
	int fd; /* -1: none */
	char path[32]; /* of a file in memory, with raw BTF, while it is open */
};

#define SONDE_KERNEL_TYPES_NONE {.fd = -1}

/** @return 0, -ENOENT: the kernel has no BTF, or none of the types; ... Without it, libbpf does what it always does. */
int sonde_kernel_types_open(const struct sonde_image *images, size_t n, struct sonde_kernel_types *ret_types);
void sonde_kernel_types_close(struct sonde_kernel_types *types);
