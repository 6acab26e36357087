/* SPDX-License-Identifier: Apache-2.0 */
/* The loader's programs: from the configuration to running hooks, and the worker's requests about them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <agent/loader_private.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <bpf/embedded.h>
#include <bpf/features.h>
#include <runtime/attachment.h>

#define DRAIN_TIMEOUT_NS (5 * SONDE_NS_PER_S)

/* ---- registration ---- */

int loader_program_register(struct loader *loader, const char *name, const struct sonde_config_program *section)
{
	struct sonde_object_setting settings[ARRAY_SIZE(section->settings)];
	const struct sonde_embedded *embedded = sonde_embedded_find(name);
	struct sonde_program_spec spec = {.name = name, .settings = settings};
	int r;

	spec.enabled = !embedded || !embedded->off_by_default;
	if (section) {
		if (section->enabled_given)
			spec.enabled = section->enabled;
		else if (section->object[0])
			spec.enabled = true;
		spec.required = section->required;
		spec.ring_bytes = section->ring_bytes;
		spec.attach = section->attach;
		spec.object_path = section->object[0] ? section->object : NULL;
		spec.roots_alone = section->from_directory;
		spec.refused = section->refused;
		for (; spec.n_settings < section->n_settings; spec.n_settings++)
			settings[spec.n_settings] = section->settings[spec.n_settings].given;
	}
	r = sonde_manager_register(loader->manager, &spec);
	return r < 0 ? sonde_log_err(r, "program %s: cannot register it", name) : 0;
}

int loader_programs_register(struct loader *loader)
{
	int r = 0;

	for (const struct sonde_embedded *e = sonde_embedded; e->name && !r; e++)
		r = loader_program_register(loader, e->name, sonde_config_program(loader->config, e->name));
	for (unsigned i = 0; i < loader->config->n_programs && !r; i++) {
		const struct sonde_config_program *section = &loader->config->programs[i];

		if (!sonde_manager_status(loader->manager, section->name))
			r = loader_program_register(loader, section->name, section);
	}
	return r;
}

/* ---- what the worker is told ---- */

static uint64_t *ring_id_of(struct loader *loader, const char *name)
{
	for (size_t i = 0; i < SONDE_PROGRAMS_MAX; i++)
		if (!loader->ring_names[i][0] || !strcmp(loader->ring_names[i], name)) {
			snprintf(loader->ring_names[i], SONDE_PROGRAM_NAME_MAX, "%s", name);
			return &loader->ring_ids[i];
		}
	return &loader->ring_ids[SONDE_PROGRAMS_MAX - 1];
}

void loader_tell_status(struct loader *loader, const char *name)
{
	struct sonde_message message = {.kind = SONDE_MESSAGE_STATUS};

	message.status = *sonde_manager_status(loader->manager, name);
	loader_send(loader, &message, NULL, 0);
}

static int image_file(struct loader *loader, const char *name)
{
	CLEANUP_CLOSE int fd = -1;
	const void *image;
	size_t size;

	image = sonde_manager_image(loader->manager, name, &size);
	if (!image)
		return -1;
	fd = memfd_create("sonde-program", MFD_CLOEXEC);
	return fd >= 0 && write(fd, image, size) == (ssize_t)size ? TAKE_FD(fd) : -1;
}

static void tell_program(struct loader *loader, const char *name)
{
	struct sonde_message message = {.kind = SONDE_MESSAGE_PROGRAM, .ring_id = *ring_id_of(loader, name)};
	CLEANUP_CLOSE int image = image_file(loader, name);
	int fds[SONDE_MESSAGE_FDS_MAX];
	struct sonde_source_opts opts;
	unsigned n = 0;

	message.status = *sonde_manager_status(loader->manager, name);
	if (sonde_attachment_fds(loader->manager, name, &opts) < 0) {
		sonde_log_err(-EMFILE, "program %s: cannot hand it to the worker", name);
		return;
	}
	fds[n++] = opts.ring_fd;
	fds[n++] = opts.counters_fd;
	fds[n++] = opts.control_fd;
	fds[n++] = opts.settings_fd;
	message.n_programs = opts.n_programs;
	for (unsigned i = 0; i < opts.n_programs; i++) {
		if (opts.program_fds[i] >= 0)
			fds[n++] = opts.program_fds[i];
		else
			message.absent |= 1u << i;
	}
	for (unsigned i = 0; i < opts.n_metrics; i++)
		fds[n++] = opts.metric_fds[i];
	message.n_metrics = opts.n_metrics;
	if (image >= 0) {
		message.has_image = 1;
		fds[n++] = image;
	}
	loader_send(loader, &message, fds, n);
	sonde_attachment_close(&opts);
}

void loader_programs_tell(struct loader *loader)
{
	const char *names[SONDE_PROGRAMS_MAX];
	size_t n = sonde_manager_list(loader->manager, names, SONDE_PROGRAMS_MAX);
	struct sonde_message started = {.kind = SONDE_MESSAGE_STARTED};

	for (size_t i = 0; i < n; i++) {
		if (sonde_manager_object(loader->manager, names[i]))
			tell_program(loader, names[i]);
		else
			loader_tell_status(loader, names[i]);
	}
	if (loader->started)
		loader_send(loader, &started, NULL, 0);
}

/* ---- start and stop ---- */

/* What follows its load, which ended with `r`. */
static int program_run(struct loader *loader, const char *name, int r)
{
	const struct sonde_program_status *status = sonde_manager_status(loader->manager, name);

	if (r >= 0) {
		(void)!getrandom(ring_id_of(loader, name), sizeof(uint64_t), 0);
		/* The reader is there before the first event. */
		tell_program(loader, name);
		r = sonde_manager_attach(loader->manager, name);
	}
	if (r < 0)
		sonde_log_err(0, "program %s: %s%s", name, status->reason, sonde_privilege_hint(r));
	else if (status->reason[0])
		sonde_log_info("program %s: %s", name, status->reason);
	loader_tell_status(loader, name);
	return r;
}

int loader_program_start(struct loader *loader, const char *name)
{
	return program_run(loader, name, sonde_manager_load(loader->manager, name));
}

int loader_programs_start(struct loader *loader)
{
	const char *names[SONDE_PROGRAMS_MAX], *enabled[SONDE_PROGRAMS_MAX];
	size_t n = sonde_manager_list(loader->manager, names, SONDE_PROGRAMS_MAX), n_enabled = 0;
	struct sonde_message started = {.kind = SONDE_MESSAGE_STARTED};
	int results[SONDE_PROGRAMS_MAX];

	for (size_t i = 0; i < n; i++) {
		if (sonde_manager_status(loader->manager, names[i])->state == SONDE_PROGRAM_DISABLED)
			loader_tell_status(loader, names[i]);
		else
			enabled[n_enabled++] = names[i];
	}
	sonde_manager_load_all(loader->manager, enabled, n_enabled, results);
	for (size_t i = 0; i < n_enabled; i++) {
		int r = program_run(loader, enabled[i], results[i]);

		if (r < 0 && sonde_manager_status(loader->manager, enabled[i])->required)
			return sonde_log_err(r, "program %s is required", enabled[i]);
	}
	loader->started = true;
	loader_send(loader, &started, NULL, 0);
	return 0;
}

void loader_program_stop(struct loader *loader, const char *name)
{
	struct sonde_message gone = {.kind = SONDE_MESSAGE_GONE};
	int r;

	if (!sonde_manager_object(loader->manager, name))
		return;
	gone.at_ns = sonde_clock_wall_ns();
	(void)sonde_manager_detach(loader->manager, name);
	snprintf(gone.status.name, sizeof(gone.status.name), "%s", name);
	loader_send(loader, &gone, NULL, 0);
	r = loader_worker_wait_drained(loader, name, DRAIN_TIMEOUT_NS);
	if (r < 0)
		sonde_log_err(r, "program %s: what was in its ring is lost, the worker did not take it", name);
	(void)sonde_manager_unload(loader->manager, name);
	loader_tell_status(loader, name);
}

static void program_mended(const char *name, void *userdata)
{
	const struct sonde_program_status *status = sonde_manager_status(((struct loader *)userdata)->manager, name);

	if (status->waits)
		sonde_log_warning("program %s: %s", name, status->reason);
	else
		sonde_log_info("program %s: its network interfaces are there, and all hooks attached again", name);
	loader_tell_status(userdata, name);
}

int64_t loader_programs_mend(struct loader *loader)
{
	return sonde_manager_mend(loader->manager, program_mended, loader);
}

void loader_programs_detach(struct loader *loader)
{
	const char *names[SONDE_PROGRAMS_MAX];
	size_t n = sonde_manager_list(loader->manager, names, SONDE_PROGRAMS_MAX);

	for (size_t i = 0; i < n; i++)
		(void)sonde_manager_detach(loader->manager, names[i]);
}

/* ---- requests ---- */

static void reply(struct loader *loader, uint32_t id, int error, const char *text)
{
	struct sonde_message message = {.kind = SONDE_MESSAGE_REPLY, .id = id, .error = error};

	snprintf(message.text, sizeof(message.text), "%s", text);
	loader_send(loader, &message, NULL, 0);
}

static void reply_started(struct loader *loader, uint32_t id, const char *name)
{
	int r = loader_program_start(loader, name);

	reply(loader, id, r < 0 ? r : 0, r < 0 ? sonde_manager_status(loader->manager, name)->reason : "started");
}

void loader_request(struct loader *loader, const struct sonde_message *request)
{
	const struct sonde_program_status *status = sonde_manager_status(loader->manager, request->status.name);
	char error[sizeof(request->text)] = "read again";
	bool runs;
	int r;

	if (request->verb == SONDE_REQUEST_CONFIGURATION) {
		r = loader_reload(loader, error, sizeof(error));
		reply(loader, request->id, r, error);
		return;
	}
	if (!status) {
		reply(loader, request->id, -ENOENT, "there is no such program: 'sonde programs' lists them");
		return;
	}
	runs = status->state == SONDE_PROGRAM_RUNNING || status->state == SONDE_PROGRAM_STARTING;
	if (request->verb == SONDE_REQUEST_START && runs)
		reply(loader, request->id, -EALREADY, "it runs already");
	else if (request->verb == SONDE_REQUEST_STOP && !runs)
		reply(loader, request->id, -EALREADY, "it does not run");
	else if (request->verb < SONDE_REQUEST_START || request->verb > SONDE_REQUEST_RELOAD)
		reply(loader, request->id, -EINVAL, "unknown request");
	else if (request->verb == SONDE_REQUEST_STOP || runs)
		loader_program_stop(loader, status->name);
	if (request->verb == SONDE_REQUEST_STOP && runs)
		reply(loader, request->id, 0, "stopped");
	else if (request->verb == SONDE_REQUEST_RELOAD || (request->verb == SONDE_REQUEST_START && !runs))
		reply_started(loader, request->id, request->status.name);
}
