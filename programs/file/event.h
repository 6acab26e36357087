/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once
#include <sonde/types.h>

#define FILE_PATH_SIZE 256

enum file_operation {
	FILE_OPERATION_OPEN,
	FILE_OPERATION_READ,
	FILE_OPERATION_WRITE,
	FILE_OPERATION_SYNC,
};

/* Of open(2): the kernel gives these numbers for ever. */
enum file_flag {
	FILE_FLAG_O_RDONLY = 0,
	FILE_FLAG_O_WRONLY = 01,
	FILE_FLAG_O_RDWR = 02,
	FILE_FLAG_O_CREAT = 0100,
	FILE_FLAG_O_EXCL = 0200,
	FILE_FLAG_O_NOCTTY = 0400,
	FILE_FLAG_O_TRUNC = 01000,
	FILE_FLAG_O_APPEND = 02000,
	FILE_FLAG_O_NONBLOCK = 04000,
	FILE_FLAG_O_DSYNC = 010000,
	FILE_FLAG_O_ASYNC = 020000,
#if defined(__TARGET_ARCH_arm64)
	FILE_FLAG_O_DIRECTORY = 040000,
	FILE_FLAG_O_NOFOLLOW = 0100000,
	FILE_FLAG_O_DIRECT = 0200000,
	FILE_FLAG_O_LARGEFILE = 0400000,
#else
	FILE_FLAG_O_DIRECT = 040000,
	FILE_FLAG_O_LARGEFILE = 0100000,
	FILE_FLAG_O_DIRECTORY = 0200000,
	FILE_FLAG_O_NOFOLLOW = 0400000,
#endif
	FILE_FLAG_O_NOATIME = 01000000,
	FILE_FLAG_O_CLOEXEC = 02000000,
	FILE_FLAG_O_SYNC = 04000000 | FILE_FLAG_O_DSYNC,
	FILE_FLAG_O_PATH = 010000000,
	FILE_FLAG_O_TMPFILE = 020000000 | FILE_FLAG_O_DIRECTORY,
};

struct file {
	struct sonde_header header;
	enum file_operation operation SONDE_DOC("open, read, write, or sync (fsync and its like)");
	sonde_errno error SONDE_DOC("why it failed; null: it did not") SONDE_ABSENT(0);
	sonde_count count SONDE_DOC("operations that this event stands for: all of one path, process, operation and error")
		SONDE_MEASURE;
	sonde_bytes bytes SONDE_DOC("bytes read or written, all together") SONDE_ABSENT(-1);
	sonde_duration_ns latency_ns SONDE_DOC("time in these operations, all together; only with the setting latency")
		SONDE_ABSENT(0);
	sonde_duration_ns latency_p50_ns SONDE_DOC("half of them took less; good to a factor of 2; of counts") SONDE_ABSENT(0);
	sonde_duration_ns latency_p99_ns SONDE_DOC("99 of 100 took less; good to a factor of 2; of counts") SONDE_ABSENT(0);
	enum file_flag flags SONDE_DOC("flags of a single open") SONDE_FLAGS(3) SONDE_PREFIX("FILE_FLAG_") SONDE_ABSENT(-1);
	__s32 descriptor SONDE_DOC("file descriptor of a single operation") SONDE_ABSENT(-1);
	sonde_bool path_is_relative SONDE_DOC("whether path counts from a directory that is not known") SONDE_ABSENT(0);
	__u8 reserved[7] SONDE_HIDDEN;
	char path[FILE_PATH_SIZE]
		SONDE_DOC("the file, as seen in its mount namespace; \"...\" stands for what is cut") SONDE_ABSENT(0)
		SONDE_TOP SONDE_MAIN;
};
