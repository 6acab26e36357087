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

#include <sonde/loop.bpf.h>
#include <sonde/sonde.bpf.h>

#define SONDE_PATH_SIZE 256		       /* NUL included; of a longer path the last part, after "..." */
#define SONDE_PATH_SCRATCH (2 * SONDE_PATH_SIZE) /* room that sonde_path_read() builds the path in */
#ifndef SONDE_PATH_DEPTH
#define SONDE_PATH_DEPTH 64 /* components and mounts together */
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

#define SONDE_PATH_WORDS 4 /* of 8 bytes: a longer name is copied by a helper, which takes as long as ten of them */

/**
 * Copies a name to where it ends, by words from its end on: what they bring along from in front of the name is written over by what
 * comes there next, for a path is built from its end. Needs 16 bytes of room in front of it.
 */
static __always_inline void sonde_path_words(char *scratch, __u32 end, const unsigned char *name, __u32 length)
{
#pragma unroll
	for (__u32 i = 1; i <= SONDE_PATH_WORDS; i++) {
		__u32 position = end - 8 * i;

		if (i == 3 && length <= 16)
			break;
		barrier_var(position);
		*(__u64 *)&scratch[position & SONDE_PATH_MASK] = sonde_load_word(name + length - 8 * i);
	}
}

/* Where a walk towards the root stands. */
struct sonde_path_walk {
	struct dentry *dentry, *mount_root;
	struct mount *mount;
	char *scratch;
	__u32 position; /* where in `scratch` the path begins by now */
	bool whole;
	bool full; /* there is no room for the name of `dentry` */
};

/* One component or one mount. Masks that are always right instead of checks, of which the verifier would follow both ways. */
static __noinline long sonde_path_step(__u32 round, struct sonde_path_walk *walk)
{
	struct dentry *dentry = walk->dentry, *parent;
	__u32 length, end = walk->position, position;
	const unsigned char *name;

	if (dentry == walk->mount_root) {
		struct mount *mount = walk->mount, *below = sonde_load(mount, mnt_parent);

		if (below == mount || !below) {
			walk->whole = true;
			return 1;
		}
		walk->dentry = sonde_load(mount, mnt_mountpoint);
		walk->mount = below;
		walk->mount_root = sonde_load(below, mnt.mnt_root);
		return 0;
	}
	length = sonde_load(dentry, d_name.len);
	name = sonde_load(dentry, d_name.name);
	if ((__u64)length + 4 > end) { /* "/name", and dots in front of it */
		walk->full = true;
		return 1;
	}
	position = end - length - 1;
	walk->position = position;
	/* Without these the compiler proves the masks away, and the verifier cannot follow the proof. */
	barrier_var(position);
	barrier_var(length);
	if (SONDE_CAN_CAST && length <= 8 * SONDE_PATH_WORDS && position >= 16)
		sonde_path_words(walk->scratch, end, name, length);
	else
		bpf_probe_read_kernel(&walk->scratch[(position & SONDE_PATH_MASK) + 1], length & SONDE_PATH_MASK, name);
	walk->scratch[position & SONDE_PATH_MASK] = '/';
	parent = sonde_load(dentry, d_parent);
	walk->dentry = parent;
	walk->whole = parent == dentry || !parent; /* a file of no directory: memfd */
	return walk->whole;
}

/** Puts the path of a place in front of what stands in `scratch` from `position` on. @return where it begins by then. */
static __always_inline __u32 sonde_path_complete(struct dentry *dentry, struct vfsmount *vfsmount,
						 char scratch[SONDE_PATH_SCRATCH], __u32 position)
{
	struct mount *mount = sonde_cast(struct mount, (void *)vfsmount - bpf_core_field_offset(struct mount, mnt));
	struct sonde_path_walk walk = {
		.dentry = sonde_cast(struct dentry, dentry), .mount = mount, .mount_root = sonde_load(mount, mnt.mnt_root),
		.scratch = scratch, .position = position,
	};

	sonde_loop(SONDE_PATH_DEPTH, sonde_path_step, &walk);
	position = walk.position;
	if (!walk.whole) {
		if (walk.full)
			sonde_path_prepend_end(walk.dentry, scratch, &position);
		if (position >= 3) /* else they take the place of what is there */
			position -= 3;
		barrier_var(position);
		__builtin_memcpy(&scratch[position & SONDE_PATH_MASK], "...", 3);
	} else if (position == SONDE_PATH_SIZE - 1) { /* the root itself */
		scratch[--position] = '/';
	}
	return position;
}

/**
 * Builds the path of `file` at the end of the first SONDE_PATH_SIZE bytes of `scratch`, NUL-terminated. @return where it begins there;
 * at the NUL: there is none.
 */
static __always_inline __u32 sonde_path_build(struct file *file, char scratch[SONDE_PATH_SCRATCH])
{
	struct file *opened = sonde_cast(struct file, file);
	struct dentry *dentry = sonde_load(opened, f_path.dentry);
	struct vfsmount *vfsmount = sonde_load(opened, f_path.mnt);
	__u32 position = SONDE_PATH_SIZE - 1;

	scratch[position] = '\0';
	if (!dentry || !vfsmount)
		return position;
	if (!sonde_load(dentry, d_hash.pprev) && sonde_load(vfsmount, mnt_root) != dentry) {
		position -= sizeof(" (deleted)") - 1;
		__builtin_memcpy(&scratch[position], " (deleted)", sizeof(" (deleted)") - 1);
	}
	return sonde_path_complete(dentry, vfsmount, scratch, position);
}

/** The path that was built there. */
static __always_inline void sonde_path_copy(const char scratch[SONDE_PATH_SCRATCH], __u32 position, char ret_path[SONDE_PATH_SIZE])
{
	__u32 length = SONDE_PATH_SIZE - position;

	barrier_var(position);
	barrier_var(length);
	if (position < SONDE_PATH_SIZE && length <= SONDE_PATH_SIZE)
		bpf_probe_read_kernel(ret_path, length, &scratch[position]);
}

#define SONDE_PATH_SHORT 64

/** The same, without a helper, of one that is not longer than SONDE_PATH_SHORT with its NUL. Behind it stands anything. */
static __always_inline void sonde_path_copy_short(const char scratch[SONDE_PATH_SCRATCH], __u32 position,
						  char ret_path[SONDE_PATH_SHORT])
{
	barrier_var(position);
	scratch += position & SONDE_PATH_MASK;
#pragma unroll
	for (int i = 0; i < SONDE_PATH_SHORT; i += 8)
		*(__u64 *)&ret_path[i] = *(const __u64 *)&scratch[i];
}

/**
 * Writes the path of `file` to `ret_path`, NUL-terminated; "" when there is none.
 * `scratch` may be a part of the record that is filled later: no per-CPU buffer, so preemption does no harm.
 */
static __always_inline void sonde_path_read(struct file *file, char scratch[SONDE_PATH_SCRATCH],
					    char ret_path[SONDE_PATH_SIZE])
{
	sonde_path_copy(scratch, sonde_path_build(file, scratch), ret_path);
}
