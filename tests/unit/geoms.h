/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All legal kinds of image, for tests that a rule holds in each of them. */
#ifndef Q2S_TESTS_GEOMS_H
#define Q2S_TESTS_GEOMS_H

#include <q2s/format.h>

/* version x cluster_bits x refcount_order x extended x data_file, the illegal ones included */
#define GEOMS (2u * 13u * 7u * 2u * 2u)
/* v2: 13 cluster sizes; v3 standard: 13 * 7 widths * 2; v3 extended: 8 * 7 * 2 */
#define GEOMS_LEGAL (13u + 13u * 7u * 2u + 8u * 7u * 2u)

/* The parameters of combination @index, whether legal or not. */
static inline struct q2s_geom_params
geom_params(unsigned index, uint64_t size)
{
	struct q2s_geom_params p = { .size = size };

	p.version = 2 + index % 2;
	index /= 2;
	p.cluster_bits = 9 + index % 13;
	index /= 13;
	p.refcount_order = index % 7;
	index /= 7;
	p.extended = index % 2;
	p.data_file = index / 2;
	return p;
}

/* Combination @index; false when it is not a legal one. */
static inline bool
geom_at(unsigned index, uint64_t size, struct q2s_geom *out)
{
	const struct q2s_geom_params params = geom_params(index, size);

	return q2s_geom_init(&params, out, NULL) == Q2S_OK;
}

/* A version 3 image with 16-bit refcounts, as most are. */
static inline struct q2s_geom
geom_v3(uint32_t cluster_bits, bool extended, bool data_file)
{
	const struct q2s_geom_params params = {
		.version = 3,
		.cluster_bits = cluster_bits,
		.refcount_order = 4,
		.extended = extended,
		.data_file = data_file,
		.size = 1 << 20,
	};
	struct q2s_geom geom = { 0 };

	q2s_geom_init(&params, &geom, NULL);
	return geom;
}

#endif
