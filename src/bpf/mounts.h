/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file mounts.h Where the kernel's own file systems are mounted. */

#include <stddef.h>

/** Directory descriptor of the root of the cgroup v2 hierarchy (O_PATH-less), or -ENODEV: not mounted. */
int sonde_cgroup2_open(void);
/** First mount point of a file system type ("tracefs", "bpf"). @return 0, -ENOENT */
int sonde_mount_point(const char *type, char *ret_path, size_t size);
