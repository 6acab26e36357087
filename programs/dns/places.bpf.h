/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

/*
 * Where a question over UDP waits: at a place that follows from its socket and id, built there and looked at there, without a
 * look-up in a map or a copy. Where the place is taken by another, it waits in the map.
 *
 * Invariant: of the questions of one socket and id the first is either at its place or in the map. `beside` counts those in the map
 * that belong here; while it is not 0 nobody takes the place. Who goes into the map counts first and then looks at the holder, who takes
 * the place does so first and then looks at the count: one of the two sees the other.
 */

#include "questions.bpf.h"

#define PLACES 2048 /* a power of 2; those in use stay in the caches of a CPU */

struct place {
	__u64 holder; /* socket and id; 0: nobody */
	__u64 cookie;
	__u32 beside;
	__u32 reserved;
	struct question question; /* its state says whether it is all there */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, struct place);
} places SEC(".maps");

/*
 * What there is to look at for questions that timed out. The flag is set by who takes a place, and taken back by who looks at them, and
 * each does that before it looks at what the other did; a place that is still in use then sets it again.
 */
struct waiting {
	__u32 at_places; /* 0: nobody took one since all were free */
	__u32 in_map;	 /* how many, and those just being put there */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct waiting);
} waiting SEC(".maps");

static __always_inline struct waiting *waiting_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&waiting, &zero);
}

static __always_inline void waiting_at_place(void)
{
	struct waiting *known = waiting_here();

	if (known && !*(volatile __u32 *)&known->at_places) /* all share it, so it is seldom written */
		*(volatile __u32 *)&known->at_places = 1;
}

static __always_inline void waiting_in_map(__s32 n)
{
	struct waiting *known = waiting_here();

	if (known)
		__sync_fetch_and_add(&known->in_map, n);
}

/* A cookie of more than 48 bits is none that a kernel gets to. */
static __always_inline __u64 place_holder(const struct question_key *key)
{
	return key->cookie << 16 | key->id;
}

static __always_inline struct place *place_of(const struct question_key *key)
{
	__u32 index = (sonde_mix(0, key->cookie) + key->id) & (PLACES - 1); /* ids that count up do not meet */

	return bpf_map_lookup_elem(&places, &index);
}

static __always_inline void place_leave(struct place *place)
{
	__sync_lock_test_and_set(&place->holder, 0);
}

/* For a question to be built there. NULL: it is taken, also by one with this id. */
static __always_inline struct place *place_take(const struct question_key *key)
{
	struct place *place = place_of(key);

	if (!place || !key->cookie || *(volatile __u32 *)&place->beside ||
	    __sync_val_compare_and_swap(&place->holder, 0, place_holder(key)))
		return NULL;
	if (*(volatile __u32 *)&place->beside) {
		place_leave(place);
		return NULL;
	}
	waiting_at_place();
	place->cookie = key->cookie;
	place->question.in_place = 1;
	return place;
}

/* What else stands there is of who holds it only then; before, it may be of the one before. A full barrier. */
static __always_inline bool place_is_filled(struct place *place)
{
	return __sync_fetch_and_add(&place->question.state, 0) != QUESTION_CLAIMED;
}

/* The question is all there. */
static __always_inline void question_wait(struct question *question)
{
	__sync_lock_test_and_set(&question->state, QUESTION_WAITS);
}

static __always_inline void beside_add(const struct question_key *key, __u8 transport, __s32 n)
{
	struct place *place = transport == IPPROTO_UDP ? place_of(key) : NULL;

	if (place)
		__sync_fetch_and_add(&place->beside, n);
}

/* The one at the place, if it has this socket and id. */
static __always_inline struct question *question_at_place(const struct question_key *key, __u8 transport, __u32 *ret_beside)
{
	struct place *place = transport == IPPROTO_UDP ? place_of(key) : NULL;

	*ret_beside = 1;
	if (!place)
		return NULL;
	*ret_beside = *(volatile __u32 *)&place->beside;
	return *(volatile __u64 *)&place->holder == place_holder(key) ? &place->question : NULL;
}

/* The first of a socket and id, wherever it is. */
static __always_inline struct question *question_first(const struct question_key *key, __u8 transport)
{
	__u32 beside;
	struct question *question = question_at_place(key, transport, &beside);

	if (question || !beside)
		return question;
	return bpf_map_lookup_elem(&questions, key);
}

/* Nothing leads to it any more. */
static __always_inline void question_remove(const struct question_key *key, struct question *question)
{
	__u8 transport = question->transport;
	struct place *place;

	if (question->in_place) {
		place = place_of(key);
		if (place)
			place_leave(place);
	} else if (!bpf_map_delete_elem(&questions, key)) {
		waiting_in_map(-1);
		if (!key->hash)
			beside_add(key, transport, -1);
	}
}

/* A new one in the map. False: there is one with this key, or no room. */
static __always_inline bool question_put(const struct question_key *key, const struct question *question)
{
	waiting_in_map(1);
	if (!bpf_map_update_elem(&questions, key, question, BPF_NOEXIST))
		return true;
	waiting_in_map(-1);
	return false;
}

/* After its outcome was told, by who claimed it. */
static __always_inline void question_end(const struct question_key *key, struct question *question)
{
	if (key->hash || !question->shares_id) {
		question_remove(key, question);
		return;
	}
	question->sent_ns = bpf_ktime_get_boot_ns();
	__sync_lock_test_and_set(&question->state, QUESTION_ENDED);
}

/* One that ended long ago, if nobody took its place in the meantime. */
static __always_inline void question_forget(const struct question_key *key, struct question *question)
{
	if (__sync_val_compare_and_swap(&question->state, QUESTION_ENDED, QUESTION_CLAIMED) == QUESTION_ENDED)
		question_remove(key, question);
}

/*
 * The same question once more. That gives it another timeout_ns (the stub resolver of glibc asks again after 5 s), but not
 * for ever: one that is asked again and again ends as well.
 */
static __always_inline void sent_again(struct question *old, const struct question *question)
{
	if (question->transport != IPPROTO_UDP) /* TCP sends again by itself */
		return;
	__sync_fetch_and_add(&old->tries, 1);
	if (question->asked_ns - old->asked_ns < REPEATED_FOR * timeout_ns)
		old->sent_ns = question->asked_ns;
}

/* In the place of the first with its id, which has ended. False: it is just going away. */
static __always_inline bool follow(const struct question_key *key, struct question *first, struct question *question)
{
	question->shares_id = 1;
	if (!first->in_place)
		return !bpf_map_update_elem(&questions, key, question, BPF_EXIST);
	if (__sync_val_compare_and_swap(&first->state, QUESTION_ENDED, QUESTION_CLAIMED) != QUESTION_ENDED)
		return false;
	question->state = QUESTION_CLAIMED;
	question->in_place = 1;
	bpf_probe_read_kernel(first, sizeof(*first), question);
	question_wait(first);
	return true;
}

/* The id is in use: by the same question, by another one that waits, or by one that has ended. False: there is no room for it. */
static __always_inline bool ask_beside(struct question_key *key, struct question *first, struct question *question)
{
	int likeness;
	struct question *old = question_find(key, first, question, question->length, &likeness);

	if (old && old->state != QUESTION_ENDED) {
		sent_again(old, question);
		return true;
	}
	key->hash = 0;
	if (first->state == QUESTION_ENDED)
		return follow(key, first, question);
	first->shares_id = 1;
	key->hash = question_hash(question);
	return question_put(key, question);
}

/* One that found no place. False: there is no room for it. */
static __always_inline bool question_keep(struct question_key *key, struct question *question)
{
	struct question *first;
	__u32 beside;

	beside_add(key, question->transport, 1);
	first = question_at_place(key, question->transport, &beside);
	if (!first || first->state == QUESTION_CLAIMED) {
		/* Nearly always it is new: looking for it first would cost as much as this. */
		if (question_put(key, question))
			return true;
		first = bpf_map_lookup_elem(&questions, key);
	}
	beside_add(key, question->transport, -1);
	return first && ask_beside(key, first, question);
}
