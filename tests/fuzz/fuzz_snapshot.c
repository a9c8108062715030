/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a snapshot record, in any kind of image. */
#include <q2s/format.h>

#include "../unit/geoms.h"
#include "fuzz.h"
#include "invariant.h"

static const q2s_host AT = { 0x50000 };

static bool
inside(const uint8_t *part, size_t len, const uint8_t *data, size_t size)
{
	return part >= data && (size_t)(part - data) <= size && len <= size - (size_t)(part - data);
}

/* What was decoded can be written, and reads the same but for extra data of the future. */
static void
check_round(const struct q2s_geom *geom, const struct q2s_snapshot *s)
{
	static uint8_t raw[128 + 2 * UINT16_MAX];
	struct q2s_snapshot again;
	size_t used, used_again;

	INVARIANT(q2s_snapshot_encode(geom, s, raw, sizeof(raw), &used, NULL) == Q2S_OK);
	INVARIANT(q2s_snapshot_decode(geom, raw, used, AT, &again, &used_again, NULL) == Q2S_OK);
	INVARIANT(used == used_again && used % 8 == 0);
	INVARIANT(s->l1_offset.v == again.l1_offset.v && s->l1_entries == again.l1_entries);
	INVARIANT(s->date_sec == again.date_sec && s->date_nsec == again.date_nsec);
	INVARIANT(s->vm_clock_nsec == again.vm_clock_nsec);
	INVARIANT(s->vm_state_size == again.vm_state_size);
	INVARIANT(!s->has_disk_size || s->disk_size == again.disk_size);
	INVARIANT(s->has_icount == again.has_icount && s->icount == again.icount);
	INVARIANT(s->id_len == again.id_len && memcmp(s->id, again.id, s->id_len) == 0);
	INVARIANT(s->name_len == again.name_len && memcmp(s->name, again.name, s->name_len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct q2s_snapshot s;
	struct q2s_diag diag = { 0 };
	struct q2s_geom geom;
	enum q2s_err err;
	size_t used = 0;

	if (!geom_at(eat_u16(&input) % GEOMS, 1 << 20, &geom))
		return 0;
	err = q2s_snapshot_decode(&geom, input.data, input.size, AT, &s, &used, &diag);
	judge(err, &diag);
	INVARIANT(used >= Q2S_SNAPSHOT_FIXED_SIZE);
	INVARIANT(err != Q2S_E_SHORT || used > input.size);
	if (err != Q2S_OK)
		return 0;
	INVARIANT(used < input.size + 8 && used % 8 == 0);
	INVARIANT(inside(s.id, s.id_len, input.data, input.size));
	INVARIANT(inside(s.name, s.name_len, input.data, input.size));
	INVARIANT(inside(s.extra, s.extra_size, input.data, input.size));
	check_round(&geom, &s);
	return 0;
}

size_t
fuzz_seed(unsigned int index, uint8_t *data, size_t capacity)
{
	const struct q2s_snapshot s = {
		.l1_offset = { 8 << 20 },
		.l1_entries = 2,
		.id = (const uint8_t *)"1",
		.id_len = 1,
		.name = (const uint8_t *)"before the upgrade",
		.name_len = 18,
		.vm_state_size = 1ull << 33,
		.has_icount = true,
	};
	const uint16_t kind = (uint16_t)index;
	struct q2s_geom geom;
	size_t used;

	if (index >= GEOMS || capacity < 2)
		return 0;
	memcpy(data, &kind, sizeof(kind));
	if (!geom_at(index, 1 << 20, &geom))
		return 2;
	INVARIANT(q2s_snapshot_encode(&geom, &s, data + 2, capacity - 2, &used, NULL) == Q2S_OK);
	return 2 + used;
}
