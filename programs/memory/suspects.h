/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file suspects.h
 * Who grows: the processes below a limit, looked at twice.
 */

#include "sources.h"

#define SONDE_MEMORY_SUSPECTS_MAX 4096

struct sonde_memory_suspects;

/** The first look. @param hierarchy NULL: all processes of the node. NULL is returned without memory. */
struct sonde_memory_suspects *sonde_memory_suspects_new(const struct sonde_memory_hierarchy *hierarchy, const char *path);
void sonde_memory_suspects_free(struct sonde_memory_suspects **suspects);
/** The second look, some time later. @return the one that grew most, of equals the largest; 0: none is left. */
uint32_t sonde_memory_suspects_worst(const struct sonde_memory_suspects *suspects);
