/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Which file is this? To count, a name for the path is enough, and a short one: the hashes that the kernel keeps of all
 * its components, which cost a few loads. The path as text is written once, for a new entry.
 *
 * Invariant: two paths with one identity have the same parent directory, and names that agree in length, in the kernel's
 * hash, and in the hash of their first and last bytes.
 */

/* The event is called `file`, so the kernel's struct needs a name of its own here; libbpf ignores what follows "___". */
#define file file___kernel
#include <sonde/path.bpf.h>
#undef file

#include "event.h"

#define SB_NOUSER (1ul << 31) /* include/linux/fs.h: no path leads there (pipes, sockets, memfd, eventfd) */
#define NAME_BYTES 32

_Static_assert(FILE_PATH_SIZE == SONDE_PATH_SIZE, "the path is built for this size");

struct identity {
	__u64 directories;
	__u64 name;
};

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

/* Linux 6.2: a plain pointer becomes one that is loaded through directly, about 1 ns a load, where a helper takes 28. */
extern void *bpf_rdonly_cast(const void *pointer, __u32 type) __ksym __weak;
/* Came with the same release; a function's existence cannot be asked for, nor a type's that is only declared. */
struct bpf_list_head___any {
	int any;
};
#define CAN_CAST bpf_core_type_exists(struct bpf_list_head___any)

#define cast(type, pointer)                                                                  \
	((type *)(CAN_CAST ? bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(type)) : (void *)(pointer)))

#define load(pointer, field)                                                            \
	({                                                                              \
		typeof((pointer)->field) __value;                                       \
		if (CAN_CAST)                                                           \
			__value = (pointer)->field;                                     \
		else                                                                    \
			bpf_core_read(&__value, sizeof(__value), &(pointer)->field);    \
		__value;                                                                \
	})

/* The open file behind a descriptor of the current process; NULL: there is none. */
static __always_inline struct file___kernel *file_of(unsigned int fd)
{
	struct files_struct *open = bpf_get_current_task_btf()->files;
	struct file___kernel **files, *found = NULL;

	if (!open || fd >= open->fdt->max_fds)
		return NULL;
	files = open->fdt->fd;
	bpf_probe_read_kernel(&found, sizeof(found), files + fd);
	return found ? cast(struct file___kernel, found) : NULL;
}

static __always_inline bool has_path(struct file___kernel *opened)
{
	struct inode *inode = load(opened, f_inode);
	struct super_block *super = load(inode, i_sb);

	return !(load(super, s_flags) & SB_NOUSER);
}

static __always_inline __u64 hash_bytes(__u64 hash, const void *from, __u32 length)
{
	__u64 words[NAME_BYTES / 8] = {};

	barrier_var(length);
	if (length > sizeof(words))
		length = sizeof(words);
	bpf_probe_read_kernel(words, length, from);
	for (int i = 0; i < NAME_BYTES / 8; i++)
		hash = mix(hash, words[i]);
	return hash;
}

/* Of all directories up to the root of the mount namespace, so that a rename of any makes another identity. */
static __always_inline __u64 hash_place(struct dentry *dentry, struct vfsmount *vfsmount)
{
	struct mount *mount = cast(struct mount, (void *)vfsmount - bpf_core_field_offset(struct mount, mnt)), *below;
	struct dentry *mount_root = load(mount, mnt.mnt_root), *parent;
	__u64 hash = 0;

	for (int i = 0; i < SONDE_PATH_DEPTH; i++) {
		if (dentry == mount_root) {
			below = load(mount, mnt_parent);
			if (below == mount || !below)
				break;
			dentry = load(mount, mnt_mountpoint);
			mount = below;
			mount_root = load(mount, mnt.mnt_root);
			continue;
		}
		hash = mix(hash, load(dentry, d_name.hash_len));
		parent = load(dentry, d_parent);
		if (parent == dentry || !parent)
			break;
		dentry = parent;
	}
	return mix(hash, load(mount, mnt_id));
}

static __always_inline void identify_file(struct file___kernel *opened, struct identity *ret_identity)
{
	struct dentry *dentry = load(opened, f_path.dentry);
	__u32 length = load(dentry, d_name.len);
	const unsigned char *name = load(dentry, d_name.name);
	struct dentry *parent = load(dentry, d_parent);
	struct inode *directory = load(parent, d_inode);
	/* No pointer is mixed in: the verifier allows no arithmetic on one that can be loaded through. */
	__u64 hash = mix(directory ? load(directory, i_ino) : 0, load(dentry, d_hash.pprev) ? 0 : 1);

	ret_identity->directories = hash_place(dentry, load(opened, f_path.mnt));
	hash = hash_bytes(hash, name, length);
	if (length > NAME_BYTES)
		hash = hash_bytes(hash, name + length - NAME_BYTES, NAME_BYTES);
	ret_identity->name = hash;
}
