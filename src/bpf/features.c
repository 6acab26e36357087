/* SPDX-License-Identifier: Apache-2.0 */
/* Looks, never guesses from versions. What hooks a program gets is found by attaching them (object.c), not here. */
#include <bpf/features.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/mounts.h>

struct need {
	const char *name;
	bool needed;
	const char *without; /* what is missing then */
	const char *remedy;
};

static void feature_set(struct sonde_feature *feature, const struct need *need, bool present, const char *where)
{
	*feature = (struct sonde_feature){.present = present, .needed = need->needed};
	snprintf(feature->name, sizeof(feature->name), "%s", need->name);
	snprintf(feature->detail, sizeof(feature->detail), "%s", present ? where : need->without);
	if (!present)
		snprintf(feature->remedy, sizeof(feature->remedy), "%s", need->remedy);
}

static size_t features_mounts(struct sonde_feature *features, size_t max)
{
	static const struct {
		const char *type;
		struct need need;
	} mounts[] = {
		{"tracefs", {"tracefs", false, "hooks on single system calls", "mount -t tracefs tracefs /sys/kernel/tracing"}},
		{"bpf", {"bpffs", false, "pinned maps", "mount -t bpf bpf /sys/fs/bpf"}},
		{"cgroup2", {"cgroup v2", false, "cgroup hooks: owners of UDP sockets",
			     "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"}},
	};
	char path[4096];
	size_t n = 0;

	for (; n < sizeof(mounts) / sizeof(mounts[0]) && n < max; n++)
		feature_set(&features[n], &mounts[n].need, !sonde_mount_point(mounts[n].type, path, sizeof(path)), path);
	return n;
}

static size_t features_capabilities(struct sonde_feature *features, size_t max)
{
	static const struct {
		cap_value_t capability;
		struct need need;
	} wanted[] = {
		{CAP_BPF, {"CAP_BPF", true, "program at all", "run as root, or grant the capability"}},
		{CAP_PERFMON, {"CAP_PERFMON", true, "tracing hooks", "run as root, or grant the capability"}},
		{CAP_NET_ADMIN, {"CAP_NET_ADMIN", false, "cgroup hooks", "run as root, or grant the capability"}},
		{CAP_SYSLOG, {"CAP_SYSLOG", false, "names of kernel functions", "run as root, or grant the capability"}},
	};
	cap_t caps = cap_get_proc();
	size_t n = 0;

	for (; caps && n < sizeof(wanted) / sizeof(wanted[0]) && n < max; n++) {
		cap_flag_value_t value = CAP_CLEAR;

		cap_get_flag(caps, wanted[n].capability, CAP_EFFECTIVE, &value);
		feature_set(&features[n], &wanted[n].need, value == CAP_SET, "effective");
	}
	if (caps)
		cap_free(caps);
	return n;
}

size_t sonde_features(struct sonde_feature *features, size_t max)
{
	static const struct need btf = {"BTF", true, "program at all",
					"use a kernel built with CONFIG_DEBUG_INFO_BTF (Debian's are)"};
	static const struct need kernel = {"kernel", true, "", ""};
	struct utsname system;
	size_t n = 0;

	if (max < 2)
		return 0;
	uname(&system);
	feature_set(&features[n++], &kernel, true, system.release);
	feature_set(&features[n++], &btf, !access("/sys/kernel/btf/vmlinux", R_OK), "/sys/kernel/btf/vmlinux");
	n += features_mounts(features + n, max - n);
	n += features_capabilities(features + n, max - n);
	return n;
}

const char *sonde_privilege_hint(int error)
{
	return (error == -EPERM || error == -EACCES) && geteuid() ?
	       ": run it as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN" : "";
}
