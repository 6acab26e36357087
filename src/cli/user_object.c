/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the user's own, named by their path. What is in them is checked by those who read it. */
#include <cli/user_object.h>
#include <config/config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <cli/command.h>
#include <cli/say.h>

#define FILE_MAX (16u << 20) /* as the schema reads at most */

bool sonde_user_object_is_path(const char *word)
{
	size_t length = strlen(word);

	return strchr(word, '/') || (length > 2 && !strcmp(word + length - 2, ".o"));
}

static int object_read(const char *path, void **ret_bytes, size_t *ret_size)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	CLEANUP_FREE void *bytes = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return -EFBIG;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	if (pread(fd, bytes, (size_t)st.st_size, 0) != st.st_size)
		return -EIO;
	*ret_bytes = TAKE_PTR(bytes);
	*ret_size = (size_t)st.st_size;
	return 0;
}

int sonde_user_object_schema(const char *path, struct sonde_schema **ret_schema)
{
	CLEANUP_FREE void *bytes = NULL;
	const char *error = "";
	char name[256];
	size_t size = 0;
	int r = object_read(path, &bytes, &size);

	if (r < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "cannot read '%s': %s", path, strerror(-r));
	sonde_config_object_name(path, name, sizeof(name));
	if (sonde_schema_new(name, bytes, size, NULL, &error, ret_schema) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s: %s", path, error);
	return SONDE_EXIT_DONE;
}
