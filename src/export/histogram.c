/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram is three families: its buckets, which carry the head, its sum and its count. Invariant: once a set of labels is
 * seen, all its buckets are there, in order, each with all that is below it.
 */
#include <export/histogram.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <sonde/types.h>

#define INFINITE (SONDE_BUCKET_LAST + 1)

static struct sonde_family *part(struct sonde_families *families, const struct sonde_metric *metric, const char *suffix)
{
	char name[160];

	snprintf(name, sizeof(name), "sonde_%s%s", metric->name, suffix);
	return sonde_family_get(families, name, metric->doc ? metric->doc : "", false);
}

static int add(struct sonde_families *families, struct sonde_family *family, const char *labels, uint64_t value)
{
	bool is_new = false;
	struct sonde_series *series = family ? sonde_series_get(families, family, labels, false, &is_new) : NULL;

	if (!series)
		return -ENOSPC;
	series->real = false;
	series->integer = (is_new ? 0 : series->integer) + value;
	return 0;
}

static int add_seconds(struct sonde_families *families, struct sonde_family *family, const char *labels, uint64_t value_ns)
{
	bool is_new = false;
	struct sonde_series *series = family ? sonde_series_get(families, family, labels, false, &is_new) : NULL;

	if (!series)
		return -ENOSPC;
	series->real = true;
	series->number = (is_new ? 0 : series->number) + (double)value_ns / 1e9;
	return 0;
}

static int add_buckets(struct sonde_families *families, struct sonde_family *family, const char *labels, uint8_t from, uint64_t value)
{
	int r = family ? 0 : -ENOSPC;

	for (int i = SONDE_BUCKET_FIRST; !r && i <= INFINITE; i++) {
		char text[1024], bound[32] = "+Inf";

		if (i < INFINITE)
			snprintf(bound, sizeof(bound), "%.12g", ldexp(1, i) / 1e9);
		if ((size_t)snprintf(text, sizeof(text), "%s%sle=\"%s\"", labels, *labels ? "," : "", bound) >= sizeof(text))
			return -ENOSPC;
		r = add(families, family, text, i >= from ? value : 0);
	}
	return r;
}

int sonde_histogram_add(struct sonde_families *families, const struct sonde_metric *metric, const char *labels, uint8_t bucket,
			uint64_t value)
{
	/* Known in this order, so they follow each other on the page; each look-up may move the families. */
	struct sonde_family *buckets = part(families, metric, "_bucket");
	uint64_t count = bucket == SONDE_BUCKET_SUM ? 0 : value;
	int r;

	if (!buckets)
		return -ENOSPC;
	buckets->is_histogram = true;
	r = add_buckets(families, buckets, labels, bucket, count);
	for (int i = 0; !r && i < 2; i++) {
		struct sonde_family *family = part(families, metric, i ? "_count" : "_sum");

		if (!family)
			return -ENOSPC;
		family->is_part = true;
		r = i ? add(families, family, labels, count) : add_seconds(families, family, labels, value - count);
	}
	return r;
}
