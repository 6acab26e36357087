/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once
#include <sonde/types.h>

enum everything_kind {
	EVERYTHING_KIND_NONE,
	EVERYTHING_KIND_FIRST_ONE,
	EVERYTHING_KIND_LAST = 70,
};

enum outer_colour { RED, GREEN = -5 };

enum everything_mode {
	MODE_READ = 0,
	MODE_WRITE = 1,
	MODE_BOTH = 2,
	MODE_MAKE = 0x40,
	MODE_DATA = 0x1000,
	MODE_ALL = 0x101000,
};

enum everything_option { OPTION_NONE, OPTION_FAST, OPTION_LOUD };

struct inner {
	__u16 inner_number SONDE_DOC("a number of the nested struct");
	__u8 inner_padding[2] SONDE_HIDDEN;
};

struct everything {
	struct sonde_header header;
	sonde_time_ns begin SONDE_DOC("when it began") SONDE_ABSENT(0);
	sonde_duration_ns took_ns SONDE_DOC("how long it took") SONDE_ABSENT(0);
	sonde_bytes length_bytes SONDE_DOC("how large it was") SONDE_ABSENT(-1);
	sonde_count things SONDE_DOC("how many") SONDE_ABSENT(0xffffffffffffffff) SONDE_MEASURE;
	sonde_symbol location SONDE_DOC("function that did it") SONDE_ABSENT(0);
	sonde_cookie cookie SONDE_DOC("socket");
	__s64 signed_long SONDE_DOC("a long number");
	sonde_kernel_enum reason SONDE_DOC("why") SONDE_ENUM("skb_drop_reason") SONDE_PREFIX("SKB_DROP_REASON_");
	sonde_pid parent_pid SONDE_DOC("its parent") SONDE_ABSENT(0);
	sonde_uid owner_uid SONDE_DOC("its owner");
	sonde_errno error SONDE_DOC("why it failed");
	sonde_signal signal SONDE_DOC("what ended it");
	enum everything_kind kind SONDE_DOC("what it is");
	enum outer_colour colour SONDE_DOC("its colour") SONDE_PREFIX("G") SONDE_ABSENT(0);
	enum everything_mode mode SONDE_DOC("how it was opened") SONDE_FLAGS(3) SONDE_PREFIX("MODE_") SONDE_ABSENT(-1);
	enum everything_option options SONDE_DOC("its options") SONDE_FLAGS(0);
	__s32 exit_code SONDE_DOC("a code") SONDE_ABSENT(-1);
	sonde_address address SONDE_DOC("where it is");
	struct sonde_socket_flow flow;
	struct inner nested;
	__s16 small_signed SONDE_DOC("a small number") SONDE_ABSENT(-2);
	__s8 tiny_signed SONDE_DOC("a tiny number");
	sonde_bool yes SONDE_DOC("true or false");
	_Bool plain_bool SONDE_DOC("true or false, of C");
	__u8 raw[3] SONDE_HIDDEN;
	__u16 words_length SONDE_HIDDEN;
	__u16 data_length SONDE_DOC("bytes of the data");
	char name[16] SONDE_DOC("a name") SONDE_TOP;
	char label[8] SONDE_DOC("a name that may be missing") SONDE_ABSENT(0);
	char data[24] SONDE_DOC("bytes") SONDE_LENGTH(data_length);
	sonde_arguments words[32] SONDE_DOC("words") SONDE_LENGTH(words_length);
	__u64 last SONDE_DOC("the last field") SONDE_MAIN;
};

struct small {
	struct sonde_header header;
	const volatile __u64 number SONDE_DOC("a number");
};

struct everything_key {
	enum everything_kind kind SONDE_DOC("what it is");
	sonde_protocol protocol SONDE_DOC("which protocol");
	__u8 key_padding[3] SONDE_HIDDEN;
	char interface[16] SONDE_DOC("network interface");
	sonde_errno error SONDE_DOC("why it failed");
};
