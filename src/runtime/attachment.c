/* SPDX-License-Identifier: Apache-2.0 */
#include <runtime/attachment.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <bpf/embedded.h>

static int fd_copy(int fd)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy;
}

int sonde_attachment_fds(const struct sonde_manager *manager, const char *name, struct sonde_source_opts *ret_opts)
{
	struct sonde_object *object = sonde_manager_object(manager, name);
	const struct sonde_schema *schema = sonde_manager_schema(manager, name);
	struct sonde_source_opts opts = {.name = name, .schema = schema};
	const struct sonde_object_hook *hooks;
	size_t n;

	if (!object)
		return -ENOENT;
	opts.ring_fd = fd_copy(sonde_object_ring_fd(object));
	opts.counters_fd = fd_copy(sonde_object_counters_fd(object));
	opts.control_fd = fd_copy(sonde_object_control_fd(object));
	opts.settings_fd = fd_copy(sonde_object_settings_fd(object));
	n = sonde_object_hooks(object, &hooks);
	for (size_t i = 0; i < n && i < SONDE_SOURCE_PROGRAMS_MAX; i++)
		opts.program_fds[opts.n_programs++] = fd_copy(hooks[i].program_fd);
	for (uint32_t i = 0; i < schema->n_metrics && i < SONDE_SOURCE_METRICS_MAX; i++)
		opts.metric_fds[opts.n_metrics++] = fd_copy(sonde_object_metric_fd(object, i));
	if (opts.ring_fd < 0 || opts.counters_fd < 0 || opts.control_fd < 0 || opts.settings_fd < 0) {
		sonde_attachment_close(&opts);
		return -EMFILE;
	}
	*ret_opts = opts;
	return 0;
}

void sonde_attachment_close(struct sonde_source_opts *opts)
{
	int fds[] = {opts->ring_fd, opts->counters_fd, opts->control_fd, opts->settings_fd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (unsigned i = 0; i < opts->n_programs; i++)
		if (opts->program_fds[i] >= 0)
			close(opts->program_fds[i]);
	for (unsigned i = 0; i < opts->n_metrics; i++)
		if (opts->metric_fds[i] >= 0)
			close(opts->metric_fds[i]);
	opts->ring_fd = opts->counters_fd = opts->control_fd = opts->settings_fd = -1;
	opts->n_programs = opts->n_metrics = 0;
}

const struct sonde_program_hooks *sonde_attachment_hooks(const char *name)
{
	const struct sonde_embedded *e = sonde_embedded_find(name);

	return e ? e->hooks : NULL;
}

int sonde_source_attach_local(const struct sonde_manager *manager, const char *name, struct sonde_enrich *enrich,
			      sonde_deliver_fn deliver, void *userdata, struct sonde_source **ret_source)
{
	struct sonde_source_opts opts;
	struct sonde_source *source;
	int r;

	r = sonde_attachment_fds(manager, name, &opts);
	if (r < 0)
		return r;
	opts.hooks = sonde_attachment_hooks(name);
	opts.enrich = enrich;
	opts.deliver = deliver;
	opts.userdata = userdata;
	(void)!getrandom(&opts.ring_id, sizeof(opts.ring_id), 0);
	r = sonde_source_new(&opts, &source);
	if (r < 0)
		return r;
	r = sonde_source_start(source);
	if (r < 0) {
		sonde_source_free(&source);
		return r;
	}
	*ret_source = source;
	return 0;
}
