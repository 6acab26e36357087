/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the user's own, named by their path. What is in them is checked by those who read it. */
#include <cli/user_object.h>
#include <config/config.h>

#include <string.h>

#include <base/cleanup.h>
#include <bpf/object_file.h>
#include <cli/command.h>
#include <cli/say.h>

bool sonde_user_object_is_path(const char *word)
{
	size_t length = strlen(word);

	return strchr(word, '/') || (length > 2 && !strcmp(word + length - 2, ".o"));
}

int sonde_user_object_name(const char *word, char ret_name[SONDE_PROGRAM_NAME_MAX])
{
	char name[256];

	sonde_config_object_name(word, name, sizeof(name));
	if (!sonde_program_name_is_good(name))
		return sonde_say_error(SONDE_EXIT_USAGE, "'%s' is no name for a program: use " SONDE_IDENTIFIER_RULE ", at most %d",
				       name, SONDE_PROGRAM_NAME_MAX - 1);
	strcpy(ret_name, name);
	return SONDE_EXIT_DONE;
}

int sonde_user_object_schema(const char *path, struct sonde_schema **ret_schema)
{
	CLEANUP_FREE void *bytes = NULL;
	char name[256], text[512];
	const char *error = "";
	size_t size = 0;

	if (sonde_object_file_read(path, false, &bytes, &size, text, sizeof(text)) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s", text);
	sonde_config_object_name(path, name, sizeof(name));
	if (sonde_schema_new(name, bytes, size, NULL, &error, ret_schema) < 0)
		return sonde_say_error(SONDE_EXIT_FAILED, "%s: %s", path, error);
	return SONDE_EXIT_DONE;
}
