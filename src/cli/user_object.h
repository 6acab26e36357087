/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file user_object.h A program of the user's own: the path of a .bpf.o file where the name of a program may stand. */

#include <stdbool.h>
#include <base/identifier.h>
#include <schema/schema.h>

/** Has a slash, or ends in .o: no name of a program does. */
bool sonde_user_object_is_path(const char *word);
/** The name of the program that the word or path stands for. @return 0, or an exit code: it has been said why. */
int sonde_user_object_name(const char *word, char ret_name[SONDE_PROGRAM_NAME_MAX]);
/** @return 0, or an exit code: it has been said why. */
int sonde_user_object_schema(const char *path, struct sonde_schema **ret_schema);
