/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file secret_key.h Does the name of an option or a variable announce a secret? Pure functions. */

#include <stdbool.h>
#include <stddef.h>

enum sonde_secrecy {
	SONDE_KEY_ORDINARY,
	SONDE_KEY_SWITCH, /* --no-password, USE_AUTH=1: takes no word after it */
	SONDE_KEY_WEAK,	  /* token, auth, secret: ordinary with values like "true" */
	SONDE_KEY_STRONG, /* password, api-key */
	SONDE_KEY_HEADER, /* Authorization, Cookie: everything up to the end of the header */
};

/** @param key Without dashes in front: "db-password", "AWS_SECRET_ACCESS_KEY", "spring.datasource.password". */
enum sonde_secrecy sonde_secret_key(const char *key, size_t length);
/** Not a secret even so: "", "true", "none", a single digit. For SONDE_KEY_SWITCH and SONDE_KEY_WEAK. */
bool sonde_secret_value_is_plain(const char *value, size_t length);
