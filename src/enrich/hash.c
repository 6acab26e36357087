/* SPDX-License-Identifier: Apache-2.0 */
/* The seed of the hash tables. */
#include <enrich/hash.h>

#include <base/clock.h>
#include <sys/random.h>

uint64_t sonde_hash_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)sonde_clock_wall_ns();
	return seed;
}
