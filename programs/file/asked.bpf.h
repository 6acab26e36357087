/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * The path as the caller wrote it: all there is of an open that failed. It is read after the call, so its page is there, but
 * another thread may have written to it in the meantime.
 */

#include "place.bpf.h"

#define AT_FDCWD (-100)

struct asked {
	__u64 words[FILE_PATH_SIZE / 8]; /* the text, zeroes after it */
	__u32 length;			 /* without the NUL */
	bool relative;
	struct dentry *dentry; /* of the directory that it counts from, the process's root for one with "/"; NULL: not known */
	struct vfsmount *mount;
};

/* False: it cannot be read. */
static __always_inline bool asked_read(struct asked *asked, const struct task_struct *task, struct files_struct *files, const char *path,
				       int directory)
{
	char *text = (char *)asked->words;
	long size = bpf_probe_read_user_str(text, FILE_PATH_SIZE, path);
	const struct fs_struct *fs = sonde_cast(struct task_struct, task)->fs;
	__u64 file;

	asked->dentry = NULL;
	asked->relative = false;
	asked->length = 0;
	if (size <= 0 || size > FILE_PATH_SIZE)
		return false;
	asked->length = size - 1;
	if (size == FILE_PATH_SIZE) /* cut */
		__builtin_memcpy(&text[FILE_PATH_SIZE - 4], "...", 3);
	asked->relative = text[0] != '/';
	if (!asked->relative) {
		asked->dentry = fs->root.dentry; /* another than the namespace's in a chroot */
		asked->mount = fs->root.mnt;
		return true;
	}
	if (directory == AT_FDCWD) {
		asked->dentry = fs->pwd.dentry;
		asked->mount = fs->pwd.mnt;
		return true;
	}
	file = file_of(files, directory);
	if (file && has_path(file)) {
		struct file___kernel *opened = sonde_cast(struct file___kernel, file);

		asked->dentry = sonde_load(opened, f_path.dentry);
		asked->mount = sonde_load(opened, f_path.mnt);
	}
	return true;
}

static __always_inline void identify_asked(const struct asked *asked, int directory, struct identity *ret_identity)
{
	__u64 hash = asked->length;

	for (__u32 i = 0; i < FILE_PATH_SIZE / 8 && i * 8 < asked->length; i++) {
		__u64 word = asked->words[i];

		if (asked->length - i * 8 < 8) /* what stands behind the text is left from the last one */
			word &= (1ull << (asked->length - i * 8) * 8) - 1;
		hash = sonde_mix(hash, word);
	}
	ret_identity->name = hash;
	ret_identity->directories = asked->relative ? sonde_mix(directory, 1) : 0;
	if (asked->dentry)
		ret_identity->directories = hash_place(sonde_cast(struct dentry, asked->dentry), asked->mount);
}

/* As sonde_path_build(). */
static __always_inline __u32 asked_path(const struct asked *asked, char scratch[SONDE_PATH_SCRATCH], __u8 *ret_is_relative)
{
	__u32 length = asked->length, position = SONDE_PATH_SIZE - 1 - length;

	scratch[SONDE_PATH_SIZE - 1] = '\0';
	*ret_is_relative = asked->relative && !asked->dentry;
	barrier_var(position);
	barrier_var(length);
	if (position >= SONDE_PATH_SIZE || length >= SONDE_PATH_SIZE)
		return SONDE_PATH_SIZE - 1;
	bpf_probe_read_kernel(&scratch[position], length, asked->words);
	if (!asked->dentry)
		return position;
	if (asked->relative)
		position--;
	barrier_var(position);
	if (position < SONDE_PATH_SIZE)
		scratch[position] = '/'; /* as stands there already, if it is not relative */
	else
		position = 0;
	return sonde_path_complete(asked->dentry, asked->mount, scratch, position);
}
