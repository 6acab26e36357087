/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file shared.h
 * Maps that several objects use by name (SONDE_SHARED). The first object that declares one has it made.
 *
 * Threads: any; objects may be loaded at the same time.
 */

#include <bpf/object.h>

struct bpf_object;

/** Before load: make the shared maps that are missing, and let the object use them. @return -EINVAL: it declares one differently. */
int sonde_shared_maps_use(struct sonde_shared_maps *maps, struct bpf_object *object, char *error, size_t error_size);
