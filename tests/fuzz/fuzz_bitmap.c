/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a record of the bitmap directory, in any kind of image. */
#include <q2s/format.h>

#include "../unit/geoms.h"
#include "fuzz.h"
#include "invariant.h"

static const q2s_host AT = { 0x70000 };

static bool
inside(const uint8_t *part, size_t len, const uint8_t *data, size_t size)
{
	return part >= data && (size_t)(part - data) <= size && len <= size - (size_t)(part - data);
}

/* What was decoded is written as the same bytes, padding apart. */
static void
check_round(const struct q2s_geom *geom, const struct q2s_bitmap *b, const uint8_t *data)
{
	const size_t cap = Q2S_BITMAP_FIXED_SIZE + b->extra_size + b->name_len + 8;
	uint8_t *raw = malloc(cap);
	size_t used;

	INVARIANT(raw);
	INVARIANT(q2s_bitmap_encode(geom, b, raw, cap, &used, NULL) == Q2S_OK);
	INVARIANT(used < cap && used % 8 == 0);
	INVARIANT(memcmp(raw, data, cap - 8) == 0);
	free(raw);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct q2s_diag diag = { 0 };
	struct q2s_bitmap b;
	struct q2s_geom geom;
	enum q2s_err err;
	size_t used = 0;

	if (!geom_at(eat_u16(&input) % GEOMS, 1 << 20, &geom))
		return 0;
	err = q2s_bitmap_decode(&geom, input.data, input.size, AT, &b, &used, &diag);
	judge(err, &diag);
	INVARIANT(used >= Q2S_BITMAP_FIXED_SIZE && used <= Q2S_BITMAP_DIRECTORY_MAX_BYTES);
	INVARIANT(err != Q2S_E_SHORT || used > input.size);
	if (err != Q2S_OK)
		return 0;
	INVARIANT(used < input.size + 8 && used % 8 == 0);
	INVARIANT(inside(b.name, b.name_len, input.data, input.size));
	INVARIANT(inside(b.extra, b.extra_size, input.data, input.size));
	check_round(&geom, &b, input.data);
	return 0;
}

size_t
fuzz_seed(unsigned int index, uint8_t *data, size_t capacity)
{
	const struct q2s_bitmap b = {
		.table_offset = { 8 << 20 },
		.table_entries = 1,
		.flags = Q2S_BITMAP_AUTO | Q2S_BITMAP_EXTRA_COMPATIBLE,
		.type = 1,
		.granularity_bits = 16,
		.name = (const uint8_t *)"backup",
		.name_len = 6,
		.extra = (const uint8_t *)"more",
		.extra_size = 4,
	};
	const uint16_t kind = (uint16_t)index;
	struct q2s_geom geom;
	size_t used;

	if (index >= GEOMS || capacity < 2)
		return 0;
	memcpy(data, &kind, sizeof(kind));
	if (!geom_at(index, 1 << 20, &geom))
		return 2;
	INVARIANT(q2s_bitmap_encode(&geom, &b, data + 2, capacity - 2, &used, NULL) == Q2S_OK);
	return 2 + used;
}
