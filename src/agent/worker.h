/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file worker.h
 * The unprivileged process: reads rings, keeps the store, serves the faces. It gets everything it needs as descriptors.
 */

#include <config/config.h>

/** Runs until the loader ends it or is gone. @param socket To the loader. @return exit code of the process. */
int sonde_worker_run(int socket);
