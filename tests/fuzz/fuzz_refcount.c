/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any sequence of changes to a refcount block against a plain array; any size of a file. */
#include <q2s/format.h>

#include "../unit/geoms.h"
#include "fuzz.h"
#include "invariant.h"

enum { BLOCK = 512, COUNTS_MAX = 4096 };

struct state {
	struct q2s_geom geom;
	uint8_t block[BLOCK];
	uint64_t model[COUNTS_MAX];
};

static void
change(struct state *s, struct input *input)
{
	const uint16_t index = eat_u16(input), n = eat_u16(input) % (COUNTS_MAX + 2);
	const uint64_t count = eat_u64(input) >> (index % 64);
	const bool legal = count <= s->geom.refcount_max && index <= s->geom.block_entries &&
			   n <= s->geom.block_entries - index;
	struct q2s_diag diag = { 0 };
	enum q2s_err err;

	if (n == 1)
		err = q2s_refcount_set(&s->geom, s->block, index, count, &diag);
	else
		err = q2s_refcount_fill(&s->geom, s->block, index, n, count, &diag);
	judge(err, &diag);
	INVARIANT((err == Q2S_OK) == legal);
	for (uint32_t i = 0; legal && i < n; i++)
		s->model[index + i] = count;
}

static void
check_size(const struct q2s_geom *geom, uint64_t others)
{
	struct q2s_refcount_size size;
	struct q2s_diag diag = { 0 };
	const enum q2s_err err = q2s_refcount_size_solve(geom, others, &size, &diag);
	uint64_t total;

	judge(err, &diag);
	if (err != Q2S_OK)
		return;
	total = others + size.blocks + size.table_clusters;
	INVARIANT(size.blocks * geom->block_entries >= total);
	INVARIANT(size.table_clusters * (geom->cluster_size / 8) >= size.blocks);
	INVARIANT(total <= Q2S_HOST_OFFSET_LIMIT >> geom->cluster_bits);
	INVARIANT(size.table_clusters << geom->cluster_bits <= Q2S_REFTABLE_MAX_BYTES);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct state s = { 0 };
	struct q2s_geom geom;

	if (geom_at(eat_u16(&input) % GEOMS, 0, &geom))
		check_size(&geom, eat_u64(&input) >> eat_u16(&input) % 64);
	INVARIANT(q2s_geom_init(&(struct q2s_geom_params){ .version = 3, .cluster_bits = 9,
							   .refcount_order = eat_u16(&input) % 7 },
				&s.geom, NULL) == Q2S_OK);
	while (input.size > 0)
		change(&s, &input);
	for (uint32_t i = 0; i < s.geom.block_entries; i++)
		INVARIANT(q2s_refcount_get(&s.geom, s.block, i) == s.model[i]);
	return 0;
}
