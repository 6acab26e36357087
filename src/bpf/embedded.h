/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file embedded.h The programs that are built into the binary (generated from the folders of programs/). */

#include <stdbool.h>
#include <stddef.h>
#include <schema/schema.h>
#include <sonde/program.h>

struct sonde_embedded {
	const char *name;
	const char *object, *object_end;	  /* the ELF file */
	const struct sonde_program_hooks *hooks; /* of its program.c, or NULL */
	bool off_by_default;
};

/** Ends with a NULL name. */
extern const struct sonde_embedded sonde_embedded[];
/** What its object says of its events. @return As sonde_schema_new(). */
int sonde_embedded_schema(const struct sonde_embedded *embedded, const struct sonde_names *names, const char **ret_error,
			  struct sonde_schema **ret_schema);
/** NULL: there is no built-in program of this name. */
const struct sonde_embedded *sonde_embedded_find(const char *name);
