/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once
/*
 * The biggest mappings of a process that is being killed, while it still has them: once it is known that it was killed, they are
 * gone. The kernel's own iterators want locks that the OOM killer holds, so this goes through the tree of mappings itself (a maple
 * tree, Linux 6.1) without any: a change at this very moment can hide one or show it twice.
 */
#define SONDE_PATH_DEPTH 20 /* a longer path loses its beginning */
#include <sonde/path.bpf.h>
#include "event.h"

#define MAPPING_LEAVES_MAX 512 /* some 5,000 mappings, and 1.1 ms */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct anon_vma_name {
	char name[1];
};

struct vm_area_struct___sizes {
	unsigned long vm_start, vm_end, vm_flags;
	struct file *vm_file;
	struct anon_vma_name *anon_name;
};

struct maple_tree {
	void *ma_root;
};

struct mm_struct___places {
	unsigned long start_brk, brk, start_stack;
	int map_count;
	struct maple_tree mm_mt;
};

struct maple_range_64 {
	unsigned long pivot[15];
	void *slot[16];
};

struct maple_arange_64 {
	unsigned long pivot[9];
	void *slot[10];
};

#pragma clang attribute pop

enum maple_type {
	maple_leaf_64 = 1,
	maple_arange_64 = 3,
};

#define MAPLE_NODE_WORDS 32
#define MAPLE_PIVOTS_MAX 15
#define MAPLE_DEPTH_MAX 8
/* A pointer to a node has its type and some marks in its last byte. */
#define MAPLE_NODE(entry) ((entry) & ~255ull)
#define MAPLE_IS(entry, type) (((entry) >> 3 & 15) == bpf_core_enum_value(enum maple_type, type))
/* Neither nothing, nor a mark, nor what a node that is not full keeps of itself in its last slot. */
#define IS_MAPPING(entry) ((entry) >> 63 && !((entry) & 3))

struct maple_walk {
	__u64 root, index; /* what is looked for: the node that holds this address */
	__u64 last;	   /* address that it holds */
	__u64 node[MAPLE_NODE_WORDS];
};

/* Where in a node its first pivot or slot stands, and how many pivots it has (and one slot more), in words. */
#define MAPLE_WORD(type, field) (bpf_core_field_offset(struct type, field) / 8)
#define MAPLE_PIVOTS(type) (bpf_core_field_size(struct type, pivot) / 8)

static __always_inline enum memory_mapping_kind mapping_kind(struct vm_area_struct___sizes *vma, __u64 file, struct mm_struct___places *mm)
{
	__u64 start = BPF_CORE_READ(vma, vm_start), end = BPF_CORE_READ(vma, vm_end), stack = BPF_CORE_READ(mm, start_stack);

	if (file)
		return MEMORY_MAPPING_KIND_FILE;
	if (start <= BPF_CORE_READ(mm, brk) && end >= BPF_CORE_READ(mm, start_brk))
		return MEMORY_MAPPING_KIND_HEAP;
	if (start <= stack && end >= stack)
		return MEMORY_MAPPING_KIND_STACK;
	return MEMORY_MAPPING_KIND_ANONYMOUS;
}

/* Global, as all of these: so that the verifier looks at it once, and not in each round of a loop. */
__noinline int mapping_consider(struct memory_mappings *mappings)
{
	struct vm_area_struct___sizes *vma;
	struct memory_mapping *least;
	__u64 bytes, place;
	__u32 rights = 0;

	if (!mappings)
		return 0;
	vma = (void *)mappings->vma;
	mappings->looked++;
	bytes = BPF_CORE_READ(vma, vm_end) - BPF_CORE_READ(vma, vm_start);
	if (bpf_core_field_exists(vma->vm_flags)) {
		rights = BPF_CORE_READ(vma, vm_flags);
		if (!(rights & (VM_READ | VM_WRITE | VM_EXEC)))
			return 0; /* addresses that are only kept free, often a great many */
	}
	least = &mappings->biggest[0];
#pragma unroll
	for (int i = 1; i < MEMORY_MAPPINGS_MAX; i++)
		if (mappings->biggest[i].bytes < least->bytes)
			least = &mappings->biggest[i];
	if (bytes <= least->bytes)
		return 0;
	place = (__u64)BPF_CORE_READ(vma, vm_file);
	least->kind = mapping_kind(vma, place, (void *)mappings->mm);
	if (!place && bpf_core_field_exists(vma->anon_name))
		place = (__u64)BPF_CORE_READ(vma, anon_name);
	least->bytes = bytes;
	least->rights = rights;
	least->place = place;
	return 0;
}

/*
 * The slot that holds walk->index: as many as there are pivots below it. Without a branch, as the verifier would follow each. The sign
 * of an address is that of the kernel's half, and behind the last pivot stand slots, which have it too.
 */
__noinline __u32 maple_slot(const struct maple_walk *walk, __u32 pivot)
{
	const __u64 positive = ~0ull >> 1;
	__u64 found = 0, n = 0;

	if (!walk)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < MAPLE_PIVOTS_MAX; i++) {
		found |= (((walk->node[(pivot + i) % MAPLE_NODE_WORDS] & positive) - walk->index) >> 63) ^ 1;
		n += found ^ 1;
	}
	return n;
}

/* Reads the leaf that holds walk->index. A slot holds what is up to its pivot; the last one what is up to the end of the node. */
__noinline int maple_leaf(struct maple_walk *walk)
{
	__u64 entry;
	int depth;

	if (!walk)
		return 0;
	entry = walk->root;
	walk->last = ~0ull;
	for (depth = 0; depth < MAPLE_DEPTH_MAX; depth++) {
		bool wide = MAPLE_IS(entry, maple_arange_64);
		__u32 pivots = wide ? MAPLE_PIVOTS(maple_arange_64) : MAPLE_PIVOTS(maple_range_64);
		__u32 pivot = wide ? MAPLE_WORD(maple_arange_64, pivot) : MAPLE_WORD(maple_range_64, pivot);
		__u32 slot = wide ? MAPLE_WORD(maple_arange_64, slot) : MAPLE_WORD(maple_range_64, slot), i;

		if (!MAPLE_NODE(entry) || bpf_probe_read_kernel(walk->node, sizeof(walk->node), (void *)MAPLE_NODE(entry)))
			return 0;
		if (MAPLE_IS(entry, maple_leaf_64))
			return 1;
		i = maple_slot(walk, pivot);
		if (i < pivots)
			walk->last = walk->node[(pivot + i) % MAPLE_NODE_WORDS];
		entry = walk->node[(slot + i) % MAPLE_NODE_WORDS];
	}
	return 0;
}

/* @return 0: there are no more. */
__noinline int mapping_leaf(struct memory_mappings *mappings, struct maple_walk *walk)
{
	__u64 entry, last;
	__u32 i;

	if (!mappings || !walk || !maple_leaf(walk))
		return 0;
	for (i = 0; i <= MAPLE_PIVOTS(maple_range_64) && i < MAPLE_NODE_WORDS; i++) {
		entry = walk->node[(MAPLE_WORD(maple_range_64, slot) + i) % MAPLE_NODE_WORDS];
		if (IS_MAPPING(entry)) {
			mappings->vma = entry;
			mapping_consider(mappings);
		}
		last = walk->node[(MAPLE_WORD(maple_range_64, pivot) + i) % MAPLE_NODE_WORDS];
		if (last >= walk->last || (i && !last))
			break; /* the rest of the node is not in use */
	}
	if (walk->last == ~0ull || walk->last < walk->index)
		return 0;
	walk->index = walk->last + 1;
	return 1;
}

struct leaves {
	struct memory_mappings *mappings;
	struct maple_walk *walk;
};

static __noinline long next_leaf(__u32 round, struct leaves *leaves)
{
	return !mapping_leaf(leaves->mappings, leaves->walk);
}

struct path_scratch {
	char bytes[SONDE_PATH_SCRATCH];
};

__noinline int mapping_name(struct memory_mapping *mapping, struct path_scratch *scratch)
{
	struct anon_vma_name *name;

	if (!mapping || !scratch)
		return 0;
	mapping->name[0] = '\0';
	if (!mapping->place)
		return 0;
	if (mapping->kind == MEMORY_MAPPING_KIND_FILE) {
		sonde_path_read((struct file *)mapping->place, scratch->bytes, mapping->name);
	} else {
		name = (void *)mapping->place;
		bpf_probe_read_kernel_str(mapping->name, sizeof(mapping->name), name->name);
	}
	mapping->place = 0;
	return 0;
}

static __always_inline void mappings_clear(struct memory_mappings *mappings)
{
	mappings->count = mappings->looked = mappings->vma = mappings->mm = 0;
#pragma unroll
	for (int i = 0; i < MEMORY_MAPPINGS_MAX; i++) {
		mappings->biggest[i].bytes = mappings->biggest[i].place = 0;
		mappings->biggest[i].rights = 0;
		mappings->biggest[i].kind = MEMORY_MAPPING_KIND_NONE;
		mappings->biggest[i].name[0] = '\0';
	}
}

static __always_inline void mappings_read(struct memory_mappings *mappings, char scratch[sizeof(struct maple_walk)],
					  struct task_struct *victim)
{
	struct mm_struct___places *mm = (void *)victim->mm;
	struct maple_walk *walk = (void *)scratch;
	struct leaves leaves = {mappings, walk};

	if (!bpf_core_field_exists(mm->mm_mt) || !bpf_core_type_exists(struct maple_range_64))
		return;
	mappings->count = BPF_CORE_READ(mm, map_count);
	mappings->mm = (__u64)mm;
	walk->root = (__u64)BPF_CORE_READ(mm, mm_mt.ma_root);
	walk->index = 0;
	sonde_loop(MAPPING_LEAVES_MAX, next_leaf, &leaves);
#pragma unroll
	for (int i = 0; i < MEMORY_MAPPINGS_MAX; i++)
		mapping_name(&mappings->biggest[i], (struct path_scratch *)scratch);
	mappings->vma = mappings->mm = 0;
}
