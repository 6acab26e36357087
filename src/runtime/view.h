/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file view.h
 * What the faces (HTTP, metrics) see of the running agent, and all they see. The agent implements it.
 *
 * Threads: all functions may be called from any thread at any time and do not block for long (a control request
 * waits for the loader, 10 s at most).
 */

#include <bpf/interface.h>
#include <runtime/bus.h>
#include <runtime/ledger.h>
#include <runtime/window.h>
#include <schema/schema.h>
#include <store/store.h>

enum sonde_program_state {
	SONDE_PROGRAM_DISABLED, /* by configuration */
	SONDE_PROGRAM_STOPPED,	/* by request */
	SONDE_PROGRAM_STARTING,
	SONDE_PROGRAM_RUNNING,
	SONDE_PROGRAM_FAILED,	/* `reason` says why */
};
const char *sonde_program_state_name(enum sonde_program_state state);

#define SONDE_PROGRAMS_MAX 64
#define SONDE_HOOKS_MAX 24

struct sonde_hook_status {
	char name[64];	  /* SEC() name, e.g. "tp_btf/kfree_skb" */
	char reason[128]; /* why not; or how, if not in the usual way */
	bool attached, unwanted; /* unwanted: a setting switches it off */
	uint64_t runs, run_time_ns; /* 0 unless kernel statistics are on */
};

struct sonde_interface_status {
	char name[16];	 /* "": none, or only its number was given */
	uint32_t number; /* 0: it is not there */
};

struct sonde_program_status {
	char name[32];
	char doc[160];
	char source[16]; /* "ebpf" */
	enum sonde_program_state state;
	bool required;
	char reason[256]; /* failed: why and what to do; running: what is missing of its hooks, or "" */
	bool waits;	  /* running: for a network interface, or a place on it */
	uint64_t reattached; /* hooks on network interfaces, after the start */
	struct sonde_interface_status interfaces[SONDE_INTERFACES_MAX]; /* of interface_1 to 4, at the last look */
	int64_t started_ns; /* wall clock */
	uint32_t n_hooks;
	struct sonde_hook_status hooks[SONDE_HOOKS_MAX];
};

struct sonde_health {
	bool ready, alive;
	char reason[256]; /* why not, or what is degraded; "" if all is well */
};

/** A value of a metric map: key bytes (sonde_metric.key_size) and number. */
typedef void (*sonde_metric_fn)(const struct sonde_metric *metric, const void *key, uint64_t value, void *userdata);
/** A setting and what it is. */
typedef void (*sonde_setting_fn)(const struct sonde_setting *setting, int64_t value, void *userdata);
/** A number of the agent itself. `labels`: `program="connection"` or "". */
typedef void (*sonde_number_fn)(const char *name, const char *doc, bool is_counter, const char *labels, double value,
				void *userdata);

struct sonde_view {
	void *userdata;
	struct sonde_bus *bus;
	struct sonde_window *window;
	struct sonde_store *store;
	const struct sonde_names *names;
	const char *version;
	/** @return number of programs written. */
	size_t (*programs)(void *userdata, struct sonde_program_status *ret, size_t max);
	size_t (*ledger)(void *userdata, struct sonde_ledger *ret, size_t max);
	void (*health)(void *userdata, struct sonde_health *ret_health);
	/** Schema of a program, NULL if there is none; valid for the life of the agent. */
	const struct sonde_schema *(*schema)(void *userdata, const char *program);
	/** What the settings of a program are that is loaded; of others none. */
	void (*settings)(void *userdata, const char *program, sonde_setting_fn fn, void *fn_userdata);
	/** verb: "start", "stop", "reload" (program NULL: the configuration). 0, -ENOENT, -EINVAL, -EBUSY, -ETIMEDOUT ... with text. */
	int (*control)(void *userdata, const char *verb, const char *program, char *ret_error, size_t error_size);
	/** All metric maps of the running programs, summed over CPUs. */
	void (*metrics)(void *userdata, sonde_metric_fn fn, void *fn_userdata);
	/** Numbers of the agent's own parts beside the ledger (process, store, bus ...). */
	void (*numbers)(void *userdata, sonde_number_fn fn, void *fn_userdata);
};
