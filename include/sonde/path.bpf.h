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
#define SONDE_PATH_DEPTH 64		       /* components and mounts together */

/* Puts "/name" in front of *position. False: there is room for its end only, and nothing goes in front of that. */
static __always_inline bool sonde_path_prepend(struct dentry *dentry, char *scratch, __u32 *ret_position)
{
	__u32 length = BPF_CORE_READ(dentry, d_name.len), position = *ret_position;
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	bool whole = true;

	if (position < 4 || position >= SONDE_PATH_SIZE)
		return false;
	if (length >= position - 3) { /* 3: for the dots */
		name += length - (position - 3);
		length = position - 3;
		whole = false;
	}
	position -= length;
	/* Without these the compiler proves the checks away, and the verifier cannot follow the proof. */
	barrier_var(position);
	barrier_var(length);
	if (position >= SONDE_PATH_SIZE || length >= SONDE_PATH_SIZE)
		return false;
	bpf_probe_read_kernel(&scratch[position], length, name);
	if (whole) {
		position--;
		barrier_var(position);
		if (position >= SONDE_PATH_SIZE)
			return false;
		scratch[position] = '/';
	}
	*ret_position = position;
	return whole;
}

/* Walks towards the root. False: the path is longer than there is room for. */
static __always_inline bool sonde_path_walk(struct dentry *dentry, struct mount *mount, char *scratch,
					    __u32 *position)
{
	struct dentry *mount_root = BPF_CORE_READ(mount, mnt.mnt_root), *parent;
	struct mount *below;
	int i;

	for (i = 0; i < SONDE_PATH_DEPTH; i++) {
		if (dentry == mount_root) {
			below = BPF_CORE_READ(mount, mnt_parent);
			if (below == mount || !below)
				return true;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = below;
			mount_root = BPF_CORE_READ(mount, mnt.mnt_root);
			continue;
		}
		if (!sonde_path_prepend(dentry, scratch, position))
			return false;
		parent = BPF_CORE_READ(dentry, d_parent);
		if (parent == dentry || !parent) /* a file of no directory: memfd */
			return true;
		dentry = parent;
	}
	return false;
}

/**
 * Writes the path of `file` to `ret_path`, NUL-terminated; "" when there is none.
 * `scratch` may be a part of the record that is filled later: no per-CPU buffer, so preemption does no harm.
 */
static __always_inline void sonde_path_read(struct file *file, char scratch[SONDE_PATH_SCRATCH],
					    char ret_path[SONDE_PATH_SIZE])
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfsmount *vfsmount = BPF_CORE_READ(file, f_path.mnt);
	__u32 length, position = SONDE_PATH_SIZE - 1;

	ret_path[0] = '\0';
	if (!dentry || !vfsmount)
		return;
	scratch[position] = '\0';
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(vfsmount, mnt_root) != dentry) {
		position -= sizeof(" (deleted)") - 1;
		__builtin_memcpy(&scratch[position], " (deleted)", sizeof(" (deleted)") - 1);
	}
	if (!sonde_path_walk(dentry, (void *)vfsmount - bpf_core_field_offset(struct mount, mnt), scratch, &position) &&
	    position >= 3 && position < SONDE_PATH_SIZE) {
		position -= 3;
		__builtin_memcpy(&scratch[position], "...", 3);
	}
	length = SONDE_PATH_SIZE - position;
	barrier_var(position);
	barrier_var(length);
	if (position < SONDE_PATH_SIZE && length <= SONDE_PATH_SIZE)
		bpf_probe_read_kernel(ret_path, length, &scratch[position]);
}
