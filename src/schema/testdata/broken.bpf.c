/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Objects that each break one rule of sonde/types.h. The build compiles this file once for each case, the test looks for
 * the expected words in the error: both find the cases by their lines here.
 */
#include <sonde/sonde.bpf.h>

#define HEADER struct sonde_header header
#define NUMBER __u64 number SONDE_DOC("a number")

enum some_kind { SOME_KIND_ONE };
struct other {
	__u64 first SONDE_DOC("first");
};
struct other_header {
	__u64 bytes[9];
};

#if defined(no_doc) /* expect: event broken: 'number' has no doc */
struct broken { HEADER; __u64 number; };
#elif defined(empty_doc) /* expect: 'number' has no doc */
struct broken { HEADER; __u64 number SONDE_DOC(""); };
#elif defined(control_doc) /* expect: must be one line of readable text */
struct broken { HEADER; __u64 number SONDE_DOC("red \033[31m"); };
#elif defined(nested_no_doc) /* expect: event broken: 'inside' has no doc */
struct nested { __u64 inside; };
struct broken { HEADER; struct nested nested; };
#elif defined(header_missing) /* expect: its first field must be `struct sonde_header header` */
struct broken { NUMBER; };
#elif defined(header_second) /* expect: its first field must be `struct sonde_header header` */
struct broken { NUMBER; HEADER; };
#elif defined(header_other) /* expect: its first field must be `struct sonde_header header` */
struct broken { struct other_header header; NUMBER; };
#elif defined(header_twice) /* expect: 'time_ns' has no doc */
struct broken { HEADER; struct sonde_header again; };
#elif defined(padding_inside) /* expect: leaves 4 bytes in front of it */
struct broken { HEADER; __u32 half SONDE_DOC("half"); NUMBER; };
#elif defined(padding_end) /* expect: leaves 6 bytes at the end of struct broken */
struct broken { HEADER; NUMBER; sonde_port port SONDE_DOC("port"); };
#elif defined(padding_nested) /* expect: leaves 7 bytes at the end of struct nested */
struct nested { __u64 inside SONDE_DOC("inside"); __u8 small SONDE_DOC("small"); };
struct broken { HEADER; struct nested nested; };
#elif defined(duplicate_common) /* expect: there is a column 'pid' already */
struct broken { HEADER; __u64 pid SONDE_DOC("its pid"); };
#elif defined(duplicate_nested) /* expect: there is a column 'first' already */
struct broken { HEADER; __u64 first SONDE_DOC("first"); struct other other; };
#elif defined(duplicate_errno) /* expect: there is a column 'errno' already */
struct broken { HEADER; sonde_errno error SONDE_DOC("one"); sonde_errno other SONDE_DOC("two"); };
#elif defined(upper_case) /* expect: the name 'Number' cannot be used */
struct broken { HEADER; __u64 Number SONDE_DOC("a number"); };
#elif defined(long_name) /* expect: cannot be used: take 1 to 47 */
struct broken { HEADER; __u64 number_with_a_name_that_goes_on_and_on_and_on_for_ever SONDE_DOC("a number"); };
#elif defined(too_large) /* expect: its struct has 4168 bytes, 4096 is the most */
struct broken { HEADER; char text[4096] SONDE_DOC("text"); };
#elif defined(too_many_columns) /* expect: too many columns: 64 is the most */
#define N1(n) __u8 column_##n SONDE_DOC("one of many");
#define N8(n) N1(n##0) N1(n##1) N1(n##2) N1(n##3) N1(n##4) N1(n##5) N1(n##6) N1(n##7)
struct broken { HEADER; N8(0) N8(1) N8(2) N8(3) N8(4) N8(5) N8(6) };
#elif defined(too_many_fields) /* expect: too many fields: 512 is the most */
struct f0 { __u8 empty[0] SONDE_HIDDEN; __u8 none[0] SONDE_HIDDEN; };
struct f1 { struct f0 a, b, c, d, e, f, g, h; };
struct f2 { struct f1 a, b, c, d, e, f, g, h; };
struct broken { HEADER; struct f2 a, b, c, d, e, f, g, h; };
#elif defined(too_deep) /* expect: structs are nested too deeply */
struct d0 { NUMBER; };
struct d1 { struct d0 a; }; struct d2 { struct d1 a; }; struct d3 { struct d2 a; }; struct d4 { struct d3 a; };
struct d5 { struct d4 a; }; struct d6 { struct d5 a; }; struct d7 { struct d6 a; };
struct broken { HEADER; struct d7 a; };
#elif defined(pointer) /* expect: a pointer means nothing outside the kernel */
struct broken { HEADER; void *where SONDE_DOC("where"); };
#elif defined(a_union) /* expect: its type cannot be shown */
struct broken { HEADER; union { __u64 a, b; } both SONDE_DOC("both"); };
#elif defined(bit_field) /* expect: bit fields are not supported */
struct broken { HEADER; __u64 one : 1 SONDE_DOC("one"); __u64 rest : 63 SONDE_DOC("the rest"); };
#elif defined(byte_array) /* expect: an array can only be of char */
struct broken { HEADER; __u8 bytes[8] SONDE_DOC("bytes"); };
#elif defined(empty_array) /* expect: an array can only be of char */
struct broken { HEADER; char bytes[0] SONDE_DOC("bytes"); };
#elif defined(wide_number) /* expect: a number has 1, 2, 4 or 8 bytes */
struct broken { HEADER; char pad[8] SONDE_HIDDEN; __int128 wide SONDE_DOC("wide"); };
#elif defined(unknown_type) /* expect: the type sonde_unheard_of is not known */
typedef __u64 sonde_unheard_of;
struct broken { HEADER; sonde_unheard_of number SONDE_DOC("a number"); };
#elif defined(unknown_tag) /* expect: the tag 'sonde:docs=a number' is not known */
struct broken { HEADER; __u64 number SONDE_TAG("sonde:docs=a number"); };
#elif defined(two_docs) /* expect: has two tags 'sonde:doc=' */
struct broken { HEADER; __u64 number SONDE_DOC("one") SONDE_DOC("two"); };
#elif defined(absent_text) /* expect: SONDE_ABSENT(UNKNOWN): write a plain number */
struct broken { HEADER; __u64 number SONDE_DOC("a number") SONDE_ABSENT(UNKNOWN); };
#elif defined(absent_large) /* expect: does not fit into 2 bytes */
struct broken { HEADER; __u16 number SONDE_DOC("a number") SONDE_ABSENT(65536); __u8 rest[6] SONDE_HIDDEN; };
#elif defined(absent_small) /* expect: does not fit into 2 bytes */
struct broken { HEADER; __s16 number SONDE_DOC("a number") SONDE_ABSENT(-32769); __u8 rest[6] SONDE_HIDDEN; };
#elif defined(absent_huge) /* expect: write a plain number */
struct broken { HEADER; __u64 number SONDE_DOC("a number") SONDE_ABSENT(18446744073709551616); };
#elif defined(absent_of_text) /* expect: can only be 0 (empty, all zero) */
struct broken { HEADER; char text[8] SONDE_DOC("text") SONDE_ABSENT(1); };
#elif defined(length_unknown) /* expect: SONDE_LENGTH(size) names no field of the same struct */
struct broken { HEADER; char text[8] SONDE_DOC("text") SONDE_LENGTH(size); };
#elif defined(length_not_number) /* expect: the field of SONDE_LENGTH(other) must be a number */
struct broken { HEADER; struct other other; char text[8] SONDE_DOC("text") SONDE_LENGTH(other); };
#elif defined(length_of_number) /* expect: SONDE_LENGTH() belongs to an array of char */
struct broken { HEADER; NUMBER; __u64 second SONDE_DOC("second") SONDE_LENGTH(number); };
#elif defined(measure_of_text) /* expect: SONDE_MEASURE belongs to a number of things, bytes or ns */
struct broken { HEADER; char text[8] SONDE_DOC("text") SONDE_MEASURE; };
#elif defined(named_number) /* expect: SONDE_NAMED belongs to a sonde_address */
struct broken { HEADER; __u64 number SONDE_DOC("a number") SONDE_NAMED; };
#elif defined(two_measures) /* expect: 'number' and 'second' are both its SONDE_MEASURE: keep one */
struct broken { HEADER; __u64 number SONDE_DOC("a number") SONDE_MEASURE; __u64 second SONDE_DOC("second") SONDE_MEASURE; };
#elif defined(arguments_no_length) /* expect: sonde_arguments need SONDE_LENGTH(field) */
struct broken { HEADER; sonde_arguments words[8] SONDE_DOC("words"); };
#elif defined(kernel_enum_no_name) /* expect: a sonde_kernel_enum needs SONDE_ENUM */
struct broken { HEADER; sonde_kernel_enum reason SONDE_DOC("why"); __u8 rest[4] SONDE_HIDDEN; };
#elif defined(enum_of_number) /* expect: SONDE_ENUM() belongs to a sonde_kernel_enum */
struct broken { HEADER; __u64 reason SONDE_DOC("why") SONDE_ENUM("skb_drop_reason"); };
#elif defined(prefix_of_number) /* expect: SONDE_PREFIX() belongs to a sonde_kernel_enum or an enum */
struct broken { HEADER; __u64 reason SONDE_DOC("why") SONDE_PREFIX("A_"); };
#elif defined(flags_of_number) /* expect: SONDE_FLAGS() belongs to an enum */
struct broken { HEADER; __u64 flags SONDE_DOC("flags") SONDE_FLAGS(0); };
#elif defined(flags_mask_text) /* expect: SONDE_FLAGS(MODE): write a plain number */
struct broken { HEADER; enum some_kind flags SONDE_DOC("flags") SONDE_FLAGS(MODE); __u8 rest[4] SONDE_HIDDEN; };
#elif defined(too_many_enumerators) /* expect: its enum has too many enumerators: 1024 is the most */
#define E4(n) E_##n##0, E_##n##1, E_##n##2, E_##n##3,
#define E16(n) E4(n##0) E4(n##1) E4(n##2) E4(n##3)
#define E64(n) E16(n##0) E16(n##1) E16(n##2) E16(n##3)
#define E256(n) E64(n##0) E64(n##1) E64(n##2) E64(n##3)
enum large { E256(a) E256(b) E256(c) E256(d) E_LAST };
struct broken { HEADER; enum large large SONDE_DOC("large"); __u8 rest[4] SONDE_HIDDEN; };
#elif defined(no_event) /* expect: the object has no event */
#define NO_EVENT
#elif defined(event_no_doc) /* expect: event: 'broken' has no doc */
#define GOOD_EVENT
#define EVENT_DOC ""
#elif defined(event_not_u16) /* expect: is tagged as an event: declare events with SONDE_EVENT */
#define NO_EVENT
const volatile __u32 sonde_event_broken SONDE_TAG("sonde:event=broken") = 0;
#elif defined(event_no_struct) /* expect: the object has no struct broken */
#define NO_EVENT
const volatile __u16 sonde_event_broken SONDE_TAG("sonde:event=broken") = 0;
#elif defined(event_not_const) /* expect: or no number for it */
#define NO_EVENT
struct broken { HEADER; NUMBER; };
__u16 sonde_event_broken SONDE_TAG("sonde:event=broken") = 1;
struct broken *sonde_anchor_broken SEC(".data.sonde_anchor") = NULL;
#elif defined(setting_text) /* expect: setting words: must be a number */
#define GOOD_EVENT
const volatile char words[8] SONDE_TAG("sonde:setting=words") = "";
#elif defined(setting_no_doc) /* expect: setting: 'level' has no doc */
#define GOOD_EVENT
SONDE_SETTING(__u32, level, 1, "");
#elif defined(setting_not_const) /* expect: setting level: is not in section .rodata */
#define GOOD_EVENT
__u32 level SONDE_TAG("sonde:setting=a level") = 1;
#elif defined(setting_between_text) /* expect: setting level: SONDE_SETTING_BETWEEN() takes two plain numbers */
#define GOOD_EVENT
SONDE_SETTING_BETWEEN(__u32, level, 1, 0, 4 * 1024, "a level");
#elif defined(setting_not_between) /* expect: setting level: SONDE_SETTING_BETWEEN() takes two plain numbers, and a default */
#define GOOD_EVENT
SONDE_SETTING_BETWEEN(__u32, level, 5, 0, 4, "a level");
#elif defined(metric_no_doc) /* expect: the tag of a metric is NAME|DOC */
#define GOOD_EVENT
#define METRIC_TAG SONDE_TAG("sonde:counter=things_total")
#elif defined(counter_name) /* expect: the name of a counter ends in _total */
#define GOOD_EVENT
#define METRIC_TAG SONDE_COUNTER("things", "things")
#elif defined(gauge_name) /* expect: the name of a counter ends in _total, that of a gauge does not */
#define GOOD_EVENT
#define METRIC_TAG SONDE_GAUGE("things_total", "things")
#elif defined(histogram_name) /* expect: the name of a histogram ends in _seconds */
#define GOOD_EVENT
#define METRIC_TAG SONDE_HISTOGRAM("things", "things")
#elif defined(histogram_bucket) /* expect: the last field of a histogram's key is `__u8 le` */
#define GOOD_EVENT
#define METRIC_TAG SONDE_HISTOGRAM("things_seconds", "things")
#elif defined(metric_prefix) /* expect: leave out the leading sonde_ */
#define GOOD_EVENT
#define METRIC_TAG SONDE_COUNTER("sonde_things_total", "things")
#elif defined(metric_value) /* expect: the value of its map must be __u64 */
#define GOOD_EVENT
#define METRIC_VALUE __u32
#elif defined(metric_key) /* expect: the key of its map must be a struct */
#define GOOD_EVENT
#define METRIC_KEY __u32
#elif defined(metric_map) /* expect: its map must be a HASH, PERCPU_HASH or PERCPU_ARRAY */
#define GOOD_EVENT
#define METRIC_MAP BPF_MAP_TYPE_LRU_HASH
#elif defined(metric_label_no_doc) /* expect: metric things_total: 'label' has no doc */
#define GOOD_EVENT
struct label_key { __u64 label; };
#define METRIC_KEY struct label_key
#elif defined(metric_of_number) /* expect: 'counted' is not a map */
#define GOOD_EVENT
__u64 counted SONDE_COUNTER("things_total", "things") = 1;
#endif

/* What a case did not define itself. */
#ifdef GOOD_EVENT
struct broken { HEADER; NUMBER; };
#endif
#ifndef EVENT_DOC
#define EVENT_DOC "an event"
#endif
#ifndef NO_EVENT
SONDE_EVENT(broken, EVENT_DOC);
#endif

#if defined(METRIC_TAG) || defined(METRIC_VALUE) || defined(METRIC_KEY) || defined(METRIC_MAP)
#ifndef METRIC_TAG
#define METRIC_TAG SONDE_COUNTER("things_total", "things")
#endif
#ifndef METRIC_VALUE
#define METRIC_VALUE __u64
#endif
#ifndef METRIC_KEY
#define METRIC_KEY struct other
#endif
#ifndef METRIC_MAP
#define METRIC_MAP BPF_MAP_TYPE_HASH
#endif
struct {
	__uint(type, METRIC_MAP);
	__uint(max_entries, 16);
	__type(key, METRIC_KEY);
	__type(value, METRIC_VALUE);
} counted SEC(".maps") METRIC_TAG;
#endif
