/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/tags.h>

#include <bpf/btf.h>
#include <string.h>

const char *sonde_btf_tag(const struct btf *btf, const char *name, const char *prefix)
{
	size_t length = strlen(prefix);

	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id), *target;
		const char *text;

		if (!btf_is_decl_tag(type))
			continue;
		text = btf__name_by_offset(btf, type->name_off);
		target = btf__type_by_id(btf, type->type);
		if (!strncmp(text, prefix, length) && target && (btf_is_func(target) || btf_is_var(target)) &&
		    !strcmp(btf__name_by_offset(btf, target->name_off), name))
			return text + length;
	}
	return NULL;
}
