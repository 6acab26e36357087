/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * The sockets, by cookie, with what is known of their connections; and the one place that makes an event of it.
 *
 * Invariant: an event is never lost for want of an entry if the socket itself can still tell the facts; what only
 * the entry knew (owner, duration) is then null.
 */

#include <sonde/socket.bpf.h>
#include "event.h"

#define ABSENT (~0ull) /* SONDE_ABSENT(-1) of a 64-bit field */

enum phase {
	PHASE_NONE, /* a socket with an owner, but no connection */
	PHASE_CONNECTING,
	PHASE_STOPPED,	/* connect() ended without the socket saying why: its return value, or the socket's end, tells */
	PHASE_REPORTED, /* the failure was reported when it happened; connect() may still have to return it */
	PHASE_ESTABLISHED,
	PHASE_ENDED,  /* before anyone accepted it: its close waits for the accept, or the socket's end */
	PHASE_CLOSED, /* and reported */
};

/* What is measured; at the end of a connection the last values. */
struct figures {
	__u64 sent_bytes, received_bytes;
	__u64 rtt_ns, min_rtt_ns;
	__u64 retransmits;
	enum connection_state state;
	enum connection_closed_by closed_by;
	__s32 error;
	__u32 reserved;
};

/* A struct sonde_socket, from the inside. */
struct entry {
	struct sonde_process owner; /* pid 0: not accepted yet */
	__u64 cookie;
	struct sonde_socket_flow flow;
	struct figures figures;
	__u64 started_ns;     /* connect() was called; 0: not seen */
	__u64 established_ns; /* 0: not seen */
	__u64 ended_ns;	      /* 0: now */
	__u64 connect_ns, accept_wait_ns;
	__u64 instance; /* of this program, that made the entry or confirmed it */
	enum connection_role role;
	enum phase phase;
	__u32 claimed;	   /* 1: someone owns the socket; 0: it waits to be accepted */
	__u32 owner_pass;  /* the last pass of the iterator in which the owner still held the socket */
	__u32 update_pass; /* the last pass in which it had its update */
	__u32 reserved;
};
_Static_assert(sizeof(struct entry) == sizeof(struct sonde_socket), "sonde_socket.rest has another size");

struct untracked {
	sonde_protocol protocol SONDE_DOC("transport protocol");
};

struct {
	SONDE_METRIC_MAP(struct untracked, 4);
} untracked SEC(".maps") SONDE_COUNTER("connection_untracked_total",
				       "Sockets that found no room in the table: owner and duration are null, UDP has no close");

struct {
	SONDE_METRIC_MAP(struct connection_key, 512);
} errors_total SEC(".maps")
	SONDE_COUNTER("connection_errors_total",
		      "Connections that failed or broke. Kind fail, role client: what this node needs is down (ECONNREFUSED), out of reach "
		      "(EHOSTUNREACH, ENETUNREACH) or silent (ETIMEDOUT). Kind close: broken off by the peer (ECONNRESET) or silent.");

SONDE_EVENT(connection, "TCP and UDP connections: opened, failed, accepted, still open, closed");

/* Connections that wait to be accepted. While there are none, traffic of TCP costs no look into the table. */
__s64 unclaimed;

/* Numbers the passes of the iterator. */
__u32 pass;

static __always_inline struct entry *entry_of(__u64 cookie)
{
	return bpf_map_lookup_elem(&sonde_sockets, &cookie);
}

/* `entry` is zeroed. */
static __always_inline void entry_begin(struct entry *entry, __u64 cookie, enum connection_role role, enum phase phase)
{
	entry->cookie = cookie;
	entry->role = role;
	entry->phase = phase;
	entry->claimed = 1;
	entry->owner_pass = pass;
	entry->instance = sonde_instance();
}

/* Adds or replaces. A full table is counted, and the events do without the entry. */
static __always_inline int entry_add(const struct entry *entry)
{
	struct untracked key = {.protocol = entry->flow.protocol};
	int r = bpf_map_update_elem(&sonde_sockets, &entry->cookie, entry, BPF_ANY);

	if (r)
		sonde_metric_add(&untracked, &key, 1);
	return r;
}

static __always_inline bool same_process(const struct sonde_process *a, const struct sonde_process *b)
{
	return a->pid == b->pid && a->start_time_ns == b->start_time_ns;
}

static __noinline int emit(enum connection_kind kind, const struct entry *entry)
{
	const struct figures *figures = &entry->figures;
	bool opened = kind == CONNECTION_KIND_UPDATE || kind == CONNECTION_KIND_CLOSE;
	struct connection_key key = {
		.kind = kind, .role = entry->role, .error = figures->error, .protocol = entry->flow.protocol};
	struct connection *e;
	__u64 end;

	/* What went well costs nothing: it is in the events. */
	if (kind == CONNECTION_KIND_FAIL || (figures->error && kind == CONNECTION_KIND_CLOSE))
		sonde_metric_add(&errors_total, &key, 1);
	e = sonde_reserve_owner(connection, &entry->owner);
	if (!e)
		return 0;
	end = entry->ended_ns ? entry->ended_ns : e->header.time_ns;
	e->kind = kind;
	e->role = entry->role;
	e->flow = entry->flow;
	e->state = figures->state;
	e->closed_by = figures->closed_by;
	e->error = figures->error;
	__builtin_memset(e->padding, 0, sizeof(e->padding));
	e->sent_bytes = opened ? figures->sent_bytes : ABSENT;
	e->received_bytes = opened ? figures->received_bytes : ABSENT;
	e->duration_ns = opened && entry->established_ns ? end - entry->established_ns : 0;
	e->connect_ns = entry->connect_ns;
	e->accept_wait_ns = entry->accept_wait_ns;
	e->rtt_ns = figures->rtt_ns;
	e->min_rtt_ns = figures->min_rtt_ns;
	e->retransmits = figures->retransmits;
	e->cookie = entry->cookie;
	sonde_submit(e);
	return 0;
}
