/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file libbpf_log.h What libbpf last complained about in this thread, so that an error can say why. */

/** Take over libbpf's messages (idempotent). */
void sonde_libbpf_log_init(void);
/** The last complaint of this thread, one line, without "libbpf: "; "" if none. Forgets it. */
const char *sonde_libbpf_message(void);
/** Why a hook cannot be attached, for the error that the kernel gave, with the remedy where there is one. */
const char *sonde_attach_reason(const char *section, int error);
