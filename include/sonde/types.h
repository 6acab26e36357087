/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/**
 * @file types.h
 * What the kernel side and the user side of a program share: the header of every event and the semantic
 * types of its fields.
 *
 * An event is a plain C struct. clang writes it into the object's BTF, and everything that shows, stores
 * or documents the event is derived from there: a field's name is its name in JSON and SQL, its typedef
 * says how it is shown, and its tags say what it means. So: choose names that explain themselves, carry the
 * unit in the name, and never reorder or reuse a field that was released.
 *
 * Layout rules (checked by the schema test): struct sonde_header comes first, no implicit padding, at most
 * SONDE_RECORD_MAX bytes. A record in the ring may be shorter than its struct (sonde_reserve_task_upto()): the
 * fields beyond its end are absent (null).
 */

#ifdef __bpf__
#include <sonde/kernel.h>
#define SONDE_TAG(text) __attribute__((btf_decl_tag(text)))
#else
#include <linux/types.h>
#define SONDE_TAG(text)
#endif

#define SONDE_COMMAND_LENGTH 16	  /* TASK_COMM_LEN, NUL included */
#define SONDE_INTERFACE_LENGTH 16 /* IFNAMSIZ, NUL included */
#define SONDE_RECORD_MAX 4096

/** What the field means, in one short sentence; every field needs one. */
#define SONDE_DOC(text) SONDE_TAG("sonde:doc=" text)
/** The enum of the running kernel that names this number, e.g. SONDE_ENUM("skb_drop_reason"). */
#define SONDE_ENUM(name) SONDE_TAG("sonde:enum=" name)
/** A text prefix of the enum's names that is not shown: SONDE_PREFIX("SKB_DROP_REASON_"). */
#define SONDE_PREFIX(text) SONDE_TAG("sonde:prefix=" text)
/** On an enum: its enumerators are flags, and the text is all that are set: "O_RDWR|O_CREAT". A second column, <name>_number, has
 * the number. The bits of `mask` are no flags but one number among them (3: the access mode of open(2)); 0: there is none.
 * The names stay as they are but for SONDE_PREFIX(). */
#define SONDE_FLAGS(mask) SONDE_TAG("sonde:flags=" #mask)
/** The value that means "not known or not applicable", shown as null: SONDE_ABSENT(0), SONDE_ABSENT(-1).
 * A plain number, not a macro's name. Of a text only 0: the empty one. */
#define SONDE_ABSENT(value) SONDE_TAG("sonde:absent=" #value)
/** Bytes of this char array that are valid stand in that other field (smaller than the array's size or cut to it).
 * A field of the same struct, hidden or not. sonde_arguments always need it. */
#define SONDE_LENGTH(field) SONDE_TAG("sonde:length=" #field)
/** The field's most frequent values are worth showing (`sonde top`, `sonde summary`): paths, names, peers. Those of enums,
 * errors and protocols are without it. */
#define SONDE_TOP SONDE_TAG("sonde:top")
/** What an event stands for, where that is more than one thing: rankings add this number up instead of counting events.
 * One field of an event. */
#define SONDE_MEASURE SONDE_TAG("sonde:measure")
/** One of those that say most of the event: a table that has no room for all columns shows them first. */
#define SONDE_MAIN SONDE_TAG("sonde:main")
/** On a sonde_address: also a column with the name that the event's process last learned for it (DNS), for `remote_address`
 * `remote_name`; null where none is known. */
#define SONDE_NAMED SONDE_TAG("sonde:named")
/** Not a column: only the program's own user-space code looks at it. */
#define SONDE_HIDDEN SONDE_TAG("sonde:hidden")

/* Semantic types. The name of the typedef is what user space goes by. */
typedef __u64 sonde_time_ns;	  /* CLOCK_BOOTTIME; shown as wall-clock time (RFC 3339) */
typedef __u64 sonde_duration_ns;  /* shown in JSON as the number, on a terminal as 1.25ms */
typedef __u64 sonde_bytes;	  /* shown in JSON as the number, on a terminal as 1.5MiB */
typedef __u32 sonde_percent;	  /* a share, 0 to 100; shown in JSON as the number, on a terminal as 97% */
typedef __u64 sonde_count;	  /* a plain number of things */
typedef __u64 sonde_symbol;	  /* kernel text address; shown as the function's name */
typedef __u64 sonde_cookie;	  /* socket cookie (never reused until reboot) */
typedef __u32 sonde_kernel_enum;  /* with SONDE_ENUM(); shown as the enumerator's name */
typedef __u32 sonde_pid;	  /* process id in the initial pid namespace */
typedef __u32 sonde_uid;	  /* user id in the initial user namespace */
typedef __s32 sonde_errno;	  /* 0: none. Gives two columns: <name> (ECONNREFUSED) and `errno` (111); of a label the first */
typedef __s32 sonde_signal;	  /* 0: none. Gives two columns: <name> (9) and <name>_name (SIGKILL) */
typedef __u16 sonde_port;	  /* host byte order */
typedef __u8 sonde_protocol;	  /* IPPROTO_*; shown by its IANA keyword: TCP, UDP */
typedef __u8 sonde_bool;
typedef struct {
	__u8 bytes[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d (shown as a.b.c.d); all zero: absent */
} sonde_address;
typedef char sonde_arguments; /* char array of NUL-separated words (argv); shown as one shell-quoted line */
/* A plain `char name[N]` is a NUL-terminated string of any bytes; an `enum x` is shown by the name of
 * its enumerator, in lower case, without the enum's own name: enum process_kind {PROCESS_KIND_EXEC} -> "exec". */

/** Two ends of a packet as they stand in its headers. They have names only where the event has a process or a cgroup that could
 * have asked for them. */
struct sonde_packet_flow {
	sonde_address source_address SONDE_DOC("address the packet came from") SONDE_TOP SONDE_MAIN SONDE_NAMED;
	sonde_address destination_address SONDE_DOC("address the packet was going to") SONDE_TOP SONDE_MAIN
		SONDE_NAMED;
	sonde_port source_port SONDE_DOC("port the packet came from") SONDE_ABSENT(0);
	sonde_port destination_port SONDE_DOC("port the packet was going to") SONDE_ABSENT(0);
	sonde_protocol protocol SONDE_DOC("transport protocol") SONDE_ABSENT(0);
	__u8 flow_padding[3] SONDE_HIDDEN;
};

/** Two ends of a socket as its owner sees them. */
struct sonde_socket_flow {
	sonde_address local_address SONDE_DOC("address on the side of the owner");
	sonde_address remote_address SONDE_DOC("address of the peer") SONDE_TOP SONDE_MAIN SONDE_NAMED;
	sonde_port local_port SONDE_DOC("port on the side of the owner") SONDE_ABSENT(0);
	sonde_port remote_port SONDE_DOC("port of the peer") SONDE_ABSENT(0);
	sonde_protocol protocol SONDE_DOC("transport protocol") SONDE_ABSENT(0);
	__u8 flow_padding[3] SONDE_HIDDEN;
};

/* Buckets of a histogram of durations: le = N counts those of at most 2^N ns (1 us to 17 s) that the bucket before does not;
 * one more bucket takes what is longer. le = 0 holds the sum. */
#define SONDE_BUCKET_SUM 0
#define SONDE_BUCKET_FIRST 10
#define SONDE_BUCKET_LAST 34

/** sonde_header.type from here on: no event, but what the program's own user-space code makes an event of. */
#define SONDE_INNER_TYPE 0x8000
/** Events that user space made have sequences of their own: this stands where the CPU stands. */
#define SONDE_SEQUENCE_MADE 0xffffull

/** sonde_header.flags: the process is not known; pid, tid, uid and command are null. */
#define SONDE_PROCESS_UNKNOWN (1u << 0)
/** sonde_header.cgroup_id: the id is from a cgroup v1 hierarchy (its ids overlap those of v2). */
#define SONDE_CGROUP_V1 (1ull << 63)

/** Starts every event. Filled by sonde_reserve(). A process is (pid, start_time_ns), never pid alone. */
struct sonde_header {
	__u64 time_ns;	     /* CLOCK_BOOTTIME */
	__u64 start_time_ns; /* CLOCK_BOOTTIME at which the process (thread group) started */
	__u64 cgroup_id;     /* of the process; SONDE_CGROUP_V1 tells the hierarchy; 0: unknown */
	__u64 sequence;	     /* CPU in the top 16 bits, then a count of this program on this CPU from 0, no holes */
	__u32 pid;	     /* thread group id */
	__u32 tid;
	__u32 uid;
	__u32 weight; /* how many events this one stands for (sampling); 1 without sampling */
	__u16 type;   /* which event of the object; given by user space at load */
	__u16 flags;
	__u32 reserved;
	char command[SONDE_COMMAND_LENGTH];
};

/** A process as a map remembers it, e.g. the owner of a socket. pid 0: not known. */
struct sonde_process {
	__u64 start_time_ns;
	__u64 cgroup_id;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 reserved;
	char command[SONDE_COMMAND_LENGTH];
};

/** Per CPU and per program: the kernel's part of the ledger. Only ever grows.
 * entered = denied + throttled + sampled_out + map_full + ring_full + submitted. */
struct sonde_counters {
	__u64 entered;	   /* events that a hook wanted to send */
	__u64 denied;	   /* by a filter */
	__u64 throttled;   /* by a quota */
	__u64 sampled_out; /* by sampling; the weights of the others stand for them */
	__u64 map_full;	   /* no room in a map that the event needs */
	__u64 ring_full;   /* no room in the ring */
	__u64 submitted;   /* in the ring */
	__u64 overflowed;  /* increments of a metric that found no room for their key (not part of the sum) */
};

/** Shared memory between the ring's reader and the hooks (section .data.sonde, one per program). */
struct sonde_control {
	__u32 reader_sleeping; /* set by the reader before it sleeps, cleared by the hook that wakes it */
	__u32 reserved;
};
