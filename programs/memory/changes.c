/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify on cgroup folders: who makes, removes or limits a cgroup does so by a file system's call. Invariant: a folder is watched
 * before it is read, so what comes later is noted.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "changes.h"

#define MADE_OR_GONE (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define EVENTS_SIZE 16384

void sonde_memory_changes_open(struct sonde_memory_changes *changes)
{
	*changes = (struct sonde_memory_changes){.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
}

void sonde_memory_changes_close(struct sonde_memory_changes *changes)
{
	if (changes->fd >= 0)
		close(changes->fd);
	changes->fd = -1;
}

void sonde_memory_changes_of(struct sonde_memory_changes *changes, const struct sonde_memory_hierarchy *h, const char *path)
{
	char folder[SONDE_MEMORY_PATH_SIZE + 32];

	if (changes->fd < 0)
		return;
	snprintf(folder, sizeof(folder), "/proc/self/fd/%d/.%s", h->fd, path);
	/* One that is gone by now is an event of the folder above it. */
	if (inotify_add_watch(changes->fd, folder, MADE_OR_GONE | IN_MODIFY | IN_ONLYDIR) < 0 && errno != ENOENT)
		changes->partial = true;
}

/* Of the files the kernel makes no events but these: somebody, or a count in them, wrote. */
static bool is_change(const struct inotify_event *event, const char *limit)
{
	if (event->mask & (MADE_OR_GONE | IN_Q_OVERFLOW))
		return true;
	return event->mask & IN_MODIFY && event->len && !strcmp(event->name, limit);
}

bool sonde_memory_changes_any(struct sonde_memory_changes *changes, const struct sonde_memory_hierarchy *h)
{
	_Alignas(struct inotify_event) char events[EVENTS_SIZE];
	bool any = changes->fd < 0 || changes->partial;
	ssize_t n;

	changes->partial = false; /* the walk that follows tries again */
	while (changes->fd >= 0 && (n = read(changes->fd, events, sizeof(events))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const struct inotify_event *)(events + at);

			any |= is_change(event, sonde_memory_limit_name(h));
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	return any;
}
