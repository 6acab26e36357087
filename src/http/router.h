/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file router.h The table of the API's routes: path, methods, parameters, handler, lane. Threads: any. */

#include <stdbool.h>
#include <stddef.h>
#include <http/jobs.h>

struct sonde_request;

enum sonde_method {
	SONDE_METHOD_GET = 1, /* and HEAD */
	SONDE_METHOD_POST = 2,
};

struct sonde_route {
	const char *path; /* a segment "*" stands for a name */
	unsigned methods; /* enum sonde_method */
	enum sonde_lane lane;
	bool admin;  /* unix socket only */
	bool stream; /* answered by stream.c, without a job */
	bool raw_body; /* the body may be plain text; else it is a JSON object of parameters */
	const char *params; /* names that are known, each between spaces: " pid limit " */
	/** Fills the request's answer. @return 0, or negative: 500 with this errno. */
	int (*handler)(struct sonde_request *request);
	const char *doc;
};

/** All routes; ends with path NULL. */
extern const struct sonde_route sonde_routes[];

/**
 * @param ret_name What stands for "*", or "".
 * @return the route that takes the method; if none does, NULL and ret_methods has those that the path knows (0: unknown path).
 */
const struct sonde_route *sonde_route_find(const char *path, unsigned method, char *ret_name, size_t name_size,
					   unsigned *ret_methods);

int sonde_api_index(struct sonde_request *request);
int sonde_api_events(struct sonde_request *request);
int sonde_api_count(struct sonde_request *request);
int sonde_api_summary(struct sonde_request *request);
int sonde_api_programs(struct sonde_request *request);
int sonde_api_program(struct sonde_request *request);
int sonde_api_program_start(struct sonde_request *request);
int sonde_api_program_stop(struct sonde_request *request);
int sonde_api_program_reload(struct sonde_request *request);
int sonde_api_reload(struct sonde_request *request);
int sonde_api_schema(struct sonde_request *request);
int sonde_api_ledger(struct sonde_request *request);
int sonde_api_status(struct sonde_request *request);
int sonde_api_sql(struct sonde_request *request);
/* legacy.c */
int sonde_legacy_connection_summary(struct sonde_request *request);
int sonde_legacy_drop_summary(struct sonde_request *request);
int sonde_legacy_list_connections(struct sonde_request *request);
int sonde_legacy_list_drops(struct sonde_request *request);
int sonde_legacy_events(struct sonde_request *request);
int sonde_legacy_programs(struct sonde_request *request);
int sonde_legacy_health(struct sonde_request *request);
