/* SPDX-License-Identifier: Apache-2.0 */
/* The header of every event: the columns it gives, and whether an object was compiled with the header we know. */
#include <schema/builder.h>

#include <sonde/types.h>
#include <string.h>

#define MEMBER(member) {#member, offsetof(struct sonde_header, member), sizeof(((struct sonde_header *)0)->member)}

static const struct {
	const char *name;
	uint32_t offset, size;
} members[] = {
	MEMBER(time_ns), MEMBER(start_time_ns), MEMBER(cgroup_id), MEMBER(sequence), MEMBER(pid),      MEMBER(tid),
	MEMBER(uid),	 MEMBER(weight),	MEMBER(type),	   MEMBER(flags),    MEMBER(reserved), MEMBER(command),
};

#define AT(member)                                                                                              \
	.offset = offsetof(struct sonde_header, member), .size = sizeof(((struct sonde_header *)0)->member), \
	.length_offset = -1

static const struct sonde_column common[SONDE_COLUMN_COMMON_MAX] = {
	[SONDE_COLUMN_TIME] = {.name = "time", .doc = "when it happened", .type = SONDE_INT,
			       .semantic = SONDE_SEMANTIC_TIME, AT(time_ns)},
	[SONDE_COLUMN_TYPE] = {.name = "type", .doc = "type of the event", .type = SONDE_TEXT, AT(type)},
	[SONDE_COLUMN_PID] = {.name = "pid", .doc = "process that it belongs to", .type = SONDE_UINT,
			      .semantic = SONDE_SEMANTIC_PID, AT(pid)},
	[SONDE_COLUMN_TID] = {.name = "tid", .doc = "thread of that process", .type = SONDE_UINT,
			      .semantic = SONDE_SEMANTIC_PID, AT(tid)},
	[SONDE_COLUMN_UID] = {.name = "uid", .doc = "user that the process runs as", .type = SONDE_UINT,
			      .semantic = SONDE_SEMANTIC_UID, AT(uid)},
	[SONDE_COLUMN_COMMAND] = {.name = "command", .doc = "name of the process", .type = SONDE_TEXT, AT(command)},
	[SONDE_COLUMN_CONTAINER] = {.name = "container", .doc = "container or unit that the process runs in",
				    .type = SONDE_TEXT, AT(cgroup_id)},
	[SONDE_COLUMN_SOURCE] = {.name = "source", .doc = "where the event was seen: ebpf, or a fallback",
				 .type = SONDE_TEXT, .length_offset = -1},
	[SONDE_COLUMN_WEIGHT] = {.name = "weight", .doc = "number of events that this one stands for (sampling)",
				 .type = SONDE_UINT, .semantic = SONDE_SEMANTIC_COUNT, AT(weight)},
};

void sonde_common_columns(struct sonde_columns *columns)
{
	memcpy(columns->columns, common, sizeof(common));
	columns->n = SONDE_COLUMN_COMMON_MAX;
}

int sonde_common_check(const struct sonde_builder *builder, const char *what, const struct btf_type *event)
{
	const struct btf_member *first = (const struct btf_member *)(event + 1);
	const struct btf_type *header;
	const struct btf_member *member;
	uint32_t size;

	header = BTF_INFO_VLEN(event->info) ? sonde_btf_plain(&builder->btf, first->type) : NULL;
	if (!header || sonde_btf_kind(header) != BTF_KIND_STRUCT || first->offset ||
	    strcmp(sonde_btf_text(&builder->btf, header->name_off), "sonde_header") ||
	    strcmp(sonde_btf_text(&builder->btf, first->name_off), "header"))
		return sonde_builder_fail("%s: its first field must be `struct sonde_header header`", what);
	member = (const struct btf_member *)(header + 1);
	if (header->size != sizeof(struct sonde_header) || event->size < header->size || BTF_INFO_KFLAG(header->info) ||
	    BTF_INFO_VLEN(header->info) != sizeof(members) / sizeof(members[0]))
		return sonde_builder_fail("%s: struct sonde_header is of another version of sonde: compile the program with "
					  "this version's headers",
					  what);
	for (uint32_t i = 0; i < BTF_INFO_VLEN(header->info); i++)
		if (member[i].offset != members[i].offset * 8 ||
		    !sonde_btf_size(&builder->btf, member[i].type, &size) || size != members[i].size ||
		    strcmp(sonde_btf_text(&builder->btf, member[i].name_off), members[i].name))
			return sonde_builder_fail("%s: field '%s' of struct sonde_header is not where this version of sonde "
						  "has it: compile the program with this version's headers",
						  what, members[i].name);
	return 0;
}
