/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

#include <sonde/types.h>

#define DNS_NAME_SIZE 256
#define DNS_ANSWERS_SIZE 512
#define DNS_WORD_SIZE 16
#define DNS_TIMED_OUT_UNKNOWN 2 /* absent */

enum dns_role {
	DNS_ROLE_CLIENT,
	DNS_ROLE_RESOLVER, /* the asker serves names itself */
};

/* One question and what became of it. What a reader looks for first comes first: a terminal shows it in this order. */
struct dns {
	struct sonde_header header;
	char name[DNS_NAME_SIZE] SONDE_DOC("name asked for, spelled as it was asked, odd bytes as \\DDD; \"...\" ends one that is cut") SONDE_TOP
		SONDE_MAIN;
	char qtype[DNS_WORD_SIZE] SONDE_DOC("type asked for: A, AAAA, HTTPS; TYPE123 without a name") SONDE_TOP;
	char rcode[DNS_WORD_SIZE] SONDE_DOC("result: NOERROR, NXDOMAIN, SERVFAIL; none when timed out") SONDE_ABSENT(0)
		SONDE_TOP SONDE_MAIN;
	sonde_duration_ns latency_ns SONDE_DOC("time from the question to its answer") SONDE_ABSENT(0);
	char answers[DNS_ANSWERS_SIZE] SONDE_DOC("addresses, and other answers with their type") SONDE_ABSENT(0);
	sonde_address server_address SONDE_DOC("server that answered, or that was asked first if none did") SONDE_TOP;
	sonde_port server_port SONDE_DOC("its port") SONDE_ABSENT(0);
	sonde_protocol transport SONDE_DOC("UDP or TCP");
	sonde_bool timed_out SONDE_DOC("whether no answer came; none where that is not known, as a piece of the stream was not seen")
		SONDE_ABSENT(2);
	enum dns_role role SONDE_DOC("client, or resolver: the asker serves names itself, so this may be another's question passed on");
	__u32 tries SONDE_DOC("times the question was sent");
	__u32 answer_count SONDE_DOC("records in the answer section, as its header says") SONDE_ABSENT(4294967295);
	__u32 ttl_seconds SONDE_DOC("shortest time that one of the answers may be kept") SONDE_ABSENT(4294967295);
	sonde_bool truncated SONDE_DOC("whether the server cut its answer short (TC)") SONDE_ABSENT(2);
	sonde_bool malformed SONDE_DOC("whether the answer breaks the rules of DNS somewhere") SONDE_ABSENT(2);
	sonde_bool incomplete SONDE_DOC("whether a name or the list of answers is not all here");
	__u8 padding SONDE_HIDDEN;
	char qclass[DNS_WORD_SIZE] SONDE_DOC("class asked for: IN");
	sonde_cookie cookie SONDE_DOC("the socket that asked") SONDE_ABSENT(0);
	__u16 id SONDE_DOC("number of the question in its messages");
	__u8 end_padding[6] SONDE_HIDDEN;
};

/*
 * From the kernel to program.c: a question's fate, and the bytes of a message. Those are of the answer; of the question
 * when it timed out; and of the question under the header of the answer when that does not repeat the question.
 */
struct dns_message {
	struct sonde_header header;
	__u64 latency_ns;
	__u64 cookie;
	sonde_address server_address;
	__u16 server_port;
	__u8 transport;
	__u8 timed_out;
	__u32 role;
	__u32 tries;
	__u16 captured; /* bytes that follow and are valid */
	__u16 length;	/* of the whole message */
};

/* Most answers are small or short: less to write to the ring, and to read. A UDP answer is seldom longer than 1232 bytes: servers keep below the fragments of IPv6. */
#define DNS_SMALL_SIZE 128
#define DNS_SHORT_SIZE 272 /* any question: 12 bytes of header, 255 of name, 4 of type and class */
#define DNS_LONG_SIZE 1232

struct dns_small {
	struct dns_message head;
	__u8 bytes[DNS_SMALL_SIZE];
};

struct dns_short {
	struct dns_message head;
	__u8 bytes[DNS_SHORT_SIZE];
};

struct dns_long {
	struct dns_message head;
	__u8 bytes[DNS_LONG_SIZE];
};

enum dns_inner {
	DNS_INNER_SMALL,
	DNS_INNER_SHORT,
	DNS_INNER_LONG,
};
