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

/**
 * @brief Before the first use: keep them in a directory of a bpf file system too (pins.h), so that they outlive a process that is
 * killed, and other tools can read them.
 * @param keep They stay there after sonde_shared_maps_free().
 * @return As sonde_pins_open(); then they are not pinned.
 */
int sonde_shared_maps_pin(struct sonde_shared_maps *maps, const char *directory, bool keep, char *error, size_t error_size);
/** Before load: make the shared maps that are missing, and let the object use them. @return -EINVAL: it declares one differently. */
int sonde_shared_maps_use(struct sonde_shared_maps *maps, struct bpf_object *object, char *error, size_t error_size);
