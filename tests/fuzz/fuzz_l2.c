/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any 16 bytes as an L1, L2, refcount table or bitmap table entry, in any kind of image. */
#include <q2s/format.h>

#include "../unit/geoms.h"
#include "fuzz.h"
#include "invariant.h"

static const q2s_host AT = { 0x50000 };

static bool
same(const struct q2s_l2_entry *a, const struct q2s_l2_entry *b)
{
	return a->compressed == b->compressed && a->copied == b->copied &&
	       a->has_host == b->has_host && a->host.v == b->host.v && a->alloc == b->alloc &&
	       a->zero == b->zero && a->comp_at.v == b->comp_at.v &&
	       a->comp_bytes == b->comp_bytes;
}

/* What holds for every decoded entry. */
static void
check_legal(const struct q2s_geom *geom, const struct q2s_l2_entry *e)
{
	if (e->compressed) {
		INVARIANT(!geom->data_file);
		INVARIANT(e->comp_bytes > 0 && (e->comp_at.v + e->comp_bytes) % 512 == 0);
		INVARIANT(e->comp_bytes <= 2 * geom->cluster_size);
		return;
	}
	INVARIANT(e->host.v % geom->cluster_size == 0 && e->host.v < Q2S_HOST_OFFSET_LIMIT);
	INVARIANT((e->alloc & e->zero) == 0 && ((e->alloc | e->zero) & ~geom->sub_mask) == 0);
	INVARIANT(e->has_host || (e->alloc == 0 && e->host.v == 0 && !e->copied));
	INVARIANT(geom->version > 2 || e->zero == 0);
}

/* What was decoded can be written, and means the same again. */
static void
check_round(const struct q2s_geom *geom, const struct q2s_l2_entry *entry)
{
	struct q2s_l2_entry again;
	uint8_t raw[16];

	check_legal(geom, entry);
	INVARIANT(q2s_l2_encode(geom, entry, raw, NULL) == Q2S_OK);
	INVARIANT(q2s_l2_decode(geom, raw, AT, &again, NULL) == Q2S_OK);
	INVARIANT(same(entry, &again));
}

static void
check_bytes(const struct q2s_geom *geom, const uint8_t *raw)
{
	struct q2s_l2_entry strict, lenient;
	struct q2s_diag diag = { 0 }, second = { 0 };
	const enum q2s_err err = q2s_l2_decode(geom, raw, AT, &strict, &diag);
	const enum q2s_err tolerant = q2s_l2_decode_lenient(geom, raw, AT, &lenient, &second);

	judge(err, &diag);
	judge(tolerant, &second);
	if (tolerant == Q2S_OK)
		check_round(geom, &lenient);
	if (err != Q2S_OK)
		return;
	check_round(geom, &strict);
	INVARIANT(tolerant == Q2S_OK && same(&strict, &lenient));
}

/* Whatever a caller asks to be written is refused, or read back as asked. */
static void
check_request(const struct q2s_geom *geom, struct input *input)
{
	const uint16_t flags = eat_u16(input);
	const uint64_t host_mask = flags & 8 ? UINT64_MAX : -(uint64_t)geom->cluster_size;
	const struct q2s_l2_entry asked = {
		.compressed = flags & 1,
		.copied = flags & 2,
		.has_host = flags & 4,
		.host = { eat_u64(input) & host_mask },
		.alloc = (uint32_t)eat_u64(input) & (flags & 16 ? UINT32_MAX : geom->sub_mask),
		.zero = (uint32_t)eat_u64(input) & (flags & 32 ? UINT32_MAX : geom->sub_mask),
		.comp_at = { eat_u64(input) >> (flags >> 8) % 64 },
		.comp_bytes = (uint32_t)eat_u64(input) >> (flags >> 6) % 32,
	};
	struct q2s_l2_entry got, expected = asked;
	struct q2s_diag diag = { 0 };
	uint8_t raw[16];
	const enum q2s_err err = q2s_l2_encode(geom, &asked, raw, &diag);

	judge(err, &diag);
	if (err != Q2S_OK)
		return;
	INVARIANT(q2s_l2_decode(geom, raw, AT, &got, NULL) == Q2S_OK);
	if (asked.compressed) {
		expected.host.v = 0; /* without has_host it means nothing */
		expected.comp_bytes += (uint32_t)(-(asked.comp_at.v + asked.comp_bytes) % 512);
	} else {
		expected.comp_at.v = 0;
		expected.comp_bytes = 0;
	}
	INVARIANT(same(&expected, &got));
}

static void
check_other_tables(const struct q2s_geom *geom, const uint8_t *raw)
{
	struct q2s_bitmap_table_entry bits;
	struct q2s_l1_entry l1, l1_again;
	uint8_t again[8];
	q2s_host block;

	if (q2s_l1_decode(geom, raw, AT, &l1, NULL) == Q2S_OK) {
		INVARIANT(q2s_l1_encode(geom, &l1, again, NULL) == Q2S_OK);
		INVARIANT(q2s_l1_decode(geom, again, AT, &l1_again, NULL) == Q2S_OK);
		INVARIANT(l1.l2.v == l1_again.l2.v && l1.copied == l1_again.copied);
	}
	if (q2s_reftable_decode(geom, raw, AT, &block, NULL) == Q2S_OK) {
		INVARIANT(q2s_reftable_encode(geom, block, again, NULL) == Q2S_OK);
		INVARIANT(memcmp(raw, again, 8) == 0);
	}
	if (q2s_bitmap_table_decode(geom, raw, AT, &bits, NULL) == Q2S_OK) {
		INVARIANT(q2s_bitmap_table_encode(geom, &bits, again, NULL) == Q2S_OK);
		INVARIANT(memcmp(raw, again, 8) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct q2s_geom geom;
	uint8_t raw[16];

	if (!geom_at(eat_u16(&input) % GEOMS, 0, &geom))
		return 0;
	eat(&input, raw, sizeof(raw));
	check_bytes(&geom, raw);
	check_other_tables(&geom, raw);
	check_request(&geom, &input);
	return 0;
}

/* Per kind of image an entry with few bits set: noise alone hardly ever has no reserved one. */
size_t
fuzz_seed(unsigned int index, uint8_t *data, size_t capacity)
{
	static const uint8_t descs[][8] = {
		{ 0x80, 0, 0, 0, 0, 0x60, 0, 0 },
		{ 0x40, 0x40, 0, 0, 0, 0x05, 0x01, 0x23 },
		{ 0, 0, 0, 0, 0, 0, 0, 1 },
	};
	const unsigned kinds = sizeof(descs) / sizeof(descs[0]);
	const uint16_t kind = (uint16_t)(index / kinds);

	if (kind >= GEOMS || capacity < 70)
		return 0;
	memset(data, 0, 70);
	memcpy(data, &kind, sizeof(kind));
	memcpy(data + 2, descs[index % kinds], 8);
	data[18] = (uint8_t)(index % 8);             /* flags of the request */
	data[22] = 0x60;                             /* host */
	data[28] = 0x0f;                             /* alloc */
	data[44] = 1;                                /* comp_at */
	data[53] = 2;                                /* comp_bytes */
	return 70;
}
