/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks of running programs: on and off, looked after when network interfaces change, and iterators that are run at intervals. */
#include <runtime/manager_private.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/clock.h>
#include <base/log.h>
#include <bpf/netlink.h>

#define LOOK_INTERVAL_NS (100 * SONDE_NS_PER_MS) /* at least between two looks at the interfaces: another tool may not cease */

void sonde_managed_hooks(struct managed *p)
{
	const struct sonde_object_hook *hooks;
	size_t n = sonde_object_hooks(p->bpf, &hooks), used = 0;

	p->status.n_hooks = (uint32_t)n;
	p->status.waits = false;
	p->status.reason[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		struct sonde_hook_status *to = &p->status.hooks[i];

		memcpy(to->name, hooks[i].name, sizeof(to->name));
		memcpy(to->reason, hooks[i].reason, sizeof(to->reason));
		to->attached = hooks[i].attached;
		to->unwanted = hooks[i].unwanted;
		if (hooks[i].waits && used < sizeof(p->status.reason) && !strstr(p->status.reason, to->reason)) /* of both directions */
			used += (size_t)snprintf(p->status.reason + used, sizeof(p->status.reason) - used, "%s%s",
						 used ? "; " : "", to->reason);
		else if (!hooks[i].waits && !to->attached && !to->unwanted && to->reason[0] && used < sizeof(p->status.reason))
			used += (size_t)snprintf(p->status.reason + used, sizeof(p->status.reason) - used, "%swithout %s (%s)",
						 used ? "; " : "", to->name, to->reason);
		p->status.waits |= hooks[i].waits;
	}
	for (unsigned i = 0; i < SONDE_INTERFACES_MAX; i++) {
		struct sonde_interface_status *to = &p->status.interfaces[i];

		snprintf(to->name, sizeof(to->name), "%s", sonde_object_interface(p->bpf, i, &to->number));
	}
}

/* Before it looks for its interfaces, so that no change is missed. */
static int manager_watch(struct sonde_manager *manager, struct managed *p)
{
	bool is_wanted = false;
	int r;

	for (size_t i = 0; i < p->n_settings; i++)
		is_wanted |= sonde_is_interface_setting(p->settings[i].name);
	if (!is_wanted || manager->watch_fd >= 0)
		return 0;
	r = sonde_netlink_watch_open();
	if (r < 0)
		snprintf(p->status.reason, sizeof(p->status.reason), "cannot watch the network interfaces: %s", strerror(-r));
	else
		manager->watch_fd = r;
	return r < 0 ? r : 0;
}

int sonde_manager_attach(struct sonde_manager *manager, const char *name)
{
	struct managed *p = sonde_manager_find(manager, name);
	int64_t interval;
	int r;

	if (!p)
		return -ENOENT;
	if (p->status.state != SONDE_PROGRAM_STARTING)
		return -EINVAL;
	r = manager_watch(manager, p);
	r = r ?: sonde_object_attach(p->bpf, p->status.reason, sizeof(p->status.reason));
	if (r < 0)
		return sonde_managed_fail(p, r);
	sonde_managed_hooks(p);
	p->status.state = SONDE_PROGRAM_RUNNING;
	p->status.started_ns = sonde_clock_wall_ns();
	interval = sonde_object_interval_ns(p->bpf);
	p->next_run_ns = interval > 0 ? sonde_clock_boot_ns() + interval : 0;
	return 0;
}

int sonde_manager_detach(struct sonde_manager *manager, const char *name)
{
	struct managed *p = sonde_manager_find(manager, name);

	if (!p || !p->bpf)
		return -ENOENT;
	sonde_object_detach(p->bpf);
	sonde_managed_hooks(p);
	p->next_run_ns = 0;
	p->status.state = SONDE_PROGRAM_STARTING;
	return 0;
}

int sonde_manager_watch_fd(const struct sonde_manager *manager)
{
	return manager->watch_fd;
}

static void managed_mend(struct managed *p, sonde_changed_fn changed, void *userdata)
{
	char before[sizeof(p->status.reason)];
	unsigned attached = sonde_object_mend(p->bpf);

	memcpy(before, p->status.reason, sizeof(before));
	sonde_managed_hooks(p);
	p->status.reattached += attached;
	if (attached || strcmp(before, p->status.reason))
		changed(p->status.name, userdata);
}

int64_t sonde_manager_mend(struct sonde_manager *manager, sonde_changed_fn changed, void *userdata)
{
	int64_t wait = manager->looked_ns + LOOK_INTERVAL_NS - sonde_clock_boot_ns();

	if (manager->watch_fd >= 0 && sonde_netlink_watch_take(manager->watch_fd))
		manager->has_changed = true;
	if (!manager->has_changed || wait > 0)
		return manager->has_changed ? wait : -1;
	manager->has_changed = false;
	manager->looked_ns = sonde_clock_boot_ns();
	for (struct managed *p = manager->programs; p; p = p->next)
		if (p->status.state == SONDE_PROGRAM_RUNNING)
			managed_mend(p, changed, userdata);
	return -1;
}

int64_t sonde_manager_run_due(struct sonde_manager *manager)
{
	int64_t now = sonde_clock_boot_ns(), next = INT64_MAX;
	int r;

	for (struct managed *p = manager->programs; p; p = p->next) {
		if (!p->next_run_ns)
			continue;
		if (p->next_run_ns <= now) {
			r = sonde_object_run_interval(p->bpf);
			if (r < 0)
				sonde_log_err(r, "program %s: its periodic run failed", p->status.name);
			p->next_run_ns = now + sonde_object_interval_ns(p->bpf);
		}
		if (p->next_run_ns < next)
			next = p->next_run_ns;
	}
	return next == INT64_MAX ? -1 : next - now;
}
