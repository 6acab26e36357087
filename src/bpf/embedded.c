/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/embedded.h>

#include <string.h>

const struct sonde_embedded *sonde_embedded_find(const char *name)
{
	for (const struct sonde_embedded *e = sonde_embedded; e->name; e++)
		if (!strcmp(e->name, name))
			return e;
	return NULL;
}
