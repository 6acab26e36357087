/* SPDX-License-Identifier: Apache-2.0 */
/* Process table: a fixed array of entries, hashed by pid, each on one of two lists.
 *
 * Invariant: an entry in use is in its pid's chain and either on `living` (least recently used first) or on `exited` (oldest
 * first). Room comes from `exited` before it comes from `living`. Identity is (pid, start time): entries of an earlier
 * bearer of a pid are never given for a later one. Executables and arguments are shared between processes (texts.c), and
 * an entry never used costs no memory (calloc of untouched pages), so the size follows the number of processes. */
#include <enrich/processes.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/hash.h>
#include <enrich/texts.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define TEXT_BYTES_PER_PROCESS 144 /* on average; with the entry this makes 240 bytes, 15 MiB for 65,536 processes */
#define EXPIRE_AT_ONCE 8	   /* entries removed in one call: no hook waits for a pile of them */

struct entry {
	LIST_ENTRY(entry) chain;
	TAILQ_ENTRY(entry) order;
	uint64_t start_time_ns;
	uint64_t exited_ns; /* 0: lives */
	struct sonde_text *path, *arguments;
	uint32_t pid, parent_pid, uid;
	char command[SONDE_COMMAND_LENGTH];
};

LIST_HEAD(chain, entry);
TAILQ_HEAD(order, entry);

struct sonde_processes {
	pthread_mutex_t lock;
	struct entry *entries;
	struct chain *chains;
	struct order living, exited;
	struct chain unused; /* given back; entries from n_touched on were never used */
	uint32_t max, n_touched, n_chains;
	size_t max_text_bytes;
	struct sonde_texts *texts;
	uint64_t n, evicted;
};

/* What the last calls of this thread gave: a copy, because another thread may evict the entry at any time. */
struct answer {
	char command[SONDE_COMMAND_LENGTH];
	char path[SONDE_PROCESS_PATH_MAX + 1];
	char arguments[SONDE_PROCESS_ARGUMENTS_MAX + 1];
};
static _Thread_local struct answer answers[4];
static _Thread_local unsigned int next_answer;

int sonde_processes_new(uint32_t max, struct sonde_processes **ret_processes)
{
	CLEANUP(sonde_processes_free) struct sonde_processes *processes = calloc(1, sizeof(*processes));
	int r;

	if (!processes)
		return -ENOMEM;
	pthread_mutex_init(&processes->lock, NULL);
	TAILQ_INIT(&processes->living);
	TAILQ_INIT(&processes->exited);
	LIST_INIT(&processes->unused);
	processes->max = max;
	processes->max_text_bytes = (size_t)max * TEXT_BYTES_PER_PROCESS;
	for (processes->n_chains = 16; processes->n_chains < max; processes->n_chains *= 2)
		;
	processes->entries = calloc(max, sizeof(*processes->entries));
	processes->chains = calloc(processes->n_chains, sizeof(*processes->chains));
	if (!processes->entries || !processes->chains)
		return -ENOMEM;
	r = sonde_texts_new(&processes->texts);
	if (r < 0)
		return r;
	*ret_processes = TAKE_PTR(processes);
	return 0;
}

void sonde_processes_free(struct sonde_processes **processes)
{
	if (!*processes)
		return;
	sonde_texts_free(&(*processes)->texts);
	free((*processes)->entries);
	free((*processes)->chains);
	pthread_mutex_destroy(&(*processes)->lock);
	free(TAKE_PTR(*processes));
}

static struct chain *chain_of(struct sonde_processes *processes, uint32_t pid)
{
	return &processes->chains[sonde_hash_u64(pid) & (processes->n_chains - 1)];
}

static struct entry *entry_find(struct sonde_processes *processes, uint32_t pid, uint64_t start_time_ns)
{
	struct entry *entry;

	LIST_FOREACH(entry, chain_of(processes, pid), chain)
		if (entry->pid == pid && entry->start_time_ns == start_time_ns)
			return entry;
	return NULL;
}

static void entry_remove(struct sonde_processes *processes, struct entry *entry)
{
	LIST_REMOVE(entry, chain);
	TAILQ_REMOVE(entry->exited_ns ? &processes->exited : &processes->living, entry, order);
	sonde_text_unref(processes->texts, entry->path);
	sonde_text_unref(processes->texts, entry->arguments);
	LIST_INSERT_HEAD(&processes->unused, entry, chain);
	processes->n--;
}

/* Never the entry `kept`. False: there is nothing to evict. */
static bool evict_one(struct sonde_processes *processes, const struct entry *kept)
{
	struct entry *entry = TAILQ_FIRST(&processes->exited);

	if (entry && entry == kept)
		entry = TAILQ_NEXT(entry, order);
	if (!entry)
		entry = TAILQ_FIRST(&processes->living);
	if (entry && entry == kept)
		entry = TAILQ_NEXT(entry, order);
	if (!entry)
		return false;
	entry_remove(processes, entry);
	processes->evicted++;
	return true;
}

static void expire(struct sonde_processes *processes)
{
	uint64_t now = (uint64_t)sonde_clock_boot_ns();
	struct entry *entry;

	for (int i = 0; i < EXPIRE_AT_ONCE; i++) {
		entry = TAILQ_FIRST(&processes->exited);
		if (!entry || entry->exited_ns + SONDE_PROCESS_KEPT_NS > now)
			return;
		entry_remove(processes, entry);
	}
}

static void mark_exited(struct sonde_processes *processes, struct entry *entry, uint64_t time_ns)
{
	if (entry->exited_ns)
		return;
	TAILQ_REMOVE(&processes->living, entry, order);
	entry->exited_ns = time_ns ? time_ns : 1;
	TAILQ_INSERT_TAIL(&processes->exited, entry, order);
}

static void mark_used(struct sonde_processes *processes, struct entry *entry)
{
	if (entry->exited_ns)
		return;
	TAILQ_REMOVE(&processes->living, entry, order);
	TAILQ_INSERT_TAIL(&processes->living, entry, order);
}

static struct entry *entry_new(struct sonde_processes *processes, uint32_t pid, uint64_t start_time_ns)
{
	struct entry *entry, *other;

	/* A pid has one bearer at a time: the exit of an earlier one was lost. */
	LIST_FOREACH(other, chain_of(processes, pid), chain)
		if (other->pid == pid && other->start_time_ns < start_time_ns)
			mark_exited(processes, other, (uint64_t)sonde_clock_boot_ns());
	if (processes->n >= processes->max)
		evict_one(processes, NULL);
	entry = LIST_FIRST(&processes->unused);
	if (entry)
		LIST_REMOVE(entry, chain);
	else
		entry = &processes->entries[processes->n_touched++];
	*entry = (struct entry){.pid = pid, .start_time_ns = start_time_ns};
	LIST_INSERT_HEAD(chain_of(processes, pid), entry, chain);
	TAILQ_INSERT_TAIL(&processes->living, entry, order);
	processes->n++;
	return entry;
}

static int set_locked(struct sonde_processes *processes, const struct sonde_known_process *process)
{
	struct sonde_text *path, *arguments;
	struct entry *entry;

	path = sonde_text_ref(processes->texts, process->path, strnlen(process->path, SONDE_PROCESS_PATH_MAX));
	arguments = sonde_text_ref(processes->texts, process->arguments,
				   process->arguments_length < SONDE_PROCESS_ARGUMENTS_MAX ?
					   process->arguments_length :
					   SONDE_PROCESS_ARGUMENTS_MAX);
	if (!path || !arguments) {
		sonde_text_unref(processes->texts, path);
		sonde_text_unref(processes->texts, arguments);
		return -ENOMEM;
	}
	entry = entry_find(processes, process->pid, process->start_time_ns);
	if (!entry)
		entry = entry_new(processes, process->pid, process->start_time_ns);
	mark_used(processes, entry);
	sonde_text_unref(processes->texts, entry->path);
	sonde_text_unref(processes->texts, entry->arguments);
	entry->path = path;
	entry->arguments = arguments;
	entry->parent_pid = process->parent_pid;
	entry->uid = process->uid;
	memset(entry->command, 0, sizeof(entry->command));
	memcpy(entry->command, process->command, strnlen(process->command, sizeof(entry->command) - 1));
	while (sonde_texts_bytes(processes->texts) > processes->max_text_bytes)
		if (!evict_one(processes, entry))
			break;
	return 0;
}

int sonde_processes_set(struct sonde_processes *processes, const struct sonde_known_process *process)
{
	int r;

	pthread_mutex_lock(&processes->lock);
	expire(processes);
	r = set_locked(processes, process);
	pthread_mutex_unlock(&processes->lock);
	return r;
}

static void answer_fill(const struct entry *entry, struct sonde_known_process *ret_process)
{
	struct answer *answer = &answers[next_answer++ % ARRAY_SIZE(answers)];

	memcpy(answer->command, entry->command, sizeof(answer->command));
	memcpy(answer->path, entry->path->bytes, entry->path->length + 1);
	memcpy(answer->arguments, entry->arguments->bytes, entry->arguments->length + 1);
	*ret_process = (struct sonde_known_process){
		.start_time_ns = entry->start_time_ns,
		.pid = entry->pid,
		.parent_pid = entry->parent_pid,
		.uid = entry->uid,
		.command = answer->command,
		.path = answer->path,
		.arguments = answer->arguments,
		.arguments_length = entry->arguments->length,
	};
}

int sonde_processes_get(struct sonde_processes *processes, uint32_t pid, uint64_t start_time_ns,
			struct sonde_known_process *ret_process)
{
	struct entry *entry;

	pthread_mutex_lock(&processes->lock);
	entry = entry_find(processes, pid, start_time_ns);
	if (entry) {
		mark_used(processes, entry);
		answer_fill(entry, ret_process);
	}
	pthread_mutex_unlock(&processes->lock);
	return entry ? 0 : -ENOENT;
}

void sonde_processes_exit(struct sonde_processes *processes, uint32_t pid, uint64_t start_time_ns, uint64_t time_ns)
{
	struct entry *entry;

	pthread_mutex_lock(&processes->lock);
	entry = entry_find(processes, pid, start_time_ns);
	if (entry)
		mark_exited(processes, entry, time_ns);
	expire(processes);
	pthread_mutex_unlock(&processes->lock);
}

void sonde_processes_status(struct sonde_processes *processes, struct sonde_processes_status *ret_status)
{
	pthread_mutex_lock(&processes->lock);
	*ret_status = (struct sonde_processes_status){
		.processes = processes->n,
		.evicted = processes->evicted,
		.text_bytes = sonde_texts_bytes(processes->texts),
	};
	pthread_mutex_unlock(&processes->lock);
}
