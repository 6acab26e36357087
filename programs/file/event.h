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
	__u32 flags SONDE_DOC("flags of a single open (O_CREAT is 0x40)") SONDE_ABSENT(-1);
	__s32 descriptor SONDE_DOC("file descriptor of a single operation") SONDE_ABSENT(-1);
	sonde_bool path_is_relative SONDE_DOC("whether path counts from a directory that is not known") SONDE_ABSENT(0);
	__u8 reserved[7] SONDE_HIDDEN;
	char path[FILE_PATH_SIZE]
		SONDE_DOC("the file, as seen in its mount namespace; \"...\" stands for what is cut") SONDE_ABSENT(0)
		SONDE_TOP SONDE_MAIN;
};
