/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once
#include <sonde/types.h>

/* What an operator would look at first. */
enum drop_class {
	DROP_CLASS_UNKNOWN,	/* the kernel gives no reason, or one that this version of sonde does not know */
	DROP_CLASS_NETWORK,	/* the packet, its route or the link is at fault */
	DROP_CLASS_RESOURCE,	/* a queue, a buffer or memory was full */
	DROP_CLASS_POLICY,	/* a rule said so: firewall, filter, BPF, authentication, a setting */
	DROP_CLASS_APPLICATION, /* no program wanted it */
	DROP_CLASS_BENIGN,	/* nothing was lost: duplicates, remains of a closed socket, packets for others */
};

struct packet_drop {
	struct sonde_header header;
	sonde_kernel_enum reason SONDE_DOC("why the kernel dropped it") SONDE_ENUM("skb_drop_reason")
		SONDE_PREFIX("SKB_DROP_REASON_") SONDE_ABSENT(0);
	enum drop_class class SONDE_DOC("kind of reason: network, resource, policy, application, benign or unknown") SONDE_MAIN;
	sonde_symbol location SONDE_DOC("kernel function that dropped it") SONDE_TOP;
	sonde_bytes length_bytes SONDE_DOC("bytes of the packet from its IP header on");
	char interface[SONDE_INTERFACE_LENGTH] SONDE_DOC("network interface it was on") SONDE_TOP;
	__u32 interface_index SONDE_DOC("number of that interface, also where its name is lost") SONDE_ABSENT(0);
	__u32 network_namespace SONDE_DOC("inode of the network namespace") SONDE_ABSENT(0);
	sonde_cookie socket_cookie SONDE_DOC("socket it belongs to") SONDE_ABSENT(0);
	struct sonde_packet_flow flow;
};

/* Labels of the metric. */
struct packet_drop_key {
	sonde_kernel_enum reason SONDE_DOC("why the kernel dropped it") SONDE_ENUM("skb_drop_reason")
		SONDE_PREFIX("SKB_DROP_REASON_");
	enum drop_class class SONDE_DOC("kind of reason");
	char interface[SONDE_INTERFACE_LENGTH] SONDE_DOC("network interface");
};
