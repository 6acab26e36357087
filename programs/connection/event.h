/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

#include <sonde/types.h>

enum connection_kind {
	CONNECTION_KIND_CONNECT, /* a client's connect() succeeded */
	CONNECTION_KIND_FAIL,	 /* it did not */
	CONNECTION_KIND_ACCEPT,	 /* a server took the connection over */
	CONNECTION_KIND_UPDATE,	 /* still open: found when sonde started, or at each interval */
	CONNECTION_KIND_CLOSE,
};

enum connection_role {
	CONNECTION_ROLE_UNKNOWN,
	CONNECTION_ROLE_CLIENT,
	CONNECTION_ROLE_SERVER,
};

/* The numbers are the kernel's (include/net/tcp_states.h), stable by /proc/net/tcp. */
enum connection_state {
	CONNECTION_STATE_UNKNOWN,
	CONNECTION_STATE_ESTABLISHED,
	CONNECTION_STATE_SYN_SENT,
	CONNECTION_STATE_SYN_RECV,
	CONNECTION_STATE_FIN_WAIT1,
	CONNECTION_STATE_FIN_WAIT2,
	CONNECTION_STATE_TIME_WAIT,
	CONNECTION_STATE_CLOSE,
	CONNECTION_STATE_CLOSE_WAIT,
	CONNECTION_STATE_LAST_ACK,
	CONNECTION_STATE_LISTEN,
	CONNECTION_STATE_CLOSING,
};

enum connection_closed_by {
	CONNECTION_CLOSED_BY_UNKNOWN,
	CONNECTION_CLOSED_BY_LOCAL,	   /* this side sent the first FIN, or gave up waiting for an answer */
	CONNECTION_CLOSED_BY_REMOTE,	   /* the peer sent the first FIN */
	CONNECTION_CLOSED_BY_LOCAL_RESET,  /* this side broke it off: unread data, SO_LINGER 0, ss -K */
	CONNECTION_CLOSED_BY_REMOTE_RESET, /* the peer did */
	CONNECTION_CLOSED_BY_TIMEOUT,	   /* the peer fell silent */
	CONNECTION_CLOSED_BY_NETWORK,	   /* the network said that the peer cannot be reached */
};

struct connection {
	struct sonde_header header;
	enum connection_kind kind SONDE_DOC("what happened to the connection");
	enum connection_role role SONDE_DOC("side that the owner of the socket has") SONDE_ABSENT(0);
	struct sonde_socket_flow flow;
	enum connection_state state SONDE_DOC("TCP state, for a close the last one before it") SONDE_ABSENT(0);
	enum connection_closed_by closed_by SONDE_DOC("who ended the connection, and how") SONDE_ABSENT(0);
	sonde_errno error SONDE_DOC("why it failed or broke");
	__u8 padding[4] SONDE_HIDDEN;
	sonde_bytes sent_bytes SONDE_DOC("payload handed to the network, retransmissions not counted") SONDE_ABSENT(-1);
	sonde_bytes received_bytes SONDE_DOC("payload received from the peer") SONDE_ABSENT(-1);
	sonde_duration_ns duration_ns SONDE_DOC("time since it was established") SONDE_ABSENT(0);
	sonde_duration_ns connect_ns SONDE_DOC("time from connect() to its result") SONDE_ABSENT(0);
	sonde_duration_ns accept_wait_ns SONDE_DOC("time it was established but waited for accept()") SONDE_ABSENT(0);
	sonde_duration_ns rtt_ns SONDE_DOC("smoothed round-trip time") SONDE_ABSENT(0);
	sonde_duration_ns min_rtt_ns SONDE_DOC("smallest round-trip time of late") SONDE_ABSENT(0);
	sonde_count retransmits SONDE_DOC("segments sent again") SONDE_ABSENT(-1);
	sonde_cookie cookie SONDE_DOC("the socket; the same in all events of one connection") SONDE_ABSENT(0);
};

/* Labels of the metric. */
struct connection_key {
	enum connection_kind kind SONDE_DOC("fail: it never came to be; close: it broke");
	enum connection_role role SONDE_DOC("side that the owner of the socket has");
	sonde_errno error SONDE_DOC("why; empty: its owner gave up") SONDE_ABSENT(0);
	sonde_protocol protocol SONDE_DOC("transport protocol");
	__u8 padding[3] SONDE_HIDDEN;
};
