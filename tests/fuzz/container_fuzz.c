/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a cgroup path: the name fits, and it is a piece of the path or made from one. */
#include <enrich/enrich.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[NAME_MAX + 1], small[4];
	char *path = malloc(size + 1);
	size_t length;

	if (!path)
		return 0;
	memcpy(path, data, size);
	path[size] = '\0';
	length = sonde_container_of_path(path, name, sizeof(name));
	if (length > NAME_MAX || length > strlen(path) || (length && (name[length] || strlen(name) != length)))
		abort();
	if (sonde_container_of_path(path, small, sizeof(small)) != (length < 3 ? length : 3))
		abort();
	free(path);
	return 0;
}
