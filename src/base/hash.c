/* SPDX-License-Identifier: Apache-2.0 */
/* The seed of the hash tables. */
#include <base/hash.h>

#include <pthread.h>
#include <sys/random.h>

static uint64_t seed;

static void seed_make(void)
{
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uintptr_t)&seed;
}

uint64_t sonde_hash_seed(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, seed_make);
	return seed;
}
