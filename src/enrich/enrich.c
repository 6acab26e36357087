/* SPDX-License-Identifier: Apache-2.0 */
/* Enrich: wires the tables together and lends them to the schema and to the programs' hooks. */
#include <enrich/enrich.h>

#include <base/cleanup.h>
#include <enrich/hook_context.h>
#include <enrich/symbols.h>
#include <errno.h>

#define PROCESSES 65536
#define CGROUPS 16384
#define ADDRESS_NAMES 16384
/* Containers and units. They are kept for good (see intern.h), so this is for the whole life of the agent. */
#define NAMES 131072
#define NAMES_BYTES (12u << 20)
/* Apart, so that a node which makes containers without end still names its drops. */
#define SYMBOL_NAMES 8192
#define SYMBOL_NAMES_BYTES (512u << 10)

struct sonde_enrich {
	struct sonde_names names;
	struct sonde_hook_context context;
	struct sonde_intern *containers, *functions;
	struct sonde_symbols *symbols;
};

static const char *enrich_symbol(void *userdata, uint64_t address)
{
	struct sonde_enrich *enrich = userdata;

	return sonde_symbols_name(enrich->symbols, address);
}

static const char *enrich_address(void *userdata, const struct sonde_header *record, const uint8_t *address)
{
	struct sonde_enrich *enrich = userdata;

	return sonde_addresses_name(enrich->context.addresses, record, address);
}

static bool enrich_has_name(void *userdata, const uint8_t *address)
{
	struct sonde_enrich *enrich = userdata;

	return sonde_addresses_has(enrich->context.addresses, address);
}

int sonde_enrich_new(const struct sonde_enrich_opts *opts, struct sonde_enrich **ret_enrich)
{
	CLEANUP(sonde_enrich_free) struct sonde_enrich *enrich = calloc(1, sizeof(*enrich));
	int r;

	if (!enrich)
		return -ENOMEM;
	/* Enums of the running kernel: the schema reads them itself. */
	enrich->names = (struct sonde_names){.userdata = enrich, .symbol = enrich_symbol, .address = enrich_address,
					     .has_name = enrich_has_name};
	r = sonde_intern_new(NAMES, NAMES_BYTES, &enrich->containers);
	if (!r)
		r = sonde_intern_new(SYMBOL_NAMES, SYMBOL_NAMES_BYTES, &enrich->functions);
	if (!r)
		r = sonde_symbols_new(opts->kallsyms_fd, enrich->functions, &enrich->symbols);
	if (!r)
		r = sonde_processes_new(opts->max_processes ? opts->max_processes : PROCESSES,
					&enrich->context.processes);
	if (!r)
		r = sonde_cgroups_new(opts->max_cgroups ? opts->max_cgroups : CGROUPS, enrich->containers,
				      &enrich->context.cgroups);
	if (!r)
		r = sonde_addresses_new(opts->max_names ? opts->max_names : ADDRESS_NAMES, &enrich->context.addresses);
	if (r < 0)
		return r;
	sonde_cgroups_learn(enrich->context.cgroups);
	*ret_enrich = TAKE_PTR(enrich);
	return 0;
}

void sonde_enrich_free(struct sonde_enrich **enrich)
{
	if (!*enrich)
		return;
	sonde_addresses_free(&(*enrich)->context.addresses);
	sonde_cgroups_free(&(*enrich)->context.cgroups);
	sonde_processes_free(&(*enrich)->context.processes);
	sonde_symbols_free(&(*enrich)->symbols);
	sonde_intern_free(&(*enrich)->functions);
	sonde_intern_free(&(*enrich)->containers);
	free(TAKE_PTR(*enrich));
}

const struct sonde_names *sonde_enrich_names(struct sonde_enrich *enrich)
{
	return &enrich->names;
}

const char *sonde_enrich_container(struct sonde_enrich *enrich, uint64_t cgroup_id)
{
	return sonde_cgroups_container(enrich->context.cgroups, cgroup_id);
}

struct sonde_hook_context *sonde_enrich_hook_context(struct sonde_enrich *enrich)
{
	return &enrich->context;
}

void sonde_enrich_status(struct sonde_enrich *enrich, struct sonde_enrich_status *ret_status)
{
	struct sonde_processes_status processes;
	struct sonde_cgroups_status cgroups;
	struct sonde_intern_status containers, functions;
	struct sonde_addresses_status addresses;

	sonde_processes_status(enrich->context.processes, &processes);
	sonde_cgroups_status(enrich->context.cgroups, &cgroups);
	sonde_addresses_status(enrich->context.addresses, &addresses);
	sonde_intern_status(enrich->containers, &containers);
	sonde_intern_status(enrich->functions, &functions);
	*ret_status = (struct sonde_enrich_status){
		.processes = processes.processes,
		.processes_evicted = processes.evicted,
		.cgroups = cgroups.cgroups,
		.cgroups_evicted = cgroups.evicted,
		.cgroups_unknown = cgroups.unknown,
		.cgroup_walks = cgroups.walks,
		.names = addresses.names,
		.names_evicted = addresses.evicted,
		.symbols = sonde_symbols_count(enrich->symbols),
		.strings = containers.strings + functions.strings,
		.string_bytes = containers.bytes + functions.bytes,
		.strings_refused = containers.refused + functions.refused,
	};
}

void **sonde_program_state(struct sonde_hook_context *context)
{
	return &context->state;
}

int sonde_emit(struct sonde_hook_context *context, const struct sonde_header *record, size_t length, const char *source)
{
	return context->emit ? context->emit(context->userdata, record, length, source) : -EPERM;
}

__s64 sonde_setting(struct sonde_hook_context *context, const char *name)
{
	return context->setting ? context->setting(context->userdata, name) : 0;
}

void sonde_known_process_set(struct sonde_hook_context *context, const struct sonde_known_process *process)
{
	/* Without memory the process stays unknown: its events carry its command anyway. */
	(void)sonde_processes_set(context->processes, process);
}

int sonde_known_process_get(struct sonde_hook_context *context, __u32 pid, __u64 start_time_ns,
			    struct sonde_known_process *ret_process)
{
	return sonde_processes_get(context->processes, pid, start_time_ns, ret_process);
}

void sonde_known_process_exit(struct sonde_hook_context *context, __u32 pid, __u64 start_time_ns, __u64 time_ns)
{
	sonde_processes_exit(context->processes, pid, start_time_ns, time_ns);
}

void sonde_known_cgroup_set(struct sonde_hook_context *context, __u64 cgroup_id, const char *path)
{
	sonde_cgroups_set(context->cgroups, cgroup_id, path);
}

void sonde_known_name_set(struct sonde_hook_context *context, const struct sonde_header *asker, const struct sonde_known_name *name)
{
	/* Without memory the address stays without a name. */
	(void)sonde_addresses_set(context->addresses, asker, name);
}
