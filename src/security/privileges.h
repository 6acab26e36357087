/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file privileges.h Giving up rights, for good. Threads: call it while there is only one. */

#include <sys/types.h>

/** The user that the worker runs as. */
struct sonde_user {
	uid_t uid;
	gid_t gid;
};

/**
 * @brief Look a user up. The default name ("sonde") need not exist: then a number of its own is used that no package gives out.
 * @return 0, -ENOENT: there is no such user.
 */
int sonde_user_find(const char *name, struct sonde_user *ret_user);

/**
 * @brief From here on this process has no capability (effective, permitted, inheritable, bounding, ambient), cannot get one
 * (no_new_privs), runs as that user without further groups, and cannot be traced or dumped by others of that user.
 * A process that is not root keeps its user.
 * @return 0, or the first step's error: then do not go on.
 */
int sonde_privileges_drop(const struct sonde_user *user);
