/* SPDX-License-Identifier: Apache-2.0 */
#include <base/identifier.h>

#include <string.h>

bool sonde_identifier_is_good(const char *name, size_t length)
{
	size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return name[0] >= 'a' && name[0] <= 'z' && !name[good] && good <= length;
}

bool sonde_program_name_is_good(const char *name)
{
	return sonde_identifier_is_good(name, SONDE_PROGRAM_NAME_MAX - 1);
}
