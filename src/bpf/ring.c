/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring buffer consumer with separate reading and freeing. Layout of the map (kernel/bpf/ringbuf.c): a page with the
 * consumer position (writable), a page with the producer position, then the data, twice in a row, so that a record that
 * wraps is in one piece. The pages are the kernel's, but each one that is mapped counts as memory of this process too: of the data
 * only a window is mapped, and it moves with the cursor; each move takes some 100 us, so where they follow each other fast, all is
 * mapped until the reader has nothing to do. Invariant: consumer position <= cursor <= producer position.
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
#include <base/clock.h>

#define WINDOW_BYTES (256ul << 10)
#define FAST_NS (250 * SONDE_NS_PER_MS) /* a move within this after the last one */
#define VIEW_BYTES 16384ul
#define DATA_OFFSET(ring) (2 * (off_t)(ring)->page)

struct sonde_ring {
	_Atomic unsigned long *consumer;
	const _Atomic unsigned long *producer;
	int fd;
	size_t page, size;
	char *window; /* the reader's; NULL: there is none */
	size_t window_at, window_bytes; /* where in the data; a record that begins in so many bytes is whole in it */
	int64_t moved_ns; /* boot time */
	_Atomic uint64_t cursor; /* written by the reader only */
	struct sonde_control *control;
};

static void *ring_map(int fd, size_t length, int protection, off_t offset)
{
	void *area = mmap(NULL, length, protection, MAP_SHARED, fd, offset);

	return area == MAP_FAILED ? NULL : area;
}

/* A record begins before the window's end: room for its header and the record. The smallest ring has no more than its data twice. */
static size_t window_length(const struct sonde_ring *ring)
{
	size_t length = (ring->window_bytes + BPF_RINGBUF_HDR_SZ + SONDE_RECORD_MAX + ring->page - 1) / ring->page * ring->page;

	return length < 2 * ring->size ? length : 2 * ring->size;
}

static void window_close(struct sonde_ring *ring)
{
	if (ring->window)
		munmap(ring->window, window_length(ring));
	ring->window = NULL;
}

/* It shows the record at `position`. */
static int window_move(struct sonde_ring *ring, uint64_t position)
{
	size_t at = position & (ring->size - 1);
	int64_t now;

	if (ring->window && at - ring->window_at < ring->window_bytes)
		return 0;
	window_close(ring);
	now = sonde_clock_boot_ns();
	ring->window_bytes = ring->size < WINDOW_BYTES || now - ring->moved_ns < FAST_NS ? ring->size : WINDOW_BYTES;
	ring->window_at = at & ~(ring->window_bytes - 1);
	ring->window = ring_map(ring->fd, window_length(ring), PROT_READ, DATA_OFFSET(ring) + (off_t)ring->window_at);
	ring->moved_ns = now;
	return ring->window ? 0 : -errno;
}

bool sonde_ring_is_wide(const struct sonde_ring *ring)
{
	return ring->window && ring->window_bytes > WINDOW_BYTES;
}

void sonde_ring_narrow(struct sonde_ring *ring)
{
	if (sonde_ring_is_wide(ring))
		window_close(ring);
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
	ring->fd = map_fd;
	ring->consumer = ring_map(map_fd, ring->page, PROT_READ | PROT_WRITE, 0);
	if (ring->consumer)
		ring->producer = ring_map(map_fd, ring->page, PROT_READ, (off_t)ring->page);
	if (ring->producer && control_fd >= 0)
		ring->control = ring_map(control_fd, ring->page, PROT_READ | PROT_WRITE, 0);
	if (!ring->producer || (control_fd >= 0 && !ring->control))
		r = -errno;
	if (r < 0) {
		sonde_ring_free(&ring);
		return r;
	}
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
		munmap((void *)(uintptr_t)ring->producer, ring->page);
	if (ring->consumer)
		munmap((void *)ring->consumer, ring->page);
	window_close(ring);
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

/* Header of the record there, or 0 with the busy bit: not complete. */
static uint32_t header_at(const void *at)
{
	return atomic_load_explicit((const _Atomic uint32_t *)at, memory_order_acquire);
}

static uint64_t ring_step(uint32_t header)
{
	uint64_t length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

	return (length + BPF_RINGBUF_HDR_SZ + 7) & ~7ull;
}

int sonde_ring_next(struct sonde_ring *ring, const void **ret_record, size_t *ret_length)
{
	uint64_t cursor = atomic_load_explicit(&ring->cursor, memory_order_relaxed);
	unsigned long producer = atomic_load_explicit(ring->producer, memory_order_acquire);
	uint32_t header;

	while (cursor < producer) {
		const char *at;

		if (window_move(ring, cursor) < 0)
			return 0;
		at = ring->window + ((cursor & (ring->size - 1)) - ring->window_at);
		header = header_at(at);
		if (header & BPF_RINGBUF_BUSY_BIT)
			return 0;
		cursor += ring_step(header);
		atomic_store_explicit(&ring->cursor, cursor, memory_order_release);
		if (header & BPF_RINGBUF_DISCARD_BIT)
			continue;
		*ret_record = at + BPF_RINGBUF_HDR_SZ;
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

/* ---- what stands in the ring, seen by any thread: the window is the reader's ---- */

struct view {
	char *pages;
	size_t length, skip;
	uint64_t from, end;
};

static void view_close(struct view *view)
{
	if (view->pages)
		munmap(view->pages, view->length);
	view->pages = NULL;
}

/* @param bytes At most the ring's size. */
static bool view_open(const struct sonde_ring *ring, uint64_t from, size_t bytes, struct view *view)
{
	size_t first = from & (ring->size - 1);

	view->skip = first & (ring->page - 1);
	view->length = view->skip + bytes;
	view->from = from;
	view->end = from + bytes;
	view->pages = ring_map(ring->fd, view->length, PROT_READ, DATA_OFFSET(ring) + (off_t)(first - view->skip));
	return view->pages;
}

static const char *view_at(const struct view *view, uint64_t position)
{
	return view->pages + view->skip + (position - view->from);
}

uint64_t sonde_ring_waiting(const struct sonde_ring *ring, uint64_t from)
{
	unsigned long producer = atomic_load_explicit(ring->producer, memory_order_acquire);
	CLEANUP(view_close) struct view view = {};
	uint64_t cursor = from, count = 0;

	if (from >= producer || producer - from > ring->size || !view_open(ring, from, producer - from, &view))
		return 0;
	for (; cursor < producer; count++) {
		uint32_t header = header_at(view_at(&view, cursor));

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
	size_t piece = VIEW_BYTES < ring->size ? VIEW_BYTES : ring->size;
	CLEANUP(view_close) struct view view = {};
	uint32_t header;

	for (uint64_t at = consumer; at < producer && at - consumer <= ring->size; at += ring_step(header)) {
		if (!view.pages || at + BPF_RINGBUF_HDR_SZ + size > view.end) {
			view_close(&view);
			if (!view_open(ring, at, piece, &view))
				return false;
		}
		header = header_at(view_at(&view, at));
		if (header & (BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT) || header < size)
			continue;
		memcpy(out, view_at(&view, at) + BPF_RINGBUF_HDR_SZ, size);
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
