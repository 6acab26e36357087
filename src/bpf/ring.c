/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring buffer consumer with separate reading and freeing. Layout of the mapping (kernel/bpf/ringbuf.c): a page with the
 * consumer position (writable), a page with the producer position, then the data, twice in a row for those who want a
 * record that wraps in one piece. Here it is mapped once: each mapped page counts as memory of this process, and one
 * record in each turn of the ring is cheap to put together. Invariant: consumer position <= cursor <= producer position.
 */
#include <bpf/ring.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <base/cleanup.h>

struct sonde_ring {
	_Atomic unsigned long *consumer;
	const _Atomic unsigned long *producer;
	const char *data;
	size_t page, size;
	char *wrapped; /* the last record that wrapped; of `size`, but only what is used is ever touched */
	_Atomic uint64_t cursor; /* written by the reader only */
	struct sonde_control *control;
};

static void *ring_map(int fd, size_t length, int protection, off_t offset)
{
	void *area = mmap(NULL, length, protection, MAP_SHARED, fd, offset);

	return area == MAP_FAILED ? NULL : area;
}

int sonde_ring_new(int map_fd, int control_fd, struct sonde_ring **ret_ring)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	struct sonde_ring *ring;
	int r = 0;

	if (bpf_obj_get_info_by_fd(map_fd, &info, &length))
		return -errno;
	if (info.type != BPF_MAP_TYPE_RINGBUF)
		return -EINVAL;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	ring->size = info.max_entries;
	ring->consumer = ring_map(map_fd, ring->page, PROT_READ | PROT_WRITE, 0);
	if (ring->consumer)
		ring->producer = ring_map(map_fd, ring->page + ring->size, PROT_READ, (off_t)ring->page);
	if (ring->producer && control_fd >= 0)
		ring->control = ring_map(control_fd, ring->page, PROT_READ | PROT_WRITE, 0);
	if (!ring->producer || (control_fd >= 0 && !ring->control))
		r = -errno;
	else
		ring->wrapped = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ring->wrapped == MAP_FAILED) {
		ring->wrapped = NULL;
		r = -errno;
	}
	if (r < 0) {
		sonde_ring_free(&ring);
		return r;
	}
	ring->data = (const char *)ring->producer + ring->page;
	ring->cursor = *ring->consumer;
	*ret_ring = ring;
	return 0;
}

void sonde_ring_free(struct sonde_ring **pointer)
{
	struct sonde_ring *ring = TAKE_PTR(*pointer);

	if (!ring)
		return;
	if (ring->control) {
		sonde_ring_awake(ring);
		munmap(ring->control, ring->page);
	}
	if (ring->producer)
		munmap((void *)(uintptr_t)ring->producer, ring->page + ring->size);
	if (ring->consumer)
		munmap((void *)ring->consumer, ring->page);
	if (ring->wrapped)
		munmap(ring->wrapped, ring->size);
	free(ring);
}

void sonde_ring_start_at(struct sonde_ring *ring, uint64_t position)
{
	unsigned long producer = atomic_load_explicit(ring->producer, memory_order_acquire);

	if (position <= *ring->consumer || position > producer)
		return;
	ring->cursor = position;
	atomic_store_explicit(ring->consumer, position, memory_order_release);
}

/* Header of the record at `position`, or 0 with the busy bit: not complete. */
static uint32_t ring_header(const struct sonde_ring *ring, uint64_t position)
{
	const _Atomic uint32_t *header = (const void *)(ring->data + (position & (ring->size - 1)));

	return atomic_load_explicit(header, memory_order_acquire);
}

static uint64_t ring_step(uint32_t header)
{
	uint64_t length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

	return (length + BPF_RINGBUF_HDR_SZ + 7) & ~7ull;
}

/* `length` bytes at `position` in one piece. */
static const void *ring_data(struct sonde_ring *ring, uint64_t position, size_t length)
{
	size_t start = position & (ring->size - 1), first = ring->size - start;

	if (length <= first || length > ring->size)
		return ring->data + start;
	memcpy(ring->wrapped, ring->data + start, first);
	memcpy(ring->wrapped + first, ring->data, length - first);
	return ring->wrapped;
}

int sonde_ring_next(struct sonde_ring *ring, const void **ret_record, size_t *ret_length)
{
	uint64_t cursor = atomic_load_explicit(&ring->cursor, memory_order_relaxed);
	unsigned long producer = atomic_load_explicit(ring->producer, memory_order_acquire);
	uint32_t header;

	while (cursor < producer) {
		uint64_t at = cursor;

		header = ring_header(ring, at);
		if (header & BPF_RINGBUF_BUSY_BIT)
			return 0;
		cursor += ring_step(header);
		atomic_store_explicit(&ring->cursor, cursor, memory_order_release);
		if (header & BPF_RINGBUF_DISCARD_BIT)
			continue;
		*ret_record = ring_data(ring, at + BPF_RINGBUF_HDR_SZ, header);
		*ret_length = header;
		return 1;
	}
	return 0;
}

uint64_t sonde_ring_position(const struct sonde_ring *ring)
{
	return atomic_load_explicit(&ring->cursor, memory_order_acquire);
}

void sonde_ring_commit(struct sonde_ring *ring, uint64_t position)
{
	if (position > *ring->consumer && position <= sonde_ring_position(ring))
		atomic_store_explicit(ring->consumer, position, memory_order_release);
}

size_t sonde_ring_used(const struct sonde_ring *ring)
{
	return atomic_load_explicit(ring->producer, memory_order_acquire) - *ring->consumer;
}

size_t sonde_ring_size(const struct sonde_ring *ring)
{
	return ring->size;
}

uint64_t sonde_ring_end(const struct sonde_ring *ring)
{
	return atomic_load_explicit(ring->producer, memory_order_acquire);
}

uint64_t sonde_ring_waiting(const struct sonde_ring *ring, uint64_t from)
{
	unsigned long producer = atomic_load_explicit(ring->producer, memory_order_acquire);
	uint64_t cursor, count;

	for (cursor = from, count = 0; cursor < producer && cursor - from <= ring->size; count++) {
		uint32_t header = ring_header(ring, cursor);

		if (header & BPF_RINGBUF_DISCARD_BIT)
			count--;
		cursor += ring_step(header);
	}
	return count;
}

/* The oldest record from `consumer` on. @return false: there is none. What it copies is nonsense if it is freed meanwhile. */
static bool ring_first(const struct sonde_ring *ring, uint64_t consumer, char *out, size_t size)
{
	unsigned long producer = atomic_load_explicit(ring->producer, memory_order_acquire);

	for (uint64_t at = consumer; at < producer && at - consumer <= ring->size;) {
		uint32_t header = ring_header(ring, at);

		if (header & (BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT) || header < size) {
			at += ring_step(header);
			continue;
		}
		for (size_t i = 0; i < size; i++)
			out[i] = ring->data[(at + BPF_RINGBUF_HDR_SZ + i) & (ring->size - 1)];
		return true;
	}
	return false;
}

int sonde_ring_oldest(const struct sonde_ring *ring, void *ret_start, size_t size)
{
	for (int tries = 0; tries < 8; tries++) {
		unsigned long consumer = atomic_load_explicit(ring->consumer, memory_order_acquire);
		bool found = ring_first(ring, consumer, ret_start, size);

		atomic_thread_fence(memory_order_acquire);
		if (consumer == atomic_load_explicit(ring->consumer, memory_order_relaxed))
			return found;
	}
	return -EAGAIN;
}

bool sonde_ring_sleep(struct sonde_ring *ring)
{
	if (!ring->control)
		return false;
	__atomic_store_n(&ring->control->reader_sleeping, 1, __ATOMIC_SEQ_CST);
	/* A hook reserves (moves the producer), passes a full barrier, then looks at the flag: one of us sees the other.
	 * A record that is reserved but not complete may have missed the flag, so it forbids sleep too. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(ring->producer, memory_order_acquire) == sonde_ring_position(ring))
		return true;
	sonde_ring_awake(ring);
	return false;
}

void sonde_ring_awake(struct sonde_ring *ring)
{
	if (ring->control)
		__atomic_store_n(&ring->control->reader_sleeping, 0, __ATOMIC_SEQ_CST);
}
