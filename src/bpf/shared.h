/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file shared.h Maps that several objects use by name (SONDE_SHARED): the first object makes it, the others get that one. */

#include <bpf/object.h>

struct bpf_object;

/** Before load: let the object use the maps that are there. @return -EINVAL: it declares one of them differently. */
int sonde_shared_maps_reuse(struct sonde_shared_maps *maps, struct bpf_object *object, char *error, size_t error_size);
/** After load: keep the shared maps that the object made. */
int sonde_shared_maps_add(struct sonde_shared_maps *maps, struct bpf_object *object);
