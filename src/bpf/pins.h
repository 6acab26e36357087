/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file pins.h
 * A directory of a bpf file system in which maps outlive the process, and others find them: `bpftool map dump pinned PATH`.
 *
 * One process at a time has it; it is root's alone. A map that lies there is used again only if it is declared just as it is
 * wanted: type, sizes, flags, and the layout of its keys and values (BTF).
 *
 * Threads: one at a time.
 */

#include <stdbool.h>
#include <stddef.h>

struct bpf_map;
struct bpf_object;
struct sonde_pins;

/**
 * @brief Take the directory; it is made if it is not there (its parent is not).
 * @param error Filled on failure.
 * @return 0; -ENOTSUP no bpf file system; -EBUSY another process has it; -EPERM others could change what is in it; -errno.
 */
int sonde_pins_open(const char *directory, struct sonde_pins **ret_pins, char *error, size_t error_size);
/** @param keep False: the maps and the directory go away, as far as nothing else lies in it. */
void sonde_pins_close(struct sonde_pins **pins, bool keep);

/**
 * @brief The map of this name that lies there.
 * @return A descriptor; -ENOENT there is none; -EINVAL it is declared differently, with `error`.
 */
int sonde_pins_get(struct sonde_pins *pins, const struct bpf_object *object, const struct bpf_map *map, char *error,
		   size_t error_size);
/** Put a map there. @return 0 or -errno. */
int sonde_pins_put(struct sonde_pins *pins, const char *name, int map_fd);
