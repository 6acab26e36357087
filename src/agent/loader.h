/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file loader.h
 * The privileged process of the agent: loads and attaches programs, keeps the worker running, carries out its few requests.
 * It opens nothing that a worker names and parses nothing that comes from outside but the configuration.
 */

#include <config/config.h>

/** What the command line said: it stands above the file, also when the file is read again. */
struct sonde_loader_given {
	bool store, socket, log_level;
	unsigned n_programs; /* the last ones of the configuration */
};

struct sonde_loader_opts {
	struct sonde_loader_given given;
	struct sonde_config *config;
	bool follow; /* show the events on standard output while it runs */
};

/** Runs until SIGTERM or SIGINT. @return exit code: 0 ended as asked, 1 could not start or a required program failed. */
int sonde_loader_run(const struct sonde_loader_opts *opts);
