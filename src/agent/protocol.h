/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file protocol.h
 * What loader and worker say to each other over a socketpair (SOCK_SEQPACKET): messages of one fixed size, with descriptors.
 * The worker is not trusted: the loader checks every field it uses, and there is no path and no command among them.
 */

#include <runtime/view.h>

enum sonde_message_kind {
	/* loader to worker */
	SONDE_MESSAGE_HELLO = 1, /* descriptors: configuration, checkpoints, kallsyms (may be missing) */
	SONDE_MESSAGE_PROGRAM,	 /* it is loaded; descriptors as in `n_programs`, `n_metrics`, `has_image` */
	SONDE_MESSAGE_STATUS,	 /* `status` of a program changed */
	SONDE_MESSAGE_GONE,	 /* its hooks are off: take what is in its ring, forget it, answer DRAINED */
	SONDE_MESSAGE_STARTED,	 /* every program has been tried */
	SONDE_MESSAGE_STOP,	 /* the agent ends: not ready any more */
	SONDE_MESSAGE_FINISH,	 /* all hooks are off: take what is in the rings, commit, exit */
	SONDE_MESSAGE_REPLY,	 /* to request `id`: `error`, `text` */
	/* worker to loader */
	SONDE_MESSAGE_READY,	 /* the store and the faces are open */
	SONDE_MESSAGE_ALIVE,	 /* each few seconds; `error` 0: all threads make progress */
	SONDE_MESSAGE_DRAINED,	 /* of GONE, `status.name` */
	SONDE_MESSAGE_REQUEST,	 /* `verb`, `status.name` */
};

enum sonde_request_verb { SONDE_REQUEST_START = 1, SONDE_REQUEST_STOP, SONDE_REQUEST_RELOAD, SONDE_REQUEST_CONFIGURATION };

struct sonde_message {
	uint32_t kind, id, verb;
	int32_t error;
	uint32_t n_programs, n_metrics, has_image;
	uint32_t absent; /* bit i: hook i was left out and has no descriptor */
	uint64_t ring_id;
	int64_t at_ns; /* wall clock; GONE: when its hooks began to go off */
	char text[256];
	struct sonde_program_status status;
};

#define SONDE_MESSAGE_FDS_MAX 48

/** @return 0, -EPIPE: the other side is gone, -EAGAIN: its queue is full for longer than a second. */
int sonde_message_send(int socket, const struct sonde_message *message, const int *fds, unsigned n_fds);
/** Descriptors arrive O_CLOEXEC and belong to the caller. @return 1, 0: the other side is gone, -EBADMSG, -EAGAIN. */
int sonde_message_receive(int socket, struct sonde_message *ret_message, int *ret_fds, unsigned *ret_n_fds);
