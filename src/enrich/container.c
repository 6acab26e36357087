/* SPDX-License-Identifier: Apache-2.0 */
/* Container or unit out of a cgroup's path.
 *
 * The path is read from the root downwards and the first part that is a container's wins: what a container makes inside
 * itself (Docker in Docker, a systemd of its own, a cgroup named like somebody else) can never rename it. Only without a
 * container the innermost systemd unit is named. Ids are told by their form (64 hex digits), not by the runtime's name, because
 * every runtime writes its own prefix; the supervisor beside a container ("conmon") carries the same id and is not it. */
#include <enrich/enrich.h>

#include <base/cleanup.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#define ID_LENGTH 64

struct part {
	const char *text;
	size_t length;
};

static bool part_is(struct part part, const char *text)
{
	return part.length == strlen(text) && !memcmp(part.text, text, part.length);
}

static bool part_starts(struct part part, const char *text)
{
	return part.length > strlen(text) && !memcmp(part.text, text, strlen(text));
}

static bool part_ends(struct part part, const char *text)
{
	return part.length > strlen(text) && !memcmp(part.text + part.length - strlen(text), text, strlen(text));
}

static struct part part_between(struct part part, size_t front, size_t back)
{
	return (struct part){part.text + front, part.length - front - back};
}

static bool is_id(struct part part)
{
	for (size_t i = 0; i < part.length; i++)
		if (!((part.text[i] >= '0' && part.text[i] <= '9') || (part.text[i] >= 'a' && part.text[i] <= 'f')))
			return false;
	return part.length == ID_LENGTH;
}

/* <id>, docker-<id>.scope, cri-containerd-<id>.scope, crio-<id>, libpod-payload-<id>, ...slice:cri-containerd:<id> */
static bool find_id(struct part part, struct part parent, struct part *ret_name)
{
	struct part id, before;

	if (part_ends(part, ".scope"))
		part.length -= strlen(".scope");
	if (part.length < ID_LENGTH)
		return false;
	id = part_between(part, part.length - ID_LENGTH, 0);
	before = part_between(part, 0, ID_LENGTH);
	if (!is_id(id))
		return false;
	if (!before.length) {
		/* podman without systemd: the pod's cgroup around its containers' */
		if (part_is(parent, "libpod_parent"))
			return false;
	} else {
		char separator = before.text[--before.length];

		if ((separator != '-' && separator != ':') || part_is(before, "conmon") ||
		    part_ends(before, "-conmon"))
			return false;
	}
	*ret_name = id;
	return true;
}

/* Runtimes that let the user choose the name tell it by the cgroup around it or by a prefix. */
static bool find_name(struct part part, struct part parent, bool parent_is_top, struct part *ret_name)
{
	static const char *const parents[] = {"lxc", "lxc.payload", "buildkit", "garden"};
	static const char *const namespaces[] = {"default", "k8s.io", "moby"}; /* containerd's, without systemd */

	for (size_t i = 0; i < ARRAY_SIZE(parents); i++)
		if (part_is(parent, parents[i])) {
			*ret_name = part;
			return true;
		}
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
		if (parent_is_top && part_is(parent, namespaces[i])) {
			*ret_name = part;
			return true;
		}
	if (part_starts(part, "lxc.payload.")) {
		*ret_name = part_between(part, strlen("lxc.payload."), 0);
		return true;
	}
	if (part_starts(part, "machine-") && part_ends(part, ".scope") && part_starts(parent, "machine") &&
	    part_ends(parent, ".slice") && part.length > strlen("machine-.scope")) {
		*ret_name = part_between(part, strlen("machine-"), strlen(".scope"));
		return true;
	}
	if (part_starts(part, "systemd-nspawn@") && part_ends(part, ".service") &&
	    part.length > strlen("systemd-nspawn@.service")) {
		*ret_name = part_between(part, strlen("systemd-nspawn@"), strlen(".service"));
		return true;
	}
	return false;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* systemd writes bytes that a unit's name may not hold as \xNN; a machine's name is shown as it was given. */
static size_t copy_name(struct part name, bool unescape, char *ret_name, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < name.length && n + 1 < size; i++) {
		char c = name.text[i];

		if (unescape && c == '\\' && i + 3 < name.length && name.text[i + 1] == 'x' &&
		    hex(name.text[i + 2]) >= 0 && hex(name.text[i + 3]) >= 0 &&
		    (name.text[i + 2] != '0' || name.text[i + 3] != '0')) {
			c = (char)(hex(name.text[i + 2]) << 4 | hex(name.text[i + 3]));
			i += 3;
		}
		ret_name[n++] = c;
	}
	ret_name[n] = '\0';
	return n;
}

static bool is_unit(struct part part)
{
	return (part_ends(part, ".service") || part_ends(part, ".scope")) && !part_is(part, "init.scope");
}

size_t sonde_container_of_path(const char *path, char *ret_name, size_t size)
{
	const char *end = path + strnlen(path, PATH_MAX);
	struct part parent = {"", 0}, part, name, unit = {"", 0};
	unsigned int depth = 0;

	if (!size)
		return 0;
	while (path < end) {
		part = (struct part){path, strcspn(path, "/")};
		if (part.text + part.length > end)
			part.length = (size_t)(end - part.text);
		path = part.text + part.length + 1;
		if (!part.length)
			continue;
		if (find_id(part, parent, &name))
			return copy_name(name, false, ret_name, size);
		if (find_name(part, parent, depth == 1, &name))
			return copy_name(name, true, ret_name, size);
		if (is_unit(part))
			unit = part;
		parent = part;
		depth++;
	}
	/* A unit is shown as systemctl wants it back: with its escapes. */
	return unit.length ? copy_name(unit, false, ret_name, size) : 0;
}
