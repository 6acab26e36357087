/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hooks on packets of every shape, by BPF_PROG_TEST_RUN: each goes on as it came, and the whole ones are counted right.
 * Needs root.
 */
#include <base/cleanup.h>
#include <bpf/bpf.h>
#include <bpf/embedded.h>
#include <bpf/libbpf.h>
#include <bpf/libbpf_log.h>
#include <bpf/btf.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "event.h"

#define PASS 1
#define NEXT -1
#define ETHERNET 14
#define FRAME_MAX 3000 /* what BPF_PROG_TEST_RUN takes fits into a page */
#define MUTATIONS 20000

struct frame {
	size_t length;
	uint8_t bytes[FRAME_MAX];
};

static struct bpf_object *object;
static bool on_interface; /* the hooks there, instead of those at sockets */

/* ---- the program ---- */

static void set(const char *name, uint16_t value)
{
	const struct btf *btf = bpf_object__btf(object);
	const struct btf_type *section;
	const struct btf_var_secinfo *info;
	struct bpf_map *map;
	size_t size;

	bpf_object__for_each_map(map, object)
		if (strstr(bpf_map__name(map), ".rodata"))
			break;
	section = btf__type_by_id(btf, (uint32_t)btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC));
	info = btf_var_secinfos(section);
	for (int i = 0; i < btf_vlen(section); i++)
		if (!strcmp(btf__name_by_offset(btf, btf__type_by_id(btf, info[i].type)->name_off), name)) {
			memcpy((char *)bpf_map__initial_value(map, &size) + info[i].offset, &value, sizeof(value));
			return;
		}
	fail_msg("no setting %s", name);
}

static const char *const socket_hooks[] = {"on_ingress", "on_egress"};
static const char *const interface_hooks[] = {"on_interface_ingress", "on_interface_egress"};

static int open_program(void **state)
{
	const struct sonde_embedded *program = sonde_embedded;

	if (geteuid())
		return 0;
	sonde_libbpf_log_init();
	while (program->name && strcmp(program->name, "flow"))
		program++;
	assert_non_null(program->name);
	object = bpf_object__open_mem(program->object, (size_t)(program->object_end - program->object), NULL);
	assert_non_null(object);
	for (size_t i = 0; i < ARRAY_SIZE(interface_hooks); i++) /* not every libbpf knows their sections */
		bpf_program__set_type(bpf_object__find_program_by_name(object, interface_hooks[i]), BPF_PROG_TYPE_SCHED_CLS);
	return 0;
}

static void load(void)
{
	if (!object)
		skip();
	if (bpf_object__load(object))
		fail_msg("%s", sonde_libbpf_message());
}

static int close_program(void **state)
{
	bpf_object__close(object);
	object = NULL;
	return 0;
}

/* ---- running it ---- */

/* BPF_PROG_TEST_RUN may refuse a frame that says it is IP and has no whole IP header: the stack hands on no such thing. */
static bool may_be_refused(const struct frame *frame)
{
	size_t header = frame->length - ETHERNET;

	return (frame->bytes[12] == 0x08 && header < 20) || (frame->bytes[12] == 0x86 && header < 40);
}

/* Returns how many packets the hook saw. */
static unsigned run_hook(enum flow_direction direction, const struct frame *frame, struct __sk_buff *context)
{
	const char *hook = (on_interface ? interface_hooks : socket_hooks)[direction];
	size_t same = on_interface ? 0 : ETHERNET; /* else the kernel blanks the link header itself: these hooks stand above it */
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->bytes, .data_size_in = (uint32_t)frame->length,
		    .ctx_in = context, .ctx_size_in = context ? sizeof(*context) : 0);
	uint8_t out[FRAME_MAX];

	opts.data_out = out;
	opts.data_size_out = sizeof(out);
	if (bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(object, hook)), &opts)) {
		if (errno == EINVAL && may_be_refused(frame))
			return 0;
		fail_msg("not run: %s (%zu bytes)", strerror(errno), frame->length);
	}
	assert_int_equal((int)opts.retval, on_interface ? NEXT : PASS);
	assert_int_equal(opts.data_size_out, frame->length);
	assert_memory_equal(out + same, frame->bytes + same, frame->length - same);
	return 1;
}

static unsigned run_both(const struct frame *frame, struct __sk_buff *context)
{
	return run_hook(FLOW_DIRECTION_INGRESS, frame, context) + run_hook(FLOW_DIRECTION_EGRESS, frame, context);
}

static uint64_t counter(const char *name, uint32_t index)
{
	uint64_t values[1024], sum = 0;

	assert_in_range(libbpf_num_possible_cpus(), 1, 1024);
	assert_int_equal(bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, name), &index, values), 0);
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += values[i];
	return sum;
}

/* The only flow there is of this direction; takes it out. */
static void take(enum flow_direction direction, struct flow_key *ret_key, uint64_t *ret_packets, uint64_t *ret_bytes)
{
	int fd = bpf_object__find_map_fd_by_name(object, "flows"), found = 0;
	struct flow_key key, *last = NULL;
	uint64_t value[64];

	assert_true(bpf_map__value_size(bpf_object__find_map_by_name(object, "flows")) <= sizeof(value));
	while (!bpf_map_get_next_key(fd, last, &key)) {
		last = &key;
		if (key.direction != direction)
			continue;
		found++;
		assert_int_equal(bpf_map_lookup_elem(fd, &key, value), 0);
		*ret_key = key;
		*ret_packets = value[0];
		*ret_bytes = value[1];
	}
	assert_int_equal(found, 1);
	assert_int_equal(bpf_map_delete_elem(fd, ret_key), 0);
}

/* ---- packets ---- */

static void put(struct frame *frame, const void *bytes, size_t length)
{
	assert_true(frame->length + length <= sizeof(frame->bytes));
	memcpy(frame->bytes + frame->length, bytes, length);
	frame->length += length;
}

static void put_ethernet(struct frame *frame, uint16_t protocol)
{
	uint8_t header[ETHERNET] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, (uint8_t)(protocol >> 8), (uint8_t)protocol};

	frame->length = 0;
	put(frame, header, sizeof(header));
}

static void put_vlan(struct frame *frame, uint16_t protocol)
{
	put(frame, (uint8_t[]){0, 5, (uint8_t)(protocol >> 8), (uint8_t)protocol}, 4);
}

static void put_ipv4(struct frame *frame, uint8_t protocol, uint16_t fragment, uint8_t options)
{
	uint8_t header[60] = {(uint8_t)(0x45 + options), 0, 0, 0, 0, 1, (uint8_t)(fragment >> 8), (uint8_t)fragment,
			      64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};

	memset(header + 20, 1, options * 4);
	put(frame, header, 20 + options * 4u);
}

static void put_ipv6(struct frame *frame, uint8_t protocol)
{
	uint8_t header[40] = {0x60, 0, 0, 0, 0, 0, protocol, 64, 0xfd, [23] = 1, [24] = 0xfd, [39] = 2};

	put(frame, header, sizeof(header));
}

static void put_extension(struct frame *frame, uint8_t next, uint8_t length, uint16_t fragment)
{
	uint8_t header[8] = {next, length, (uint8_t)(fragment >> 8), (uint8_t)fragment, 0, 0, 0, 0};

	put(frame, header, sizeof(header));
}

static void put_udp(struct frame *frame, uint16_t source, uint16_t destination)
{
	put(frame, (uint8_t[]){(uint8_t)(source >> 8), (uint8_t)source, (uint8_t)(destination >> 8), (uint8_t)destination,
			       0, 8, 0, 0}, 8);
}

static void put_tcp(struct frame *frame, uint16_t source, uint16_t destination)
{
	uint8_t header[32] = {(uint8_t)(source >> 8), (uint8_t)source, (uint8_t)(destination >> 8), (uint8_t)destination,
			      [12] = 0x80, [13] = 0x12, [20] = 1, 1, 1};

	put(frame, header, sizeof(header));
}

static void put_payload(struct frame *frame, size_t length)
{
	for (size_t i = 0; i < length; i++)
		put(frame, &(uint8_t){(uint8_t)i}, 1);
}

enum shape {
	IPV4_UDP,
	IPV4_OPTIONS_TCP,
	IPV4_FIRST_FRAGMENT,
	IPV4_LATER_FRAGMENT,
	IPV4_ICMP,
	IPV4_LARGE,
	IPV6_TCP,
	IPV6_EXTENSIONS_UDP,
	IPV6_FIRST_FRAGMENT,
	IPV6_LATER_FRAGMENT,
	IPV6_ENDLESS,
	VLAN_IPV4_UDP,
	VLAN_IN_VLAN_IPV6_UDP,
	SHAPES,
};

/* `expected`: protocol and whether it has ports; addresses are always the same. */
static void make(enum shape shape, struct frame *frame, uint8_t *ret_protocol, bool *ret_has_ports)
{
	bool v6 = shape >= IPV6_TCP && shape <= IPV6_ENDLESS;

	*ret_protocol = IPPROTO_UDP;
	*ret_has_ports = true;
	put_ethernet(frame, v6 ? 0x86dd : shape < VLAN_IPV4_UDP ? 0x0800 : shape == VLAN_IPV4_UDP ? 0x8100 : 0x88a8);
	switch (shape) {
	case IPV4_UDP:
	case IPV4_LARGE:
		put_ipv4(frame, IPPROTO_UDP, 0, 0);
		break;
	case IPV4_OPTIONS_TCP:
		put_ipv4(frame, *ret_protocol = IPPROTO_TCP, 0, 10);
		break;
	case IPV4_FIRST_FRAGMENT:
		put_ipv4(frame, IPPROTO_UDP, 0x2000, 0);
		break;
	case IPV4_LATER_FRAGMENT:
		put_ipv4(frame, IPPROTO_UDP, 185, 0);
		*ret_has_ports = false;
		break;
	case IPV4_ICMP:
		put_ipv4(frame, *ret_protocol = IPPROTO_ICMP, 0, 0);
		*ret_has_ports = false;
		break;
	case IPV6_TCP:
		put_ipv6(frame, *ret_protocol = IPPROTO_TCP);
		break;
	case IPV6_EXTENSIONS_UDP:
		put_ipv6(frame, IPPROTO_HOPOPTS);
		put_extension(frame, IPPROTO_DSTOPTS, 0, 0x0104);
		put_extension(frame, IPPROTO_ROUTING, 1, 0);
		put_extension(frame, 0, 0, 0);
		put_extension(frame, IPPROTO_AH, 0, 0);
		put_extension(frame, IPPROTO_UDP, 4, 0); /* AH: six words in all */
		put_payload(frame, 16);
		break;
	case IPV6_FIRST_FRAGMENT:
		put_ipv6(frame, IPPROTO_FRAGMENT);
		put_extension(frame, IPPROTO_UDP, 0, 1);
		break;
	case IPV6_LATER_FRAGMENT:
		put_ipv6(frame, IPPROTO_FRAGMENT);
		put_extension(frame, IPPROTO_UDP, 0, 185 << 3);
		*ret_has_ports = false;
		break;
	case IPV6_ENDLESS:
		put_ipv6(frame, *ret_protocol = IPPROTO_DSTOPTS);
		for (int i = 0; i < 40; i++)
			put_extension(frame, IPPROTO_DSTOPTS, 0, 0x0104);
		*ret_has_ports = false;
		break;
	case VLAN_IPV4_UDP:
		put_vlan(frame, 0x0800);
		put_ipv4(frame, IPPROTO_UDP, 0, 0);
		break;
	case VLAN_IN_VLAN_IPV6_UDP:
		put_vlan(frame, 0x8100);
		put_vlan(frame, 0x86dd);
		put_ipv6(frame, IPPROTO_UDP);
		break;
	case SHAPES:
		break;
	}
	if (*ret_protocol == IPPROTO_TCP)
		put_tcp(frame, 1111, 2222);
	else
		put_udp(frame, 1111, 2222);
	put_payload(frame, shape == IPV4_LARGE ? 2500 : 20);
}

/* ---- tests ---- */

static void test_shapes(void **state)
{
	static const uint8_t v4[2][16] = {{[10] = 0xff, 0xff, 10, 0, 0, 1}, {[10] = 0xff, 0xff, 10, 0, 0, 2}},
			     v6[2][16] = {{0xfd, [15] = 1}, {0xfd, [15] = 2}};

	load();
	for (enum shape shape = 0; shape < SHAPES; shape++) {
		uint64_t packets, bytes;
		struct flow_key key;
		struct frame frame;
		uint8_t protocol;
		bool has_ports;

		make(shape, &frame, &protocol, &has_ports);
		run_both(&frame, NULL);
		for (enum flow_direction direction = 0; direction < FLOW_DIRECTIONS; direction++) {
			bool is_v6 = (shape >= IPV6_TCP && shape <= IPV6_ENDLESS) || shape == VLAN_IN_VLAN_IPV6_UDP;
			size_t begin = ETHERNET + (shape == VLAN_IPV4_UDP ? 4 : shape == VLAN_IN_VLAN_IPV6_UDP ? 8 : 0);

			take(direction, &key, &packets, &bytes);
			assert_int_equal(key.protocol, protocol);
			assert_int_equal(key.source_port, has_ports ? 1111 : 0);
			assert_int_equal(key.destination_port, has_ports ? 2222 : 0);
			assert_memory_equal(&key.source_address, is_v6 ? v6[0] : v4[0], 16);
			assert_memory_equal(&key.destination_address, is_v6 ? v6[1] : v4[1], 16);
			assert_int_equal(packets, 1);
			assert_int_equal(bytes, frame.length - begin);
		}
	}
	for (uint32_t reason = 0; reason < FLOW_SKIPS; reason++)
		assert_int_equal(counter("skipped_total", reason), 0);
}

/* Every packet cut at every length goes on, and is either captured or skipped. */
static void test_cut(void **state)
{
	uint64_t seen = 0;

	load();
	for (enum shape shape = 0; shape < SHAPES; shape++) {
		struct frame frame;
		uint8_t protocol;
		bool has_ports;

		make(shape, &frame, &protocol, &has_ports);
		if (frame.length > 500)
			frame.length = 500;
		for (; frame.length > ETHERNET; frame.length--)
			seen += run_both(&frame, NULL);
	}
	assert_true(counter("skipped_total", FLOW_SKIP_BROKEN) > 0);
	assert_int_equal(counter("packets_total", FLOW_DIRECTION_INGRESS) + counter("packets_total", FLOW_DIRECTION_EGRESS) +
			 counter("skipped_total", FLOW_SKIP_BROKEN) + counter("skipped_total", FLOW_SKIP_NOT_IP), seen);
}

/* Packets that lie about themselves: lengths, versions, extension chains, protocols. Each is sampled too. */
static void test_mutations(void **state)
{
	uint64_t sum = 0, seen = 0;

	if (object) {
		set("sample", 1);
		set("sample_payload", 1);
	}
	load();
	srandom(1);
	for (int i = 0; i < MUTATIONS; i++) {
		struct __sk_buff context = {.gso_segs = (uint32_t)random() % 45, .gso_size = (uint32_t)random() % 1500};
		struct frame frame;
		uint8_t protocol;
		bool has_ports;

		make((enum shape)(random() % SHAPES), &frame, &protocol, &has_ports);
		for (long n = random() % 6; n >= 0; n--)
			frame.bytes[ETHERNET + (size_t)random() % (frame.length - ETHERNET) % 120] = (uint8_t)random();
		if (random() % 2)
			frame.length = ETHERNET + 1 + (size_t)random() % (frame.length - ETHERNET);
		seen += run_hook((enum flow_direction)(random() % 2), &frame, random() % 4 ? NULL : &context);
	}
	for (uint32_t reason = 0; reason < FLOW_SKIPS; reason++)
		sum += counter("skipped_total", reason);
	assert_in_range(sum, 1, seen - 1);
	assert_true(counter("packets_total", 0) + counter("packets_total", 1) >= seen - sum);
}

static void test_segments(void **state)
{
	struct __sk_buff context = {.gso_segs = 10, .gso_size = 200};
	uint64_t packets, bytes;
	struct flow_key key;
	struct frame frame;

	load();
	put_ethernet(&frame, 0x0800);
	put_ipv4(&frame, IPPROTO_TCP, 0, 0);
	put_tcp(&frame, 1111, 2222);
	put_payload(&frame, 1999);
	run_hook(FLOW_DIRECTION_EGRESS, &frame, &context);
	take(FLOW_DIRECTION_EGRESS, &key, &packets, &bytes);
	assert_int_equal(packets, 10);
	assert_int_equal(bytes, 1999 + 10 * (20 + 32));

	context.gso_segs = 0; /* as a virtual machine hands it over */
	run_hook(FLOW_DIRECTION_INGRESS, &frame, &context);
	take(FLOW_DIRECTION_INGRESS, &key, &packets, &bytes);
	assert_int_equal(packets, 10);
	assert_int_equal(bytes, 1999 + 10 * (20 + 32));
}

/* Linux notes the length of more than 64 KiB in an option, which is gone when it leaves. */
static void test_big_segments(void **state)
{
	struct __sk_buff context = {.gso_segs = 10, .gso_size = 200};
	uint64_t packets, bytes;
	struct flow_key key;
	struct frame frame;

	load();
	put_ethernet(&frame, 0x86dd);
	put_ipv6(&frame, IPPROTO_HOPOPTS);
	put(&frame, (uint8_t[]){IPPROTO_TCP, 0, 0xc2, 4, 0, 1, 0, 0}, 8);
	put_tcp(&frame, 1111, 2222);
	put_payload(&frame, 1999);
	run_hook(FLOW_DIRECTION_EGRESS, &frame, &context);
	take(FLOW_DIRECTION_EGRESS, &key, &packets, &bytes);
	assert_int_equal(key.destination_port, 2222);
	assert_int_equal(packets, 10);
	assert_int_equal(bytes, 1999 + 10 * (40 + 32));
}

static bool is_captured(uint16_t source, uint16_t destination)
{
	uint64_t before = counter("packets_total", FLOW_DIRECTION_INGRESS), skipped = counter("skipped_total", FLOW_SKIP_RULE);
	struct frame frame;
	bool captured;

	put_ethernet(&frame, 0x0800);
	put_ipv4(&frame, IPPROTO_TCP, 0, 0);
	put_tcp(&frame, source, destination);
	run_hook(FLOW_DIRECTION_INGRESS, &frame, NULL);
	captured = counter("packets_total", FLOW_DIRECTION_INGRESS) - before;
	assert_int_equal(captured + counter("skipped_total", FLOW_SKIP_RULE) - skipped, 1);
	return captured;
}

static void test_only_ports(void **state)
{
	if (object) {
		set("only_port_1", 80);
		set("only_port_4", 443);
	}
	load();
	assert_true(is_captured(40000, 80));
	assert_true(is_captured(40000, 443));
	assert_true(is_captured(443, 40000));
	assert_false(is_captured(40000, 22));
	assert_false(is_captured(22, 40000));
}

static void test_skip_ports(void **state)
{
	if (object) {
		set("skip_port_1", 22);
		set("only_port_1", 80);
	}
	load();
	assert_true(is_captured(40000, 80));
	assert_false(is_captured(40000, 22));
	assert_false(is_captured(22, 80));
	assert_false(is_captured(40000, 443));
}

static void test_not_ip(void **state)
{
	struct frame frame;

	load();
	put_ethernet(&frame, 0x0806);
	put_payload(&frame, 28);
	run_both(&frame, NULL);
	assert_int_equal(counter("skipped_total", FLOW_SKIP_NOT_IP), 2);
	assert_int_equal(counter("packets_total", 0) + counter("packets_total", 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_program, close_program)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shapes), TEST(test_cut), TEST(test_mutations), TEST(test_segments), TEST(test_big_segments),
		TEST(test_only_ports), TEST(test_skip_ports), TEST(test_not_ip),
	};

	int failed = cmocka_run_group_tests_name("at sockets", tests, NULL, NULL);

	on_interface = true;
	return failed + cmocka_run_group_tests_name("on interfaces", tests, NULL, NULL);
}
