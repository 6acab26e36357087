/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file trial.h libbpf trusts the object that it loads: some damaged ones crash it. Tried in a child first, they crash that. */

#include <bpf/object.h>

/**
 * @brief Load an object in a process of its own, which keeps nothing of it. Any thread. Costs what loading costs.
 * @return 0: it may be loaded here (and may be refused then, with the reason); -EBADMSG: libbpf did not survive it, with `error` in
 * words; or as fork() and pipe2().
 */
int sonde_object_try(const struct sonde_object_opts *opts, char *error, size_t error_size);
