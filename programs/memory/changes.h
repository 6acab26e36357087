/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file changes.h
 * Whether a cgroup came or went, or had its limit written: else no walk over them would find anything new. The kernel notes it
 * while nobody looks, so asking costs one system call.
 */

#include <stdbool.h>

#include "sources.h"

struct sonde_memory_changes {
	int fd; /* -1: the kernel notes nothing */
	bool partial; /* of some cgroup it is not told */
};

/** Without room for it in the kernel all is as if something changed all the time. */
void sonde_memory_changes_open(struct sonde_memory_changes *changes);
void sonde_memory_changes_close(struct sonde_memory_changes *changes);
/** From now on of this cgroup and those right below it; before its limit and its folder are read, so that nothing is missed. */
void sonde_memory_changes_of(struct sonde_memory_changes *changes, const struct sonde_memory_hierarchy *hierarchy, const char *path);
/** Whether something changed since the last call, as far as it can be known. */
bool sonde_memory_changes_any(struct sonde_memory_changes *changes, const struct sonde_memory_hierarchy *hierarchy);
