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

int sonde_embedded_schema(const struct sonde_embedded *embedded, const struct sonde_names *names, const char **ret_error,
			  struct sonde_schema **ret_schema)
{
	return sonde_schema_new(embedded->name, embedded->object, (size_t)(embedded->object_end - embedded->object), names, ret_error,
				ret_schema);
}
