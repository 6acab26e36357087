/* SPDX-License-Identifier: Apache-2.0 */
#include <runtime/ledger.h>

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

void sonde_ledger_balance(struct sonde_ledger *l)
{
	l->residual = (int64_t)(
		apart(l->entered, l->denied + l->throttled + l->sampled_out + l->map_full + l->ring_full + l->submitted) +
		apart(l->submitted, l->consumed + l->in_ring) +
		apart(l->consumed + l->made, l->stored + l->invalid + l->limited + l->queue_dropped + l->pending) +
		apart(l->stored, l->readable + l->expired));
}
