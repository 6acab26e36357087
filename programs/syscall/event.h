/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once
#include <sonde/types.h>
#include "names.h"

enum syscall_kind {
	SYSCALL_KIND_COUNT,
	SYSCALL_KIND_SINGLE,
};

/* A count ends before `result`. */
struct syscall {
	struct sonde_header header;
	enum syscall_kind kind SONDE_DOC("count: all calls of an interval; single: one call");
	enum syscall_name name SONDE_DOC("the system call; null: none of this name is known, or a 32-bit program's")
		SONDE_ABSENT(-1) SONDE_MAIN;
	__u32 number SONDE_DOC("its number on this architecture");
	sonde_bool is_32_bit SONDE_DOC("whether a 32-bit program made it, to which other numbers belong");
	__u8 reserved[3] SONDE_HIDDEN;
	sonde_count count SONDE_DOC("calls that returned") SONDE_MEASURE;
	sonde_count errors SONDE_DOC("how many of them failed") SONDE_MAIN;
	sonde_duration_ns latency_ns SONDE_DOC("time in these calls, all together; only with the setting latency")
		SONDE_ABSENT(0);
	sonde_duration_ns latency_p50_ns SONDE_DOC("half of the calls took less; good to a factor of 2") SONDE_ABSENT(0);
	sonde_duration_ns latency_p99_ns SONDE_DOC("99 of 100 calls took less; good to a factor of 2") SONDE_ABSENT(0);
	__s64 result SONDE_DOC("what a single call returned");
	__s64 argument_1 SONDE_DOC("first argument of a single call, as it stands in the register, as a signed number");
	__s64 argument_2 SONDE_DOC("second argument");
	__s64 argument_3 SONDE_DOC("third argument");
	__s64 argument_4 SONDE_DOC("fourth argument");
	__s64 argument_5 SONDE_DOC("fifth argument");
	__s64 argument_6 SONDE_DOC("sixth argument");
	sonde_errno error SONDE_DOC("why a single call failed; null: it did not") SONDE_ABSENT(0);
	__u32 reserved_end SONDE_HIDDEN;
};
