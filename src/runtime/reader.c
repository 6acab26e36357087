/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader thread of a source. Two ways of waiting, like NAPI: asleep, the next record's hook wakes it; while records come
 * fast, nobody is woken and it looks every POLL_NS. A wake-up costs the traced task some 7 us and a look costs this thread
 * some 2.5 us, so looking is cheaper from about 600 records/s on, and it is not the workload that pays.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>
#include <runtime/source_private.h>

#define POLL_NS 400000		/* p99 from hook to stream stays below 1 ms */
/* While nobody watches and the ring fills slowly: each look costs the same. Longer with a large ring: a burst of 200 MB/s that
 * begins meanwhile finds room for its first quarter. */
#define POLL_SLOW_NS(ring_bytes) ((int64_t)(ring_bytes) * 5 / 4)
#define POLL_SLOW_LEAST_NS 2000000
#define POLL_SLOW_MOST_NS 10000000
#define POLL_SLOW_PART 16	/* slowly: less than this part of the ring in one look */
#define HOLD_NS 20000000	/* a batch that is not full is kept for more, while nobody watches */
#define HOLD_PART 16		/* and while it is less than this part of the ring, which may be a small one */
#define BUSY_NS 2000000		/* woken again within this: stay awake; nothing found for this: sleep */
#define NARROW_MS 1000		/* asleep for so long: the memory that a busy ring takes is given back */
#define TICK_MIN_NS 10000000
#define TICK_EVENTS 1000

/* The record that stands at the batch's end becomes its next event. */
static void reader_event(struct sonde_source *source, struct sonde_batch_full *batch, const struct sonde_type *type,
			 size_t length, int64_t wall_offset, const char *label)
{
	struct sonde_header *header = (struct sonde_header *)(batch->records + batch->bytes);

	if (header->cgroup_id != source->cached_cgroup) {
		source->cached_cgroup = header->cgroup_id;
		source->cached_container = source->enrich ? sonde_enrich_container(source->enrich, header->cgroup_id) : NULL;
	}
	batch->events[batch->batch.n++] = (struct sonde_event){
		.type = type,
		.record = header,
		.length = (uint32_t)length,
		.time_ns = (int64_t)header->time_ns + wall_offset,
		.container = source->cached_container,
		.source = label,
	};
	batch->bytes += (length + 7) & ~(size_t)7;
}

/* What stands behind the NUL of a text that ends the record says nothing: of a path of 256 bytes most is that. */
static size_t reader_length(const struct sonde_type *type, const void *record, size_t length)
{
	const struct sonde_column *last = &type->columns[type->n_columns - 1];

	if (!last->is_chars || last->length_offset >= 0 || last->offset + last->size != type->size || length <= last->offset)
		return length;
	return last->offset + strnlen((const char *)record + last->offset, length - last->offset - 1) + 1;
}

/* Turn one record into an event of the batch. The record in the ring is read once: nothing can change it, but what is
 * checked is what is used. */
static void reader_add(struct sonde_source *source, struct sonde_batch_full *batch, const void *record, size_t length,
		       int64_t wall_offset)
{
	struct sonde_header *header = (struct sonde_header *)(batch->records + batch->bytes);
	bool has_hook = source->hooks && source->hooks->record;
	const struct sonde_type *type;

	batch->consumed++;
	if (length < sizeof(*header) || length > SONDE_RECORD_MAX) {
		batch->invalid++;
		return;
	}
	memcpy(header, record, length);
	if (has_hook && source->hooks->record(&source->context, header, &length) != 1)
		header->type = SONDE_INNER_TYPE; /* which is no event */
	type = sonde_schema_type(source->schema, header->type);
	if (!type || length > type->size) {
		batch->invalid++;
		return;
	}
	if (!has_hook) /* which says itself how long it made the record */
		length = reader_length(type, header, length);
	reader_event(source, batch, type, length, wall_offset, "ebpf");
}

/* What the program's tick() found. */
static int reader_emit(void *userdata, const struct sonde_header *record, size_t length, const char *label)
{
	struct sonde_source *source = userdata;
	struct sonde_batch_full *batch = source->ticking;
	const struct sonde_type *type;
	struct sonde_header *header;

	if (!batch)
		return -EPERM;
	type = sonde_schema_type(source->schema, record->type);
	if (!type || length < sizeof(*header) || length > type->size)
		return -EINVAL;
	if (batch->batch.n == TICK_EVENTS || batch->bytes + length + 8 > SONDE_BATCH_BYTES)
		return -ENOBUFS;
	header = (struct sonde_header *)(batch->records + batch->bytes);
	memcpy(header, record, length);
	header->sequence = (source->made + batch->batch.n) | SONDE_SEQUENCE_MADE << 48;
	reader_event(source, batch, type, length, sonde_clock_wall_offset_ns(), label);
	return 0;
}

static void reader_touch(void *userdata)
{
	sonde_source_touch(userdata);
}

static bool reader_is_watched(const struct sonde_source *source)
{
	return source->is_watched && source->is_watched(source->userdata);
}

static void reader_deliver(struct sonde_source *source)
{
	if (!source->open)
		return;
	if (source->shows_names && source->context.addresses)
		sonde_addresses_settle(source->context.addresses, reader_touch, source);
	source->deliver(source, TAKE_PTR(source->open), source->userdata);
	source->progress_ns = sonde_clock_boot_ns();
}

static void reader_deliver_made(struct sonde_source *source)
{
	struct sonde_batch_full *batch = source->ticking;

	source->ticking = NULL;
	if (!batch->batch.n) {
		sonde_batch_unref(&batch->batch);
		return;
	}
	batch->position = sonde_ring_position(source->ring);
	source->pending += batch->batch.n;
	source->made += batch->batch.n;
	sonde_source_made_waits(source);
	source->deliver(source, batch, source->userdata);
}

/* @return ms until the next tick, -1: there is none. */
static int reader_tick(struct sonde_source *source)
{
	const struct sonde_program_hooks *hooks = source->hooks;
	int64_t now = sonde_clock_boot_ns(), left;

	if (!hooks || !hooks->tick || !hooks->tick_ns)
		return -1;
	if (now >= source->next_tick_ns) {
		source->next_tick_ns = now + (int64_t)(hooks->tick_ns < TICK_MIN_NS ? TICK_MIN_NS : hooks->tick_ns);
		source->ticking = sonde_batch_new();
		if (source->ticking) {
			reader_deliver(source); /* what was read before goes before */
			source->cached_cgroup = UINT64_MAX;
			hooks->tick(&source->context, (__u64)now);
			reader_deliver_made(source);
		}
	}
	left = (source->next_tick_ns - sonde_clock_boot_ns()) / SONDE_NS_PER_MS + 1;
	return left < 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

static bool reader_has_room(const struct sonde_batch_full *batch)
{
	return batch->batch.n < SONDE_BATCH_EVENTS && batch->consumed < 2 * SONDE_BATCH_EVENTS &&
	       batch->bytes + SONDE_RECORD_MAX <= SONDE_BATCH_BYTES;
}

/* A batch to fill. It holds up everything while there is no memory: the cursor has moved, and this record must not be lost. */
static void reader_open(struct sonde_source *source)
{
	while (!(source->open = sonde_batch_new()))
		usleep(10000);
	source->open_since_ns = sonde_clock_boot_ns();
	source->open_position = sonde_ring_position(source->ring);
}

/* What is there now, into the open batch, as far as it has room. @return number of records. */
static uint32_t reader_collect(struct sonde_source *source)
{
	int64_t wall_offset = sonde_clock_wall_offset_ns();
	const void *record;
	uint32_t before;
	size_t length;

	if (sonde_ring_next(source->ring, &record, &length) != 1) {
		source->read_position = sonde_ring_position(source->ring);
		return 0;
	}
	if (!source->open)
		reader_open(source);
	before = source->open->consumed;
	source->cached_cgroup = UINT64_MAX; /* names may have become known since the last look */
	do {
		reader_add(source, source->open, record, length, wall_offset);
	} while (reader_has_room(source->open) && sonde_ring_next(source->ring, &record, &length) == 1);
	source->open->position = source->read_position = sonde_ring_position(source->ring);
	source->pending += source->open->consumed - before;
	source->consumed += source->open->consumed - before;
	return source->open->consumed - before;
}

static uint64_t reader_end(void *userdata)
{
	const struct sonde_source *source = userdata;

	return sonde_ring_end(source->ring);
}

static uint64_t reader_read(void *userdata)
{
	const struct sonde_source *source = userdata;

	return source->read_position;
}

/* All that is there now. @return number of records. */
static uint64_t reader_drain(struct sonde_source *source)
{
	uint64_t n = 0;
	uint32_t got;

	while ((got = reader_collect(source))) {
		n += got;
		if (!reader_has_room(source->open))
			reader_deliver(source);
	}
	source->progress_ns = sonde_clock_boot_ns();
	/* Each delivery wakes the writer: while nobody watches and it holds little of the ring, it may as well wait for more. */
	if (source->open && (reader_is_watched(source) || source->progress_ns - source->open_since_ns >= HOLD_NS ||
			     source->read_position - source->open_position >= sonde_ring_size(source->ring) / HOLD_PART))
		reader_deliver(source);
	return n;
}

static void reader_nap(const struct sonde_source *source, uint64_t bytes)
{
	size_t size = sonde_ring_size(source->ring);
	struct timespec nap = {.tv_nsec = POLL_NS};

	if (bytes < size / POLL_SLOW_PART && !reader_is_watched(source)) {
		nap.tv_nsec = POLL_SLOW_NS(size) < POLL_SLOW_MOST_NS ? POLL_SLOW_NS(size) : POLL_SLOW_MOST_NS;
		nap.tv_nsec = nap.tv_nsec > POLL_SLOW_LEAST_NS ? nap.tv_nsec : POLL_SLOW_LEAST_NS;
	}
	clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

/* Until the next record's hook, or sonde_source_look() where that failed; asleep, a reader costs nothing. */
static void reader_sleep(struct sonde_source *source, int sleep_ms)
{
	struct epoll_event events[2];

	if (sonde_ring_is_wide(source->ring) && (sleep_ms < 0 || sleep_ms > NARROW_MS))
		sleep_ms = NARROW_MS;
	source->asleep = true;
	if (!epoll_wait(source->epoll_fd, events, 2, sleep_ms))
		sonde_ring_narrow(source->ring);
	source->progress_ns = sonde_clock_boot_ns();
	source->asleep = false;
	sonde_ring_awake(source->ring);
}

static void *reader_main(void *userdata)
{
	struct sonde_source *source = userdata;
	int64_t since_ns, found_ns = 0; /* when records were found last */
	bool polls = false;
	int sleep_ms;

	/* The default slack of 50 us on top of each nap is a tenth of the nap. */
	prctl(PR_SET_TIMERSLACK, 1000);
	while (!source->stopping) {
		uint64_t start = sonde_ring_position(source->ring), n = reader_drain(source);
		uint64_t bytes = sonde_ring_position(source->ring) - start;

		sleep_ms = reader_tick(source);
		since_ns = source->progress_ns - found_ns;
		if (n) {
			polls |= since_ns < BUSY_NS;
			found_ns = source->progress_ns;
		} else if (since_ns >= BUSY_NS) {
			polls = false;
		}
		if (polls) {
			reader_nap(source, bytes);
			continue;
		}
		reader_deliver(source);
		if (!sonde_ring_sleep(source->ring)) {
			if (!n) /* something is reserved but not complete: that takes nanoseconds */
				reader_nap(source, bytes);
			continue;
		}
		reader_sleep(source, sleep_ms);
	}
	reader_drain(source);
	reader_deliver(source);
	if (source->hooks && source->hooks->stop)
		source->hooks->stop(&source->context);
	return NULL;
}

int sonde_source_start(struct sonde_source *source)
{
	/* Edge-triggered: the ring stays "readable" until a commit, which comes much later than the reading. */
	struct epoll_event ring = {.events = EPOLLIN | EPOLLET}, wake = {.events = EPOLLIN | EPOLLET};
	char thread_name[16]; /* the kernel's limit */
	int r;

	source->progress_ns = sonde_clock_boot_ns();
	source->context.emit = reader_emit;
	source->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	source->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (source->epoll_fd < 0 || source->wake_fd < 0 ||
	    epoll_ctl(source->epoll_fd, EPOLL_CTL_ADD, source->ring_fd, &ring) ||
	    epoll_ctl(source->epoll_fd, EPOLL_CTL_ADD, source->wake_fd, &wake))
		return -errno;
	source->read_position = sonde_ring_position(source->ring);
	r = pthread_create(&source->thread, NULL, reader_main, source);
	if (r)
		return -r;
	if (source->hooks && source->hooks->tells_names && source->context.addresses)
		(void)sonde_addresses_add_teller(source->context.addresses, &(struct sonde_name_teller){
			.end = reader_end, .read = reader_read, .userdata = source});
	snprintf(thread_name, sizeof(thread_name), "read:%.10s", source->name);
	(void)pthread_setname_np(source->thread, thread_name);
	source->running = true;
	return 0;
}

void sonde_source_stop(struct sonde_source *source)
{
	if (!source->running)
		return;
	if (source->context.addresses)
		sonde_addresses_remove_teller(source->context.addresses, source);
	source->stopping = true;
	eventfd_write(source->wake_fd, 1);
	pthread_join(source->thread, NULL);
	source->running = false;
}
