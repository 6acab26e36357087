/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once
#include <sonde/types.h>

#define FLOW_SAMPLE_BYTES 128

enum flow_direction {
	FLOW_DIRECTION_INGRESS,
	FLOW_DIRECTION_EGRESS,
};
#define FLOW_DIRECTIONS 2

/* What makes two packets one flow. */
struct flow_key {
	sonde_address source_address;
	sonde_address destination_address;
	sonde_port source_port;
	sonde_port destination_port;
	sonde_protocol protocol;
	__u8 direction;
	__u16 reserved;
	__u32 interface_index;
	__u32 network_namespace; /* interfaces of two namespaces have the same numbers */
};


/* Why a packet is in no flow. */
enum flow_skip {
	FLOW_SKIP_RULE,
	FLOW_SKIP_NOT_IP,
	FLOW_SKIP_BROKEN,
};
#define FLOW_SKIPS 3

/* What was seen of a flow since the last event of it. */
struct flow {
	struct sonde_header header;
	struct sonde_packet_flow flow;
	enum flow_direction direction SONDE_DOC("ingress: received by this node; egress: sent") SONDE_MAIN;
	__u32 interface_index SONDE_DOC("number of that interface") SONDE_ABSENT(0);
	char interface[SONDE_INTERFACE_LENGTH] SONDE_DOC("network interface") SONDE_ABSENT(0) SONDE_TOP;
	sonde_count packets SONDE_DOC("packets since the last event of this flow, as they are on the wire")
		SONDE_MAIN;
	sonde_bytes bytes SONDE_DOC("their bytes from the IP header on") SONDE_MEASURE;
	sonde_time_ns first_time SONDE_DOC("first packet of the flow") SONDE_ABSENT(0);
	sonde_time_ns last_time SONDE_DOC("last packet of the flow so far") SONDE_ABSENT(0);
	sonde_duration_ns duration_ns SONDE_DOC("from the first packet to the last") SONDE_ABSENT(-1);
	sonde_cookie socket_cookie SONDE_DOC("socket on this node that it belongs to") SONDE_ABSENT(0);
	__u32 network_namespace SONDE_DOC("inode of the network namespace") SONDE_ABSENT(0);
	char tcp_flags[9] SONDE_DOC("TCP flags seen since the last event of this flow: F S R P A U, E (ECE), C (CWR)")
		SONDE_ABSENT(0);
	sonde_bool is_other SONDE_DOC("whether this is the sum of the flows that found no room in the table");
	__u8 reserved[2] SONDE_HIDDEN;
};

/* The beginning of one packet. */
struct packet_sample {
	struct sonde_header header;
	struct sonde_packet_flow flow;
	enum flow_direction direction SONDE_DOC("ingress: received by this node; egress: sent") SONDE_MAIN;
	__u32 interface_index SONDE_DOC("number of that interface") SONDE_ABSENT(0);
	char interface[SONDE_INTERFACE_LENGTH] SONDE_DOC("network interface") SONDE_ABSENT(0) SONDE_TOP;
	sonde_count packets SONDE_DOC("packets that the network card makes of it, or made it of; mostly 1");
	sonde_bytes bytes SONDE_DOC("their bytes from the IP header on");
	sonde_cookie socket_cookie SONDE_DOC("socket on this node that it belongs to") SONDE_ABSENT(0);
	__u32 network_namespace SONDE_DOC("inode of the network namespace") SONDE_ABSENT(0);
	__u32 captured_bytes SONDE_DOC("bytes in captured");
	char captured[2 * FLOW_SAMPLE_BYTES + 1] SONDE_DOC("its headers from the IP header on, hexadecimal, at most 128 bytes")
		SONDE_ABSENT(0);
	__u8 reserved[7] SONDE_HIDDEN;
};
