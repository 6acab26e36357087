/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file addresses.h
 * The names that processes were told for addresses, until they run out. Bounded in entries and in bytes of text: what was told
 * longest ago goes first.
 *
 * A name holds for who asked, and for its cgroup. It is never taken from elsewhere: the same address has other names for
 * others, and behind another network namespace it is another host.
 *
 * Threads: any.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sonde/program.h>

#define SONDE_NAME_TTL_MIN_NS 5000000000ll
#define SONDE_NAME_TTL_MAX_NS (86400 * 1000000000ll)
#define SONDE_NAME_BYTES_MAX 255 /* that are kept of it */

struct sonde_addresses;

/** Who tells names as it reads of answers, one after the other. */
struct sonde_name_teller {
	uint64_t (*end)(void *userdata);  /* of what there is to read now; any thread */
	uint64_t (*read)(void *userdata); /* how far all is told; any thread */
	void *userdata;
};
#define SONDE_NAME_TELLERS_MAX 8

struct sonde_addresses_status {
	uint64_t names;	  /* now, those that ran out included as long as nothing needs their room */
	uint64_t evicted; /* removed before their time: no room */
	uint64_t text_bytes;
};

/** @param max Entries; each answer of an address takes two, one for the process and one for its cgroup. */
int sonde_addresses_new(uint32_t max, struct sonde_addresses **ret_addresses);
void sonde_addresses_free(struct sonde_addresses **addresses);
/** @return 0, -ENOMEM: not remembered. */
int sonde_addresses_set(struct sonde_addresses *addresses, const struct sonde_header *asker, const struct sonde_known_name *name);
/**
 * @brief What the process of an event knew the address by at the event's own time.
 * @return NULL: nothing. Otherwise a copy, valid until this thread has been given 256 more.
 */
const char *sonde_addresses_name(struct sonde_addresses *addresses, const struct sonde_header *event,
				 const uint8_t address[16]);
/** May anybody know it by a name? False is sure. */
bool sonde_addresses_has(struct sonde_addresses *addresses, const uint8_t address[16]);
/** @return 0, -ENOSPC: its names count, but nobody waits for them. */
int sonde_addresses_add_teller(struct sonde_addresses *addresses, const struct sonde_name_teller *teller);
void sonde_addresses_remove_teller(struct sonde_addresses *addresses, const void *userdata);
/**
 * @brief Before events are looked at: wait until everything is told that happened before now; a second at most.
 * @param touch Called while it waits: a sign of life. @return Whether it is; not so: names may be missing or an answer old.
 */
bool sonde_addresses_settle(struct sonde_addresses *addresses, void (*touch)(void *userdata), void *userdata);
void sonde_addresses_status(struct sonde_addresses *addresses, struct sonde_addresses_status *ret_status);
