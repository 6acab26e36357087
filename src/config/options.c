/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the configuration. The defaults are read by the same code as a file, so a default is always a legal value. */
#include <config/options.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/units.h>

#define KIB (1ll << 10)
#define MIB (1ll << 20)
#define GIB (1ll << 30)
#define DAY (86400 * SONDE_NS_PER_S)

#define FIELD(f) .offset = offsetof(struct sonde_config, f), .size = sizeof(((struct sonde_config *)0)->f)
#define PROGRAM_FIELD(f) \
	.section = "programs.NAME", .offset = offsetof(struct sonde_config_program, f), \
	.size = sizeof(((struct sonde_config_program *)0)->f)

const struct sonde_config_option sonde_config_options[] = {
	{
		.section = "", .name = "log_level", .type = SONDE_CONFIG_LEVEL, .default_text = "info", FIELD(log_level),
		.help = "How much the agent logs on standard error.",
	}, {
		.section = "", .name = "user", .type = SONDE_CONFIG_TEXT, .default_text = "sonde", FIELD(user),
		.help = "The user that the worker runs as. The worker reads events, stores them and serves them, without any capability.",
	}, {
		.section = "", .name = "programs_directory", .type = SONDE_CONFIG_PATH, .default_text = "/etc/sonde/programs.d",
		.zero = "off", FIELD(programs_directory),
		.help = "Every `NAME.bpf.o` in it is a program, called as the file before its first dot, unless `programs` has a section with "
			"an `object` of that name. Directory and files must be root's and writable by nobody else. A file that cannot be a "
			"program (its name, its owner, the name of a built-in one) is in state `failed` and says why; so is the directory, as "
			"`directory:programs.d`, and then nothing in it runs.",
	}, {
		.section = "", .name = "shutdown_timeout", .type = SONDE_CONFIG_DURATION, .default_text = "10s",
		.min = SONDE_NS_PER_S, .max = 300 * SONDE_NS_PER_S, FIELD(shutdown_timeout_ns),
		.help = "How long a shutdown may take: to finish answers, drain the rings and commit.",
	}, {
		.section = "", .name = "store", .type = SONDE_CONFIG_SECTION, .help = "Where events are kept, and how long.",
	}, {
		.section = "store", .name = "path", .type = SONDE_CONFIG_PATH, .default_text = "/var/lib/sonde/events.db",
		.word = "memory", FIELD(store.path),
		.help = "The file of the store. With `memory`, events are kept in memory only and nothing is written to disk.",
	}, {
		.section = "store", .name = "max_bytes", .type = SONDE_CONFIG_SIZE, .default_text = "1GiB", .min = MIB,
		.max = INT64_MAX, .zero = "no limit", FIELD(store.max_bytes),
		.help = "Above this size the oldest events are deleted. A file has at least 8MiB.",
	}, {
		.section = "store", .name = "max_age", .type = SONDE_CONFIG_DURATION, .default_text = "7d",
		.min = 60 * SONDE_NS_PER_S, .max = 3650 * DAY, .zero = "no limit", FIELD(store.max_age_ns),
		.help = "Events older than this are deleted.",
	}, {
		.section = "store", .name = "commit_interval", .type = SONDE_CONFIG_DURATION, .default_text = "200ms",
		.min = SONDE_NS_PER_MS, .max = 60 * SONDE_NS_PER_S, FIELD(store.commit_interval_ns),
		.help = "How often new events are made durable. Until then they wait in the ring, so a crash of the worker loses none.",
	}, {
		.section = "store", .name = "merge_cpu", .type = SONDE_CONFIG_INTEGER, .default_text = "5", .max = 100, .zero = "never",
		FIELD(store.merge_cpu_pct),
		.help = "Percent of one CPU that merging may take: the small blocks that commits write become large ones, which are smaller "
			"on disk and faster to read, beside the writing.",
	}, {
		.section = "", .name = "listen", .type = SONDE_CONFIG_SECTION, .help = "Where the agent answers.",
	}, {
		.section = "listen", .name = "metrics", .type = SONDE_CONFIG_ADDRESS, .default_text = ":9090", .zero = "off",
		FIELD(listen.metrics), .help = "Prometheus metrics: `/metrics`.",
	}, {
		.section = "listen", .name = "health", .type = SONDE_CONFIG_ADDRESS, .default_text = ":8080", .zero = "off",
		FIELD(listen.health), .help = "`/liveness`, `/readiness` and `/health`.",
	}, {
		.section = "listen", .name = "api", .type = SONDE_CONFIG_ADDRESS, .default_text = "127.0.0.1:8090", .zero = "off",
		FIELD(listen.api),
		.help = "The API over TCP. It has no login: everyone who reaches the address can read all events.",
	}, {
		.section = "listen", .name = "socket", .type = SONDE_CONFIG_PATH, .default_text = "/run/sonde/sonde.sock",
		.zero = "off", FIELD(listen.socket),
		.help = "The API on a unix socket, mode 0660. The command line asks here.",
	}, {
		.section = "", .name = "shared_maps", .type = SONDE_CONFIG_SECTION,
		.help = "The maps that several programs use: processes, sockets.",
	}, {
		.section = "shared_maps", .name = "path", .type = SONDE_CONFIG_PATH, .default_text = "/sys/fs/bpf/sonde",
		.zero = "off", FIELD(shared_maps.path),
		.help = "A directory of a bpf file system where they are pinned: they outlive an agent that is killed, and `bpftool map dump pinned` "
			"shows them. It is root's alone, and one agent has it at a time.",
	}, {
		.section = "shared_maps", .name = "keep", .type = SONDE_CONFIG_BOOLEAN, .default_text = "false", FIELD(shared_maps.keep),
		.help = "Whether they stay there when the agent is stopped in order. The next one then goes on with what is in them.",
	}, {
		.section = "", .name = "programs", .type = SONDE_CONFIG_PROGRAMS,
		.help = "One entry for each program that is not to run as it is by default.",
	}, {
		.name = "enabled", .type = SONDE_CONFIG_BOOLEAN, .default_doc = "as the program's page says", PROGRAM_FIELD(enabled),
		.help = "Whether the program runs.",
	}, {
		.name = "required", .type = SONDE_CONFIG_BOOLEAN, .default_text = "false", PROGRAM_FIELD(required),
		.help = "Whether the agent must end when this program cannot run. Otherwise the others run on without it.",
	}, {
		.name = "ring_bytes", .type = SONDE_CONFIG_SIZE, .default_text = "0", .default_doc = "the agent's choice",
		.min = 4 * KIB, .max = GIB, .zero = "the agent's choice", .power_of_two = true, PROGRAM_FIELD(ring_bytes),
		.help = "Size of the ring between the kernel and the agent. A larger one survives longer bursts.",
	}, {
		.name = "attach", .type = SONDE_CONFIG_ATTACH, .default_text = "auto", PROGRAM_FIELD(attach),
		.help = "How hooks on network interfaces are attached. `auto`: by tcx where the kernel has it (Linux 6.6), else by filters of the "
			"qdisc clsact.",
	}, {
		.name = "object", .type = SONDE_CONFIG_PATH, .default_text = "", .default_doc = "a built-in program",
		.zero = "a built-in program", PROGRAM_FIELD(object),
		.help = "A program of your own: its compiled `.bpf.o` file. Under the name of a built-in program it runs in its place.",
	}, {
		.section = "programs.NAME", .name = "settings", .type = SONDE_CONFIG_SETTINGS,
		.help = "The program's own settings, as its page lists them: at most 16. A value is a number, a duration, a size, "
			"true or false; of `interface_1` to `interface_4` the name of a network interface. One that is not there is "
			"waited for (but not by a `required` program).",
	},
};

const size_t sonde_config_n_options = ARRAY_SIZE(sonde_config_options);

_Static_assert(ARRAY_SIZE(sonde_config_options) <= SONDE_CONFIG_OPTIONS_MAX, "the reader remembers where each stood");

const struct sonde_config_option *sonde_config_option_find(const char *section, const char *name)
{
	for (size_t i = 0; i < sonde_config_n_options; i++)
		if (!strcmp(sonde_config_options[i].section, section) && !strcmp(sonde_config_options[i].name, name))
			return &sonde_config_options[i];
	return NULL;
}

const char *sonde_config_type_name(enum sonde_config_type type)
{
	static const char *const names[] = {
		"boolean", "integer", "size", "duration", "text", "address", "path", "word", "word", "section", "section", "section",
	};

	return names[type];
}

static void allowed_range(const struct sonde_config_option *option, char *text, size_t size)
{
	char min[SONDE_UNITS_TEXT_MAX], max[SONDE_UNITS_TEXT_MAX];

	if (!option->min && !option->max) {
		*text = '\0';
		return;
	}
	if (option->type == SONDE_CONFIG_SIZE) {
		sonde_size_text((uint64_t)option->min, min);
		sonde_size_text((uint64_t)option->max, max);
	} else if (option->type == SONDE_CONFIG_DURATION) {
		sonde_duration_text(option->min, min);
		sonde_duration_text(option->max, max);
	} else {
		snprintf(min, sizeof(min), "%lld", (long long)option->min);
		snprintf(max, sizeof(max), "%lld", (long long)option->max);
	}
	if (option->max == INT64_MAX)
		snprintf(text, size, " from %s", min);
	else
		snprintf(text, size, " from %s to %s", min, max);
}

const char *sonde_config_allowed(const struct sonde_config_option *option, char text[SONDE_CONFIG_ALLOWED_MAX])
{
	static const char *const kinds[] = {
		[SONDE_CONFIG_BOOLEAN] = "true or false",
		[SONDE_CONFIG_INTEGER] = "a whole number",
		[SONDE_CONFIG_SIZE] = "a size (16MiB, 1GiB)",
		[SONDE_CONFIG_DURATION] = "a duration (200ms, 10s, 7d)",
		[SONDE_CONFIG_TEXT] = "a name without spaces",
		[SONDE_CONFIG_ADDRESS] = "an address and port (:9090, 127.0.0.1:9090, [::1]:9090)",
		[SONDE_CONFIG_PATH] = "an absolute path",
		[SONDE_CONFIG_LEVEL] = "error, warning, info or debug",
		[SONDE_CONFIG_ATTACH] = "auto, tcx or clsact",
		[SONDE_CONFIG_SECTION] = "a section: lines KEY: VALUE",
		[SONDE_CONFIG_PROGRAMS] = "a section: lines NAME: with the program's options below",
		[SONDE_CONFIG_SETTINGS] = "a section: lines KEY: VALUE",
	};
	bool is_bounded = option->type == SONDE_CONFIG_TEXT || option->type == SONDE_CONFIG_PATH;
	bool is_text = option->type == SONDE_CONFIG_ADDRESS || option->type == SONDE_CONFIG_PATH;
	char range[2 * SONDE_UNITS_TEXT_MAX + 16];
	size_t n;

	if (is_bounded)
		snprintf(range, sizeof(range), " of at most %zu bytes", option->size - 1);
	else
		allowed_range(option, range, sizeof(range));
	n = (size_t)snprintf(text, SONDE_CONFIG_ALLOWED_MAX, "%s%s%s", kinds[option->type],
			     option->power_of_two ? ", a power of two" : "", range);
	if (option->word)
		n += (size_t)snprintf(text + n, SONDE_CONFIG_ALLOWED_MAX - n, ", or %s", option->word);
	if (option->zero)
		snprintf(text + n, SONDE_CONFIG_ALLOWED_MAX - n, ", or %s: %s", is_text ? "\"\"" : "0", option->zero);
	return text;
}

static int boolean_parse(const char *text, bool *ret_value)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return -EINVAL;
	*ret_value = *text == 't';
	return 0;
}

/* As the kernel takes a name (dev_valid_name()). */
static bool interface_is_valid(const char *text)
{
	if (!*text || strlen(text) >= IFNAMSIZ || !strcmp(text, ".") || !strcmp(text, ".."))
		return false;
	for (; *text; text++)
		if (*text == '/' || *text == ':' || isspace((unsigned char)*text) || iscntrl((unsigned char)*text))
			return false;
	return true;
}

static int setting_number_parse(const char *text, int64_t *ret_value)
{
	uint64_t bytes;
	bool boolean;

	if (boolean_parse(text, &boolean) == 0) {
		*ret_value = boolean;
		return 0;
	}
	if (sonde_integer_parse(text, ret_value) == 0 || sonde_duration_parse(text, ret_value) == 0)
		return 0;
	if (sonde_size_parse(text, &bytes) < 0 || bytes > INT64_MAX)
		return -EINVAL;
	*ret_value = (int64_t)bytes;
	return 0;
}

int sonde_config_setting_parse(const char *name, const char *text, struct sonde_object_setting *ret_setting)
{
	struct sonde_object_setting setting = {};

	if (!sonde_is_interface_setting(name)) {
		if (setting_number_parse(text, &setting.value) < 0)
			return -EINVAL;
	} else if (sonde_integer_parse(text, &setting.value) < 0) {
		if (!interface_is_valid(text))
			return -EINVAL;
		snprintf(setting.interface, sizeof(setting.interface), "%s", text);
	}
	snprintf(setting.name, sizeof(setting.name), "%s", name);
	*ret_setting = setting;
	return 0;
}

const char *sonde_config_setting_allowed(const char *name)
{
	return sonde_is_interface_setting(name) ? "the name of a network interface, or its number" :
					    "a number, a duration (10s), a size (16MiB), true or false";
}

static bool number_in_range(const struct sonde_config_option *option, int64_t number)
{
	if (number == 0 && option->zero)
		return true;
	if ((option->min || option->max) && (number < option->min || number > option->max))
		return false;
	return !option->power_of_two || (number & (number - 1)) == 0;
}

static int number_set(const struct sonde_config_option *option, void *field, const char *text)
{
	uint64_t bytes = 0;
	int64_t number = 0;
	int r;

	if (option->type == SONDE_CONFIG_SIZE) {
		r = sonde_size_parse(text, &bytes);
		if (r == 0 && bytes > INT64_MAX)
			r = -ERANGE;
		number = (int64_t)bytes;
	} else if (option->type == SONDE_CONFIG_DURATION) {
		r = sonde_duration_parse(text, &number);
	} else {
		r = sonde_integer_parse(text, &number);
	}
	if (r < 0 || !number_in_range(option, number))
		return -EINVAL;
	*(int64_t *)field = number; /* a size is never above INT64_MAX, so both signs of the field hold it */
	return 0;
}

static bool address_is_valid(const char *text)
{
	const char *colon = strrchr(text, ':');
	unsigned char address[16];
	char host[64];
	int64_t port;
	size_t length;

	if (!colon || colon[1] == '+' || sonde_integer_parse(colon + 1, &port) < 0 || port < 1 || port > 65535)
		return false;
	length = (size_t)(colon - text);
	if (length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (!length)
		return true;
	if (host[0] != '[')
		return inet_pton(AF_INET, host, address) == 1;
	if (host[length - 1] != ']')
		return false;
	host[length - 1] = '\0';
	return inet_pton(AF_INET6, host + 1, address) == 1;
}

static bool text_is_valid(const struct sonde_config_option *option, const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	if (strlen(text) >= option->size)
		return false;
	if (!*text)
		return option->zero != NULL;
	if (option->word && !strcmp(text, option->word))
		return true;
	if (option->type == SONDE_CONFIG_ADDRESS)
		return address_is_valid(text);
	if (option->type == SONDE_CONFIG_PATH)
		return text[0] == '/' && text[1];
	return !strpbrk(text, " :/");
}

int sonde_config_option_set(const struct sonde_config_option *option, void *base, const char *text)
{
	char *field = (char *)base + option->offset;

	switch (option->type) {
	case SONDE_CONFIG_BOOLEAN:
		return boolean_parse(text, (bool *)field);
	case SONDE_CONFIG_INTEGER:
	case SONDE_CONFIG_SIZE:
	case SONDE_CONFIG_DURATION:
		return number_set(option, field, text);
	case SONDE_CONFIG_LEVEL:
		return sonde_log_parse_level(text, (enum sonde_log_level *)field);
	case SONDE_CONFIG_ATTACH:
		return sonde_attach_parse(text, (enum sonde_attach *)field);
	case SONDE_CONFIG_TEXT:
	case SONDE_CONFIG_ADDRESS:
	case SONDE_CONFIG_PATH:
		if (!text_is_valid(option, text))
			return -EINVAL;
		memcpy(field, text, strlen(text) + 1);
		return 0;
	default:
		return -EINVAL;
	}
}
