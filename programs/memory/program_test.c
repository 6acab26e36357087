/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of `memory`: numbers of its types, pages to bytes, the history behind each kill, and records that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/embedded.h>
#include <enrich/enrich.h>
#include <enrich/hook_context.h>
#include <schema/schema.h>

#include "event.h"
#include "processes.h"
#include "watch.h"

struct fixture {
	struct sonde_enrich *enrich;
	struct sonde_hook_context context;
	struct memory_history histories[200];
	size_t n_histories;
	const char *changed; /* this setting has that value, the others their defaults */
	int64_t value;
};

static const struct sonde_embedded *program(void)
{
	const struct sonde_embedded *e = sonde_embedded;

	while (e->name && strcmp(e->name, "memory"))
		e++;
	assert_non_null(e->name);
	return e;
}

static int emit(void *userdata, const struct sonde_header *record, size_t length, const char *source)
{
	struct fixture *f = userdata;

	if (record->type != MEMORY_TYPE_HISTORY)
		return 0; /* this machine's own state */
	assert_int_equal(length, sizeof(struct memory_history));
	assert_true(f->n_histories < 200);
	memcpy(&f->histories[f->n_histories++], record, length);
	return 0;
}

static struct sonde_schema *schema_open(void)
{
	const struct sonde_embedded *e = program();
	struct sonde_schema *schema = NULL;
	const char *error = "";

	assert_int_equal(sonde_schema_new("memory", e->object, (size_t)(e->object_end - e->object), NULL, &error, &schema), 0);
	return schema;
}

static int64_t setting(void *userdata, const char *name)
{
	struct sonde_schema *schema = schema_open();
	const struct sonde_setting *found = sonde_schema_setting(schema, name);
	const struct fixture *f = userdata;
	int64_t value;

	assert_non_null(found);
	value = f->changed && !strcmp(f->changed, name) ? f->value : found->value;
	sonde_schema_free(&schema);
	return value;
}

static int setup(void **state)
{
	static struct fixture fixture;
	const struct sonde_enrich_opts opts = {.kallsyms_fd = -1};
	int r;

	fixture = (struct fixture){0};
	r = sonde_enrich_new(&opts, &fixture.enrich);
	if (r < 0)
		return r;
	fixture.context = *sonde_enrich_hook_context(fixture.enrich);
	fixture.context.emit = emit;
	fixture.context.setting = setting;
	fixture.context.userdata = &fixture;
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	program()->hooks->stop(&f->context);
	assert_null(f->context.state);
	sonde_enrich_free(&f->enrich);
	return 0;
}

static struct memory_kill kill_of(enum memory_scope scope, uint32_t victim)
{
	struct memory_kill kill = {.memory = {.header = {.type = SONDE_INNER_TYPE, .pid = 4, .cgroup_id = 40, .time_ns = 5000000000, .command = "asks"},
			   .kind = MEMORY_KIND_OOM_KILL, .scope = scope, .victim_pid = victim, .victim_command = "hog",
			   .limit_bytes = 1000, .used_bytes = 999, .anon_bytes = 500, .file_bytes = 100, .shmem_bytes = 0,
			   .swap_bytes = 50, .page_table_bytes = 0, .oom_score = -2000, .oom_score_adj = 100,
			   .limit_cgroup_id = 1ull << 40, .victim_cgroup_id = 41, .cgroup = "/one"}};

	return kill;
}

static int run(struct fixture *f, struct memory_kill *kill, size_t length)
{
	return program()->hooks->record(&f->context, &kill->memory.header, &length);
}

static void test_types_have_the_numbers_of_the_header(void **state)
{
	struct sonde_schema *schema = schema_open();

	assert_int_equal(schema->n_types, 2);
	assert_string_equal(sonde_schema_type(schema, MEMORY_TYPE_MEMORY)->name, "memory");
	assert_int_equal(sonde_schema_type(schema, MEMORY_TYPE_MEMORY)->size, sizeof(struct memory));
	assert_string_equal(sonde_schema_type(schema, MEMORY_TYPE_HISTORY)->name, "memory_history");
	assert_int_equal(sonde_schema_type(schema, MEMORY_TYPE_HISTORY)->size, sizeof(struct memory_history));
	sonde_schema_free(&schema);
}

static void test_a_kill_in_bytes_and_its_history(void **state)
{
	struct memory_kill kill = kill_of(MEMORY_SCOPE_CGROUP, 7);
	struct memory *e = &kill.memory;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct fixture *f = *state;
	char curve[32];

	assert_int_equal(run(f, &kill, sizeof(kill)), 1);
	assert_int_equal(e->limit_bytes, 1000 * page);
	assert_int_equal(e->used_bytes, 999 * page);
	assert_int_equal(e->anon_bytes, 500 * page);
	assert_int_equal(e->swap_bytes, 50 * page);
	assert_int_equal(e->oom_score, 650 + 100);
	assert_int_equal(e->header.cgroup_id, 41); /* the victim's */
	assert_int_equal(e->header.pid, 4);
	assert_int_equal(f->n_histories, 0);
	program()->hooks->tick(&f->context, 6000000000);
	assert_int_equal(f->n_histories, 1);
	assert_int_equal(f->histories[0].victim_pid, 7);
	assert_string_equal(f->histories[0].victim_command, "hog");
	assert_string_equal(f->histories[0].cgroup, "/one");
	assert_int_equal(f->histories[0].limit_bytes, 1000 * page);
	assert_int_equal(f->histories[0].header.time_ns, 5000000000);
	assert_int_equal(f->histories[0].header.type, MEMORY_TYPE_HISTORY);
	assert_string_equal(f->histories[0].curve, ""); /* nobody watched that cgroup */
	assert_true(f->histories[0].least_bytes == UINT64_MAX);
	program()->hooks->tick(&f->context, 7000000000);
	assert_int_equal(f->n_histories, 1);

	/* The node is always watched. */
	kill = kill_of(MEMORY_SCOPE_NODE, 8);
	e->header.time_ns = 7500000000;
	assert_int_equal(run(f, &kill, sizeof(kill)), 1);
	assert_true(e->limit_bytes > 1 << 20);
	assert_in_range(e->used_bytes, 1, e->limit_bytes);
	program()->hooks->tick(&f->context, 8000000000);
	assert_int_equal(f->n_histories, 2);
	assert_int_equal(f->histories[1].span_ns, 1500000000); /* from 6 s to 7.5 s */
	snprintf(curve, sizeof(curve), "-2:");
	assert_memory_equal(f->histories[1].curve, curve, 3);
	assert_int_equal(f->histories[1].most_bytes >= f->histories[1].least_bytes, 1);
}

static void test_history_has_the_mappings(void **state)
{
	struct memory_kill kill = kill_of(MEMORY_SCOPE_CGROUP, 7);
	struct fixture *f = *state;

	kill.mappings.count = 300;
	kill.mappings.biggest[1] = (struct memory_mapping){.bytes = 2 << 20, .rights = VM_READ, .kind = MEMORY_MAPPING_KIND_HEAP};
	kill.mappings.biggest[4] = (struct memory_mapping){.bytes = 3 << 20, .rights = VM_READ, .kind = MEMORY_MAPPING_KIND_STACK};
	f->changed = "mappings";
	f->value = 1;
	assert_int_equal(run(f, &kill, sizeof(kill)), 1);
	program()->hooks->tick(&f->context, 6000000000);
	assert_int_equal(f->n_histories, 1);
	assert_int_equal(f->histories[0].mapping_count, 300);
	assert_string_equal(f->histories[0].mappings, "3.0:r--p:[stack]");
}

static void test_history_is_as_long_as_it_should_be(void **state)
{
	struct memory_kill kill = kill_of(MEMORY_SCOPE_NODE, 7);
	const uint64_t second = 1000000000;
	struct fixture *f = *state;

	f->changed = "history_ns";
	f->value = 30 * (int64_t)second;
	for (uint64_t now = 1000 * second; now < 1100 * second; now += second)
		program()->hooks->tick(&f->context, now);
	kill.memory.header.time_ns = 1100 * second;
	assert_int_equal(run(f, &kill, sizeof(kill)), 1);
	program()->hooks->tick(&f->context, 1101 * second);
	assert_int_equal(f->n_histories, 1);
	assert_int_equal(f->histories[0].span_ns, 30 * second);
}

/* A kill whose record comes only after the next look: that look is not what led to it, the kill's own count is. */
static void test_history_ends_with_the_kill(void **state)
{
	struct memory_kill kill = kill_of(MEMORY_SCOPE_NODE, 7);
	struct fixture *f = *state;
	char last[32];

	program()->hooks->tick(&f->context, 6000000000);
	program()->hooks->tick(&f->context, 7000000000);
	kill.memory.header.time_ns = 6500000000;
	assert_int_equal(run(f, &kill, sizeof(kill)), 1);
	program()->hooks->tick(&f->context, 8000000000);
	assert_int_equal(f->n_histories, 1);
	assert_int_equal(f->histories[0].span_ns, 500000000);
	snprintf(last, sizeof(last), " -0:%.1f", (double)kill.memory.used_bytes / 1048576);
	assert_string_equal(strchr(f->histories[0].curve, ' '), last);
}

static void test_more_kills_than_there_is_room_for(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 100; i++) {
		struct memory_kill kill = kill_of(MEMORY_SCOPE_CGROUP, i + 1);

		assert_int_equal(run(f, &kill, sizeof(kill)), 1);
	}
	program()->hooks->tick(&f->context, 6000000000);
	assert_int_equal(f->n_histories, 64);
	assert_int_equal(f->histories[63].victim_pid, 64);
}

static void test_records_that_break_the_rules_are_invalid(void **state)
{
	struct memory_kill kill = kill_of(MEMORY_SCOPE_CGROUP, 7);
	struct memory *e = &kill.memory;
	struct fixture *f = *state;

	assert_int_equal(run(f, &kill, sizeof(kill) - 1), -EINVAL);
	e->kind = MEMORY_KIND_FORECAST;
	assert_int_equal(run(f, &kill, sizeof(kill)), -EINVAL);
	kill = kill_of((enum memory_scope)9, 7);
	assert_int_equal(run(f, &kill, sizeof(kill)), -EINVAL);
	kill = kill_of(MEMORY_SCOPE_CGROUP, 7);
	e->header.type = MEMORY_TYPE_HISTORY;
	assert_int_equal(run(f, &kill, sizeof(kill)), -EINVAL);
	kill = kill_of(MEMORY_SCOPE_CGROUP, 7);
	memset(e->cgroup, 'x', sizeof(e->cgroup));
	memset(e->victim_command, 'x', sizeof(e->victim_command));
	e->limit_bytes = 0;
	assert_int_equal(run(f, &kill, sizeof(kill)), 1);
	assert_int_equal(strlen(e->cgroup), sizeof(e->cgroup) - 1);
	assert_int_equal(strlen(e->victim_command), sizeof(e->victim_command) - 1);
	assert_int_equal(e->oom_score, -2000);
}

static void test_forecasts_are_said_sparsely(void **state)
{
	const struct sonde_memory_settings settings = {.sample_interval_ns = 1000000000, .repeat_interval_ns = 10000000000};
	struct sonde_memory_watched w = {.settings = &settings, .forecast = {.time_to_limit_ns = 100000000000}};
	const uint64_t second = 1000000000, first = 1000 * second;

	assert_true(sonde_memory_watched_should_say(&w, first));
	sonde_memory_watched_said(&w, first);
	assert_int_equal(w.first_said_ns, first);
	w.forecast.time_to_limit_ns = 60 * second;
	assert_false(sonde_memory_watched_should_say(&w, first + 40 * second));
	w.forecast.time_to_limit_ns = 50 * second;
	assert_true(sonde_memory_watched_should_say(&w, first + 40 * second));
	assert_false(sonde_memory_watched_should_say(&w, first + 9 * second)); /* never more than one in 10 s */
	sonde_memory_watched_said(&w, first + 40 * second);
	assert_int_equal(w.first_said_ns, first);
	assert_false(sonde_memory_watched_should_say(&w, first + 99 * second));
	assert_true(sonde_memory_watched_should_say(&w, first + 100 * second)); /* a minute of calm */
	sonde_memory_watched_restart(&w);
	assert_true(sonde_memory_watched_should_say(&w, first + 41 * second));
}

/* `seconds` of a leak of 1 MiB a second from 300 MiB on towards 1 GiB, looked at whenever it is due; how often one was to be said. */
static unsigned forecasts_of_a_leak(const struct sonde_memory_settings *settings, unsigned seconds)
{
	struct sonde_memory_watched w = {.settings = settings, .id = 1, .limit_bytes = 1ull << 30};
	unsigned said = 0;

	for (uint64_t s = 0; s < seconds; s++) {
		if (s * 1000000000 < w.next_ns)
			continue;
		sonde_memory_watched_sample(&w, s * 1000000000 + 1, (300 + s) << 20);
		said += w.due;
		if (w.due)
			sonde_memory_watched_said(&w, s * 1000000000 + 1);
	}
	return said;
}

static void test_settings_of_forecasts(void **state)
{
	struct sonde_memory_settings s = {
		.sample_interval_ns = 1000000000, .horizon_ns = 600000000000, .repeat_interval_ns = 10000000000};

	assert_true(forecasts_of_a_leak(&s, 600) > 1);
	s.horizon_ns = 100000000000; /* 724 s after the start it is over */
	assert_int_equal(forecasts_of_a_leak(&s, 610), 0);
	assert_true(forecasts_of_a_leak(&s, 700) > 0);
	s.horizon_ns = 600000000000;
	s.least_confidence_pct = 100;
	assert_int_equal(forecasts_of_a_leak(&s, 600), 0);
	s.least_confidence_pct = 0;
	s.repeat_interval_ns = 3600000000000;
	assert_int_equal(forecasts_of_a_leak(&s, 720), 1);
	s.repeat_interval_ns = 10000000000;
	s.sample_interval_ns = 30000000000;
	assert_true(forecasts_of_a_leak(&s, 700) > 0);
}

/* While there is something to say, no look is left out: the second one in a row tells who grows. */
static void test_what_hardly_moves_is_sampled_less_but_told(void **state)
{
	const struct sonde_memory_settings settings = {
		.sample_interval_ns = 1000000000, .horizon_ns = 600000000000, .repeat_interval_ns = 10000000000};
	struct sonde_memory_watched w = {.settings = &settings, .id = 1, .limit_bytes = 1ull << 30};
	const uint64_t second = 1000000000;
	unsigned samples = 0, due = 0, due_twice = 0;
	bool was_due = false;
	uint64_t now = 0;

	for (; now < 100 * second; now += second) {
		if (now < w.next_ns)
			continue;
		sonde_memory_watched_sample(&w, now + 1, 300 << 20);
		samples++;
	}
	assert_in_range(samples, 25, 30);
	for (uint64_t begin = now; now < begin + 350 * second; now += second) {
		if (now < w.next_ns) {
			assert_false(was_due);
			continue;
		}
		sonde_memory_watched_sample(&w, now + 1, (300ull << 20) + ((now - begin) / second << 20));
		due += w.due;
		due_twice += was_due && w.due;
		was_due = w.due;
	}
	assert_true(due > 2);
	assert_true(due_twice > due / 2);
}

/* One that grows is told by itself only after a while, and only while nothing is said of its limit. */
static void test_growth_of_one_process_is_told_last(void **state)
{
	const struct sonde_memory_settings settings = {.sample_interval_ns = 1000000000, .repeat_interval_ns = 10000000000};
	const uint64_t second = 1000000000;
	struct sonde_memory_grower grower = {.pid = 1, .since_ns = 100 * second, .watched = {.settings = &settings, .due = true}};
	struct sonde_memory_watched limit = {.settings = &settings};

	assert_false(sonde_memory_grower_should_say(&grower, &limit, 109 * second));
	assert_true(sonde_memory_grower_should_say(&grower, &limit, 110 * second));
	limit.due = true;
	assert_false(sonde_memory_grower_should_say(&grower, &limit, 110 * second));
	limit.due = false;
	limit.said_ns = 105 * second;
	assert_false(sonde_memory_grower_should_say(&grower, &limit, 164 * second));
	assert_true(sonde_memory_grower_should_say(&grower, &limit, 165 * second));
	grower.watched.due = false;
	assert_false(sonde_memory_grower_should_say(&grower, &limit, 165 * second));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_types_have_the_numbers_of_the_header), TEST(test_a_kill_in_bytes_and_its_history),
		TEST(test_history_has_the_mappings), TEST(test_history_is_as_long_as_it_should_be),
		TEST(test_history_ends_with_the_kill), TEST(test_more_kills_than_there_is_room_for),
		TEST(test_records_that_break_the_rules_are_invalid),
		TEST(test_forecasts_are_said_sparsely), TEST(test_settings_of_forecasts),
		TEST(test_growth_of_one_process_is_told_last),
		TEST(test_what_hardly_moves_is_sampled_less_but_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
