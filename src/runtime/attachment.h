/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file attachment.h From a loaded program to its source: which descriptors belong to it. */

#include <runtime/manager.h>
#include <runtime/source.h>

/** Copies (O_CLOEXEC) of a loaded program's descriptors, as sonde_source_opts wants them; the caller owns them.
 * @return 0, -ENOENT not loaded, -EMFILE ... */
int sonde_attachment_fds(const struct sonde_manager *manager, const char *name, struct sonde_source_opts *ret_opts);
void sonde_attachment_close(struct sonde_source_opts *opts);

/** The program's own hooks (program.c), or NULL. */
const struct sonde_program_hooks *sonde_attachment_hooks(const char *name);

/** Source of a program that this process loaded, its reader started. */
int sonde_source_attach_local(const struct sonde_manager *manager, const char *name, struct sonde_enrich *enrich,
			      sonde_deliver_fn deliver, void *userdata, struct sonde_source **ret_source);
