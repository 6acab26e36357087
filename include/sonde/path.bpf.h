/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file path.bpf.h
 * The absolute path of an open file, where bpf_d_path() is refused (tracepoints).
 *
 * Walks dentries and mounts up to the root of the file's mount namespace, like readlink(/proc/PID/exe) from within
 * a container: inside chroot it shows the way outside of it too. A deleted file and a memfd end in " (deleted)".
 * The walk takes no lock: a rename at this very moment can give a mixture of the old and the new name.
 */

#include <sonde/sonde.bpf.h>

#define SONDE_PATH_SIZE 256		       /* NUL included; of a longer path the last part, after "..." */
#define SONDE_PATH_SCRATCH (2 * SONDE_PATH_SIZE) /* room that sonde_path_read() builds the path in */
#ifndef SONDE_PATH_DEPTH
#define SONDE_PATH_DEPTH 64 /* components and mounts together; each takes 0.6 ms of the start, so less may do */
#endif

#define SONDE_PATH_MASK (SONDE_PATH_SIZE - 1)

/* The end of a name that has no room as a whole: "...", to be put in front, needs three bytes. */
static __always_inline void sonde_path_prepend_end(struct dentry *dentry, char *scratch, __u32 *position)
{
	__u32 length = sonde_load(dentry, d_name.len), room = *position - 3;
	const unsigned char *name = sonde_load(dentry, d_name.name);

	if (*position <= 3)
		return;
	if (length > room) {
		name += length - room;
		length = room;
	}
	*position -= length;
	barrier_var(*position);
	barrier_var(length);
	bpf_probe_read_kernel(&scratch[*position & SONDE_PATH_MASK], length & SONDE_PATH_MASK, name);
}

/*
 * Walks towards the root. False: the path is longer than there is room for; `ret_rest` is then what does not fit, if known.
 * The verifier goes through each round on its own, so a round has masks that are always right instead of checks that branch.
 */
static __always_inline bool sonde_path_walk(struct dentry *dentry, struct mount *mount, char *scratch,
					    __u32 *position, struct dentry **ret_rest)
{
	struct dentry *mount_root = sonde_load(mount, mnt.mnt_root), *parent;
	struct mount *below;
	__u32 length;
	int i;

	for (i = 0; i < SONDE_PATH_DEPTH; i++) {
		if (dentry == mount_root) {
			below = sonde_load(mount, mnt_parent);
			if (below == mount || !below)
				return true;
			dentry = sonde_load(mount, mnt_mountpoint);
			mount = below;
			mount_root = sonde_load(mount, mnt.mnt_root);
			continue;
		}
		length = sonde_load(dentry, d_name.len);
		if ((__u64)length + 4 > *position) { /* "/name", and dots in front of it */
			*ret_rest = dentry;
			return false;
		}
		*position -= length + 1;
		/* Without these the compiler proves the masks away, and the verifier cannot follow the proof. */
		barrier_var(*position);
		barrier_var(length);
		scratch[*position & SONDE_PATH_MASK] = '/';
		bpf_probe_read_kernel(&scratch[(*position & SONDE_PATH_MASK) + 1], length & SONDE_PATH_MASK,
				      sonde_load(dentry, d_name.name));
		parent = sonde_load(dentry, d_parent);
		if (parent == dentry || !parent) /* a file of no directory: memfd */
			return true;
		dentry = parent;
	}
	return false;
}

/**
 * Puts the path of a place in front of what stands in `scratch` from `position` on (up to SONDE_PATH_SIZE, its NUL included), and
 * all of it in `ret_path`.
 */
static __always_inline void sonde_path_complete(struct dentry *dentry, struct vfsmount *vfsmount,
						char scratch[SONDE_PATH_SCRATCH], __u32 position,
						char ret_path[SONDE_PATH_SIZE])
{
	struct mount *mount = sonde_cast(struct mount, (void *)vfsmount - bpf_core_field_offset(struct mount, mnt));
	struct dentry *rest = NULL;
	__u32 length;

	if (!sonde_path_walk(sonde_cast(struct dentry, dentry), mount, scratch, &position, &rest)) {
		if (rest)
			sonde_path_prepend_end(rest, scratch, &position);
		position -= 3;
		barrier_var(position);
		if (position < SONDE_PATH_SIZE)
			__builtin_memcpy(&scratch[position], "...", 3);
		else
			position += 3; /* no room for them */
	} else if (position == SONDE_PATH_SIZE - 1) { /* the root itself */
		scratch[--position] = '/';
	}
	length = SONDE_PATH_SIZE - position;
	barrier_var(position);
	barrier_var(length);
	if (position < SONDE_PATH_SIZE && length <= SONDE_PATH_SIZE)
		bpf_probe_read_kernel(ret_path, length, &scratch[position]);
}

/**
 * Writes the path of `file` to `ret_path`, NUL-terminated; "" when there is none.
 * `scratch` may be a part of the record that is filled later: no per-CPU buffer, so preemption does no harm.
 */
static __always_inline void sonde_path_read(struct file *file, char scratch[SONDE_PATH_SCRATCH],
					    char ret_path[SONDE_PATH_SIZE])
{
	struct file *opened = sonde_cast(struct file, file);
	struct dentry *dentry = sonde_load(opened, f_path.dentry);
	struct vfsmount *vfsmount = sonde_load(opened, f_path.mnt);
	__u32 position = SONDE_PATH_SIZE - 1;

	ret_path[0] = '\0';
	if (!dentry || !vfsmount)
		return;
	scratch[position] = '\0';
	if (!sonde_load(dentry, d_hash.pprev) && sonde_load(vfsmount, mnt_root) != dentry) {
		position -= sizeof(" (deleted)") - 1;
		__builtin_memcpy(&scratch[position], " (deleted)", sizeof(" (deleted)") - 1);
	}
	sonde_path_complete(dentry, vfsmount, scratch, position, ret_path);
}
