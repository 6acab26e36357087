/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file loader_private.h What the files of the loader share: loader.c (life), loader_worker.c (its child), loader_programs.c. */

#include <agent/loader.h>
#include <agent/protocol.h>
#include <runtime/manager.h>
#include <security/privileges.h>

struct loader {
	struct sonde_config *config;
	struct sonde_loader_given given;
	struct sonde_manager *manager;
	struct sonde_user user;
	bool stopping;

	/* the worker */
	pid_t worker;	/* 0: none */
	int socket;
	bool worker_ready;
	bool worker_lost; /* it takes no messages; its end is near */
	bool ever_ready;
	unsigned failures;	    /* deaths in a row before it was ready */
	int64_t spawn_at_ns;	    /* boot time; 0: not due */
	int64_t last_alive_ns; /* sonde_clock_awake_ns(): neither of the two runs while the machine sleeps */
	int config_fd, checkpoints_fd, kallsyms_fd;

	/* programs */
	bool started; /* every program has been tried */
	uint64_t ring_ids[SONDE_PROGRAMS_MAX];
	char ring_names[SONDE_PROGRAMS_MAX][SONDE_PROGRAM_NAME_MAX];

	/* `sonde run --follow`: the child that shows, first a summary, then the events */
	pid_t follower;	       /* 0: none */
	int64_t follows_at_ns; /* boot time at which to start the next one; 0: not due */
	bool summary_shown, follows_next;
};

/* loader_programs.c */
int loader_programs_register(struct loader *loader);
/** Start every enabled program. @return 0, or the error of a required one that failed. */
int loader_programs_start(struct loader *loader);
/** Tell a new worker about all programs. */
void loader_programs_tell(struct loader *loader);
void loader_request(struct loader *loader, const struct sonde_message *request);
/** Look after hooks on network interfaces. @return ns until the next look, -1: none is due. */
int64_t loader_programs_mend(struct loader *loader);
void loader_programs_detach(struct loader *loader);
int loader_program_register(struct loader *loader, const char *name, const struct sonde_config_program *section);
int loader_program_start(struct loader *loader, const char *name);
void loader_tell_status(struct loader *loader, const char *name);
/** Hooks off, what is in the ring stored, unloaded. Waits for the worker, at most 5 s. */
void loader_program_stop(struct loader *loader, const char *name);

/* loader_reload.c */
/** Read the configuration file again; all or nothing. `ret_text`: what was done, or why not. */
int loader_reload(struct loader *loader, char *ret_text, size_t size);

/* loader_worker.c */
int loader_worker_init(struct loader *loader);
int loader_worker_spawn(struct loader *loader);
/** @return 0, -ECANCELED: the first worker could not start, the agent cannot go on. */
int loader_worker_died(struct loader *loader, int status);
int loader_worker_message(struct loader *loader);
/** Wait for DRAINED of a program; other messages are taken too, requests refused. @return 0, -ETIMEDOUT, -EPIPE. */
int loader_worker_wait_drained(struct loader *loader, const char *name, int64_t timeout_ns);
/** Kill it if it makes no progress, start one if it is time. @return ns until the next look. */
int64_t loader_worker_watch(struct loader *loader);
void loader_send(struct loader *loader, const struct sonde_message *message, const int *fds, unsigned n_fds);
