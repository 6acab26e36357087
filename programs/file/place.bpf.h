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

/* The kernel's struct file stands by its address, a number: a global function of a program is given nothing else of the kernel's. */
struct identity {
	__u64 directories;
	__u64 name;
};

/* Of the open file behind a descriptor; 0: there is none. */
static __always_inline __u64 file_of(struct files_struct *files, unsigned int fd)
{
	struct fdtable *table;

	if (!files)
		return 0;
	table = sonde_cast(struct files_struct, files)->fdt;
	return fd < table->max_fds ? sonde_load_word(table->fd + fd) : 0;
}

static __always_inline bool has_path(__u64 file)
{
	struct file___kernel *opened = sonde_cast(struct file___kernel, file);
	struct inode *inode = sonde_load(opened, f_inode);
	struct super_block *super = sonde_load(inode, i_sb);

	return !(sonde_load(super, s_flags) & SB_NOUSER);
}

/* What stands behind the bytes is left from an earlier name, or is no memory at all, which reads as zeroes. */
static __always_inline __u64 hash_bytes(__u64 hash, const void *from, __u32 length)
{
	for (__u32 i = 0; i < NAME_BYTES && i < length; i += 8) {
		__u64 word = sonde_load_word(from + i);

		if (length - i < 8)
			word &= (1ull << (length - i) * 8) - 1;
		hash = sonde_mix(hash, word);
	}
	return hash;
}

/* Of all directories up to the root of the mount namespace, so that a rename of any makes another identity. */
static __always_inline __u64 hash_place(struct dentry *dentry, struct vfsmount *vfsmount)
{
	struct mount *mount = sonde_cast(struct mount, (void *)vfsmount - bpf_core_field_offset(struct mount, mnt)), *below;
	struct dentry *mount_root = sonde_load(mount, mnt.mnt_root), *parent;
	__u64 hash = 0;

	for (int i = 0; i < SONDE_PATH_DEPTH; i++) {
		if (dentry == mount_root) {
			below = sonde_load(mount, mnt_parent);
			if (below == mount || !below)
				break;
			dentry = sonde_load(mount, mnt_mountpoint);
			mount = below;
			mount_root = sonde_load(mount, mnt.mnt_root);
			continue;
		}
		hash = sonde_mix(hash, sonde_load(dentry, d_name.hash_len));
		parent = sonde_load(dentry, d_parent);
		if (parent == dentry || !parent)
			break;
		dentry = parent;
	}
	return sonde_mix(hash, sonde_load(mount, mnt_id));
}

static __always_inline void identify_file(__u64 file, struct identity *ret_identity)
{
	struct file___kernel *opened = sonde_cast(struct file___kernel, file);
	struct dentry *dentry = sonde_load(opened, f_path.dentry);
	__u32 length = sonde_load(dentry, d_name.len);
	const unsigned char *name = sonde_load(dentry, d_name.name);
	struct dentry *parent = sonde_load(dentry, d_parent);
	struct inode *directory = sonde_load(parent, d_inode);
	/* No pointer is mixed in: the verifier allows no arithmetic on one that can be loaded through. */
	__u64 hash = sonde_mix(directory ? sonde_load(directory, i_ino) : 0, sonde_load(dentry, d_hash.pprev) ? 0 : 1);

	ret_identity->directories = hash_place(dentry, sonde_load(opened, f_path.mnt));
	hash = hash_bytes(hash, name, length);
	if (length > NAME_BYTES)
		hash = hash_bytes(hash, name + length - NAME_BYTES, NAME_BYTES);
	ret_identity->name = hash;
}
