/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a record that the compiler laid out, by the schema of the same struct. */
#include <schema/schema.h>
#include <schema/testdata.h>
#include <schema/testdata/valid.h>

#include <base/clock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define WALL_NS 1700000000000000123ll

static struct sonde_schema *schema;
static struct everything record;
static struct sonde_event event;

static const char *symbol(void *userdata, uint64_t address)
{
	return address == 0xffffffff81000000 ? userdata : NULL;
}

/* 10.0.0.1 of pid 42 */
static const char *address_name(void *userdata, const struct sonde_header *header, const uint8_t *address)
{
	return header->pid == 42 && !memcmp(address + 10, "\xff\xff\x0a\0\0\x01", 6) ? "db.example" : NULL;
}

static struct sonde_names names = {.userdata = "tcp_v4_rcv", .symbol = symbol, .address = address_name};

static int setup(void **state)
{
	struct testdata object = testdata_object("valid");
	const char *error = "";

	if (sonde_schema_new("test", object.data, object.size, &names, &error, &schema))
		fail_msg("%s", error);
	free(object.data);
	return 0;
}

static int teardown(void **state)
{
	sonde_schema_free(&schema);
	return 0;
}

static int reset(void **state)
{
	memset(&record, 0, sizeof(record));
	record.header.time_ns = 1000;
	record.header.pid = 42;
	record.header.tid = 43;
	record.header.uid = 1001;
	record.header.weight = 7;
	memcpy(record.header.command, "sixteen-bytes-ok", 16); /* no NUL */
	event = (struct sonde_event){.type = &schema->types[0], .record = &record.header, .length = sizeof(record),
				     .time_ns = WALL_NS, .source = "ebpf"};
	return 0;
}

static struct sonde_value value(const char *name)
{
	struct sonde_value result = {.type = SONDE_ADDRESS, .length = 77};
	int i = sonde_type_find_column(event.type, name);

	if (i < 0)
		fail_msg("no column '%s'", name);
	sonde_event_value(&event, (uint32_t)i, &names, &result);
	return result;
}

static void assert_null_value(const char *name)
{
	if (value(name).type != SONDE_NULL)
		fail_msg("%s is not null but of type %d", name, value(name).type);
}

static void assert_text_n(const char *name, const char *expected, size_t length)
{
	struct sonde_value v = value(name);

	if (v.type != SONDE_TEXT || v.length != length || memcmp(v.text, expected, length))
		fail_msg("%s: type %d, '%.*s'", name, v.type, v.type == SONDE_TEXT ? (int)v.length : 0, v.text);
}

static void assert_text(const char *name, const char *expected)
{
	assert_text_n(name, expected, strlen(expected));
}

static void assert_uint(const char *name, uint64_t expected)
{
	struct sonde_value v = value(name);

	if (v.type != SONDE_UINT || v.u != expected)
		fail_msg("%s: type %d, %llu", name, v.type, (unsigned long long)v.u);
}

static void assert_int(const char *name, int64_t expected)
{
	struct sonde_value v = value(name);

	if (v.type != SONDE_INT || v.i != expected)
		fail_msg("%s: type %d, %lld", name, v.type, (long long)v.i);
}

static void test_common(void **state)
{
	assert_int("time", WALL_NS);
	assert_text("type", "everything");
	assert_uint("pid", 42);
	assert_uint("tid", 43);
	assert_uint("uid", 1001);
	assert_text("command", "sixteen-bytes-ok");
	assert_null_value("container");
	assert_text("source", "ebpf");
	assert_uint("weight", 7);
	event.container = "web-1";
	event.source = NULL;
	assert_text("container", "web-1");
	assert_null_value("source");
	memcpy(record.header.command, "sh", 3);
	assert_text("command", "sh");
}

static void test_process_unknown(void **state)
{
	record.header.flags = SONDE_PROCESS_UNKNOWN;
	assert_null_value("pid");
	assert_null_value("tid");
	assert_null_value("uid");
	assert_null_value("command");
	assert_uint("weight", 7);
	/* The idle task is a known process. */
	record.header.flags = 0;
	record.header.pid = 0;
	assert_uint("pid", 0);
}

static void test_numbers(void **state)
{
	record.took_ns = UINT64_MAX;
	record.length_bytes = 1;
	record.cookie = 0;
	record.signed_long = INT64_MIN;
	record.owner_uid = UINT32_MAX;
	record.exit_code = -2;
	record.small_signed = INT16_MIN;
	record.tiny_signed = -128;
	record.flow.local_port = 65535;
	record.last = 5;
	assert_uint("took_ns", UINT64_MAX);
	assert_uint("length_bytes", 1);
	assert_uint("cookie", 0);
	assert_int("signed_long", INT64_MIN);
	assert_uint("owner_uid", UINT32_MAX);
	assert_int("exit_code", -2);
	assert_int("small_signed", INT16_MIN);
	assert_int("tiny_signed", -128);
	assert_uint("local_port", 65535);
	assert_uint("last", 5);
}

static void test_absent(void **state)
{
	record.length_bytes = UINT64_MAX;
	record.things = UINT64_MAX;
	record.exit_code = -1;
	record.small_signed = -2;
	record.nested.inner_number = 0;
	assert_null_value("begin");
	assert_null_value("took_ns");
	assert_null_value("length_bytes");
	assert_null_value("things");
	assert_null_value("location");
	assert_null_value("parent_pid");
	assert_null_value("colour");
	assert_null_value("exit_code");
	assert_null_value("small_signed");
	assert_null_value("local_port");
	assert_null_value("protocol");
	assert_null_value("label");
	assert_null_value("local_address");
	assert_uint("inner_number", 0); /* 0 is only absent where a tag says so */
	assert_int("signed_long", 0);
	assert_text("name", "");
}

static void test_time(void **state)
{
	/* The same clock as the header's, so the distance to the event's own time is kept to the nanosecond. */
	record.begin = record.header.time_ns - 400;
	assert_int("begin", WALL_NS - 400);
	record.begin = record.header.time_ns;
	assert_int("begin", WALL_NS);
}

static void test_bool(void **state)
{
	struct sonde_value v = value("yes");

	assert_true(v.type == SONDE_BOOL && !v.b);
	record.yes = 2;
	v = value("yes");
	assert_true(v.type == SONDE_BOOL && v.b);
	record.plain_bool = true;
	v = value("plain_bool");
	assert_true(v.type == SONDE_BOOL && v.b);
}

static void test_errno(void **state)
{
	assert_null_value("error");
	assert_uint("errno", 0);
	record.error = 111;
	assert_text("error", "ECONNREFUSED");
	assert_uint("errno", 111);
	record.error = -110;
	assert_text("error", "ETIMEDOUT");
	assert_uint("errno", 110);
	record.error = -512;
	assert_text("error", "ERESTARTSYS");
	record.error = 4000;
	assert_text("error", "4000");
	record.error = INT32_MIN;
	assert_text("error", "2147483648");
	assert_uint("errno", 2147483648u);
}

static void test_signal(void **state)
{
	assert_null_value("signal");
	assert_null_value("signal_name");
	record.signal = 9;
	assert_uint("signal", 9);
	assert_text("signal_name", "SIGKILL");
	record.signal = 34;
	assert_text("signal_name", "SIGRTMIN");
	record.signal = 64;
	assert_text("signal_name", "SIGRTMIN+30");
	record.signal = 32;
	assert_text("signal_name", "32");
	record.signal = 65;
	assert_text("signal_name", "65");
	record.signal = -1;
	assert_null_value("signal");
	assert_null_value("signal_name");
}

static void test_enums(void **state)
{
	assert_text("kind", "none");
	record.kind = EVERYTHING_KIND_FIRST_ONE;
	assert_text("kind", "first_one");
	record.kind = EVERYTHING_KIND_LAST;
	assert_text("kind", "last");
	record.kind = (enum everything_kind)71;
	assert_text("kind", "71");
	record.kind = (enum everything_kind)UINT32_MAX;
	assert_text("kind", "4294967295");
	record.colour = GREEN;
	assert_text("colour", "reen"); /* SONDE_PREFIX("G") */
}

static void test_flags(void **state)
{
	assert_text("mode", "READ");
	assert_text("options", "OPTION_NONE");
	assert_uint("options_number", 0);
	record.mode = MODE_BOTH | MODE_MAKE | MODE_DATA;
	assert_text("mode", "BOTH|MAKE|DATA");
	assert_uint("mode_number", 0x1042);
	record.mode = MODE_MAKE | MODE_ALL; /* which holds MODE_DATA */
	assert_text("mode", "READ|MAKE|ALL");
	record.mode = (enum everything_mode)(3 | 0x80000010);
	assert_text("mode", "0x80000013");
	record.mode = (enum everything_mode)(MODE_WRITE | 0x100000); /* a part of MODE_ALL is not it */
	assert_text("mode", "WRITE|0x100000");
	record.mode = (enum everything_mode)-1;
	assert_null_value("mode");
	assert_null_value("mode_number");
	record.options = OPTION_FAST | OPTION_LOUD;
	assert_text("options", "OPTION_FAST|OPTION_LOUD");
}

static void test_kernel_enum(void **state)
{
	const struct sonde_enum *reasons = sonde_enum_of_kernel("skb_drop_reason");

	if (!reasons)
		skip();
	record.reason = 2;
	assert_string_equal(sonde_enum_name(reasons, 2), "SKB_DROP_REASON_NOT_SPECIFIED");
	assert_text("reason", "NOT_SPECIFIED");
	record.reason = 0x70001;
	assert_text("reason", "458753");
}

static void test_address_name(void **state)
{
	static const uint8_t known[16] = {[10] = 0xff, 0xff, 10, 0, 0, 1};
	uint32_t remote = (uint32_t)sonde_type_find_column(event.type, "remote_name");
	struct sonde_value values[SONDE_COLUMNS_MAX], none;

	assert_int_equal(value("remote_name").type, SONDE_NULL);
	memcpy(&record.flow.remote_address, known, sizeof(known));
	assert_string_equal(value("remote_name").text, "db.example");
	assert_int_equal(value("remote_name").length, 10);
	sonde_event_values(&event, &names, values);
	assert_string_equal(values[remote].text, "db.example");
	assert_int_equal(values[remote - 1].type, SONDE_ADDRESS);
	sonde_event_value(&event, remote, NULL, &none); /* nobody knows names */
	assert_int_equal(none.type, SONDE_NULL);
	event.length = (uint32_t)(offsetof(struct everything, flow.remote_address) + 15);
	assert_int_equal(value("remote_name").type, SONDE_NULL);
	event.length = sizeof(record);
	record.header.pid = 43;
	assert_int_equal(value("remote_name").type, SONDE_NULL);
}

static void test_symbol(void **state)
{
	struct sonde_value v;

	record.location = 0xffffffff81000000;
	assert_text("location", "tcp_v4_rcv");
	record.location = 0xffffffff81000001;
	assert_text("location", "0xffffffff81000001");
	sonde_event_value(&event, (uint32_t)sonde_type_find_column(event.type, "location"), NULL, &v);
	assert_int_equal(v.length, 18);
	assert_memory_equal(v.text, "0xffffffff81000001", 18);
}

static void test_protocol(void **state)
{
	record.flow.protocol = 6;
	assert_text("protocol", "TCP");
	record.flow.protocol = 58;
	assert_text("protocol", "IPv6-ICMP");
	record.flow.protocol = 253;
	assert_text("protocol", "253");
}

static void test_address(void **state)
{
	struct sonde_value v;

	record.flow.remote_address.bytes[15] = 1;
	v = value("remote_address");
	assert_int_equal(v.type, SONDE_ADDRESS);
	assert_ptr_equal(v.address, record.flow.remote_address.bytes);
	assert_null_value("address");
}

static void test_text(void **state)
{
	memcpy(record.name, "\xff\x1b[31m\"x", 8);
	assert_text("name", "\xff\x1b[31m\"x");
	memset(record.name, 'n', sizeof(record.name)); /* no NUL: ends with the array, not in the next field */
	assert_text_n("name", "nnnnnnnnnnnnnnnn", 16);
	memcpy(record.data, "a\0b\0", 4);
	record.data_length = 4;
	assert_text_n("data", "a\0b\0", 4);
	record.data_length = 0;
	assert_text("data", "");
	record.data_length = 65535; /* cut to the array */
	assert_int_equal(value("data").length, sizeof(record.data));
}

static void test_arguments(void **state)
{
	memcpy(record.words, "sh\0-c\0\0x\0", 9);
	record.words_length = 9;
	assert_text_n("words", "sh\0-c\0\0x", 8);
	record.words_length = 2;
	assert_text("words", "sh");
	record.words_length = 1000;
	memset(record.words, 'w', sizeof(record.words));
	assert_int_equal(value("words").length, sizeof(record.words));
	record.words_length = 0;
	assert_text("words", "");
}

static void test_short_record(void **state)
{
	event.length = offsetof(struct everything, data) + 10;
	memset(record.data, 'd', sizeof(record.data));
	record.data_length = 20;
	assert_text("data", "dddddddddd"); /* what there is of it */
	assert_null_value("words");
	assert_null_value("last");
	event.length = offsetof(struct everything, data);
	assert_null_value("data");
	event.length = offsetof(struct everything, data_length) + 1;
	assert_null_value("data_length");
	event.length = offsetof(struct everything, error) + 3;
	record.error = 5;
	assert_null_value("error");
	assert_null_value("errno");
	assert_int("signed_long", 0);
	event.length = sizeof(struct sonde_header);
	assert_null_value("begin");
	assert_uint("pid", 42);
}

/* Under the address sanitizer this finds any read beyond a record of any length. */
static void test_every_length(void **state)
{
	struct sonde_value values[SONDE_COLUMNS_MAX];

	for (uint32_t length = 0; length <= sizeof(record); length++) {
		uint8_t *copy = malloc(length ? length : 1);
		uint32_t sum = 0;

		memcpy(copy, &record, length);
		((struct everything *)&record)->words_length = UINT16_MAX;
		event.record = (const struct sonde_header *)copy;
		event.length = length;
		sonde_event_values(&event, &names, values);
		for (uint32_t i = 0; i < event.type->n_columns; i++)
			if (values[i].type == SONDE_TEXT)
				for (uint32_t c = 0; c < values[i].length; c++)
					sum += (uint8_t)values[i].text[c];
		assert_true(length >= sizeof(struct sonde_header) || !sum);
		free(copy);
	}
}

static void test_column_beyond(void **state)
{
	struct sonde_value v = {.type = SONDE_INT};

	sonde_event_value(&event, event.type->n_columns, &names, &v);
	assert_int_equal(v.type, SONDE_NULL);
	sonde_event_value(&event, UINT32_MAX, &names, &v);
	assert_int_equal(v.type, SONDE_NULL);
}

static void test_labels(void **state)
{
	const struct sonde_metric *metric = &schema->metrics[0];
	struct everything_key key = {.kind = EVERYTHING_KIND_LAST, .protocol = 17, .interface = "eth0"};
	struct sonde_value v;

	sonde_label_value(&metric->labels[0], &key, &names, &v);
	assert_true(v.type == SONDE_TEXT && v.length == 4 && !memcmp(v.text, "last", 4));
	sonde_label_value(&metric->labels[1], &key, &names, &v);
	assert_true(v.type == SONDE_TEXT && v.length == 3 && !memcmp(v.text, "UDP", 3));
	sonde_label_value(&metric->labels[2], &key, NULL, &v);
	assert_true(v.type == SONDE_TEXT && v.length == 4 && !memcmp(v.text, "eth0", 4));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
		TEST(test_common), TEST(test_process_unknown), TEST(test_numbers), TEST(test_absent), TEST(test_time),
		TEST(test_bool), TEST(test_errno), TEST(test_signal), TEST(test_enums), TEST(test_flags), TEST(test_kernel_enum),
		TEST(test_symbol), TEST(test_address_name), TEST(test_protocol), TEST(test_address), TEST(test_text), TEST(test_arguments),
		TEST(test_short_record), TEST(test_every_length), TEST(test_column_beyond), TEST(test_labels),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
