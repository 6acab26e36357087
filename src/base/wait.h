/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file wait.h Waiting on a condition for a span of time. glibc knows no CLOCK_BOOTTIME here (EINVAL, at once). */

#include <pthread.h>
#include <time.h>

#include <base/clock.h>

/** @return 0 or ETIMEDOUT; the lock is held again either way. A negative span does not wait. */
static inline int sonde_cond_wait_for(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ns)
{
	struct timespec at;
	int64_t until;

	clock_gettime(CLOCK_MONOTONIC, &at);
	until = at.tv_sec * SONDE_NS_PER_S + at.tv_nsec + (ns > 0 ? ns : 0);
	at = (struct timespec){.tv_sec = until / SONDE_NS_PER_S, .tv_nsec = until % SONDE_NS_PER_S};
	return pthread_cond_clockwait(condition, lock, CLOCK_MONOTONIC, &at);
}
