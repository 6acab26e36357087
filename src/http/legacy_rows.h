/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file legacy_rows.h Events in the shape of the older agent (legacy.c). Threads: any. */

#include <http/answer.h>
#include <schema/encode.h>

/** What the older shape needs and the store does not keep. */
struct sonde_legacy_names {
	const struct sonde_enum *drop_reasons; /* or NULL */
};

void sonde_legacy_names_read(const struct sonde_view *view, struct sonde_legacy_names *ret_names);
/** The row's own columns, with the older names beside them. */
void sonde_legacy_row(const struct sonde_legacy_names *names, const struct sonde_type *type, const struct sonde_value *values,
		      struct sonde_buffer *out);
