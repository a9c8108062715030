/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A random extended L2 entry of every kind, and a small image round it. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "common/fault.h"
#include "inspect/quiz.h"

#define DISK_SIZE (1ull << 30)
#define L1_CLUSTER 3u
#define L2_CLUSTER 4u
#define DATA_CLUSTER 5u
#define DATA_CLUSTERS 0x800u

/* splitmix64: a seed gives the same numbers on every machine. */
static uint64_t
draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint32_t
below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)(draw(state) % limit);
}

static enum q2s_err
make_geometry(uint64_t *state, struct quiz *out, struct q2s_diag *diag)
{
	const uint32_t bits = 14 + below(state, 5);

	out->header = (struct q2s_header){
		.version = 3,
		.cluster_bits = bits,
		.size = DISK_SIZE,
		.refcount_table_offset = { 1ull << bits },
		.refcount_table_clusters = 1,
		.l1_table_offset = { (uint64_t)L1_CLUSTER << bits },
		.incompatible_features = Q2S_INCOMPAT_EXTENDED_L2,
		.refcount_order = 4,
		.header_length = 112,
	};
	const enum q2s_err err = q2s_header_geom(&out->header, &out->geom, diag);

	out->header.l1_size = (uint32_t)out->geom.l1_entries;
	return err;
}

/* Runs of subclusters look like what machines write; single bits are for those who count. */
static uint32_t
draw_bits(uint64_t *state)
{
	const uint32_t first = below(state, 32), len = 1 + below(state, 32 - first);
	const uint32_t run = (uint32_t)(((1ull << len) - 1) << first);

	return below(state, 3) ? run : (uint32_t)draw(state);
}

/* A legal entry. */
static struct q2s_l2_entry
draw_entry(const struct q2s_geom *geom, uint64_t *state)
{
	struct q2s_l2_entry entry = { 0 };
	const uint64_t cluster = DATA_CLUSTER + below(state, DATA_CLUSTERS);

	switch (below(state, 8)) {
	case 0: /* compressed */
		entry.compressed = true;
		entry.comp_at.v =
			(cluster << geom->cluster_bits) + below(state, geom->cluster_size);
		entry.comp_bytes = 1 + below(state, geom->cluster_size / 2);
		return entry;
	case 1: /* without a cluster */
		entry.zero = draw_bits(state);
		return entry;
	case 2: /* preallocated */
		entry.zero = below(state, 2) ? draw_bits(state) : 0;
		break;
	default:
		entry.alloc = draw_bits(state);
		entry.zero = draw_bits(state) & ~entry.alloc;
		break;
	}
	entry.has_host = true;
	entry.host.v = cluster << geom->cluster_bits;
	entry.copied = below(state, 3) != 0;
	return entry;
}

/* Break one rule of the entry in @raw. */
static void
break_entry(const struct q2s_geom *geom, uint64_t *state, uint8_t *raw)
{
	const uint32_t sub = below(state, 32);
	uint64_t desc = q2si_get_be64(raw), map = q2si_get_be64(raw + 8);

	switch (below(state, 3)) {
	case 0: /* both bits of a subcluster */
		map |= 1ull << sub | 1ull << (32 + sub);
		break;
	case 1: /* allocated, and there is no cluster */
		map = (map | 1ull << sub) & ~(1ull << (32 + sub));
		desc = 0;
		break;
	default: /* a cluster where none begins */
		desc = (desc & ~Q2S_ENTRY_COMPRESSED) | geom->cluster_size / 2 |
		       (uint64_t)DATA_CLUSTER << geom->cluster_bits;
	}
	q2si_put_be64(raw, desc);
	q2si_put_be64(raw + 8, map);
}

static void
solve(struct quiz *quiz)
{
	const struct q2s_geom *const geom = &quiz->geom;
	static const char *const states[] = {
		[Q2S_ABSENT] = "unallocated", [Q2S_ZERO] = "zero", [Q2S_DATA] = "data"
	};
	struct q2s_l2_entry entry;

	quiz->host = Q2S_NOWHERE;
	quiz->state = "invalid";
	if (q2s_l2_decode_lenient(geom, quiz->raw, quiz->at, &entry, NULL) != Q2S_OK)
		return;
	quiz->copied = entry.copied;
	quiz->state = entry.compressed
			      ? "compressed"
			      : states[q2s_l2_state(&entry, q2s_sub_index(geom, quiz->byte))];
	if (entry.compressed)
		quiz->host = entry.comp_at;
	else if (entry.has_host)
		quiz->host.v = entry.host.v + q2s_in_cluster(geom, quiz->byte);
}

enum q2s_err
quiz_make(uint64_t seed, struct quiz *out, struct q2s_diag *diag)
{
	uint64_t state = seed;
	struct q2s_l2_entry entry;
	uint32_t index;
	enum q2s_err err;

	*out = (struct quiz){ 0 };
	err = make_geometry(&state, out, diag);
	if (err != Q2S_OK)
		return err;
	index = below(&state, out->geom.l2_entries);
	out->at.v = ((uint64_t)L2_CLUSTER << out->geom.cluster_bits) +
		    (uint64_t)index * Q2S_L2X_ENTRY_SIZE;
	out->guest.v = (uint64_t)index << out->geom.cluster_bits;
	out->byte.v = out->guest.v + below(&state, out->geom.cluster_size);
	entry = draw_entry(&out->geom, &state);
	err = q2s_l2_encode(&out->geom, &entry, out->raw, diag);
	if (err == Q2S_OK && below(&state, 6) == 0)
		break_entry(&out->geom, &state, out->raw);
	solve(out);
	return err;
}

/* ---- the image round it ------------------------------------------------------------------ */

/* 8 or 16 bytes of a table. */
static enum q2s_err
put_number(struct q2s_store *store, uint64_t at, uint64_t value, struct q2s_diag *diag)
{
	uint8_t raw[8];

	q2si_put_be64(raw, value);
	return q2s_store_write(store, at, raw, sizeof(raw), diag);
}

/* The refcount of the cluster, as COPIED says. */
static enum q2s_err
put_count(const struct quiz *quiz, struct q2s_store *store, uint64_t cluster, struct q2s_diag *diag)
{
	const uint8_t count[2] = { 0, quiz->copied || quiz->state[0] == 'c' ? 1 : 2 };
	const uint64_t block = 2ull << quiz->geom.cluster_bits;

	return q2s_store_write(store, block + 2 * cluster, count, sizeof(count), diag);
}

static enum q2s_err
fill(const struct quiz *quiz, struct q2s_store *store, struct q2s_diag *diag)
{
	const uint32_t bits = quiz->geom.cluster_bits;
	uint8_t header[112];
	enum q2s_err err = q2s_header_encode(&quiz->header, header, sizeof(header), diag);

	if (err == Q2S_OK)
		err = q2s_store_set_length(
			store, (uint64_t)(DATA_CLUSTER + DATA_CLUSTERS + 1) << bits, diag);
	if (err == Q2S_OK)
		err = q2s_store_write(store, 0, header, sizeof(header), diag);
	if (err == Q2S_OK)
		err = put_number(store, 1ull << bits, 2ull << bits, diag);
	if (err == Q2S_OK)
		err = put_number(store, (uint64_t)L1_CLUSTER << bits,
				 Q2S_ENTRY_COPIED | (uint64_t)L2_CLUSTER << bits, diag);
	if (err == Q2S_OK)
		err = q2s_store_write(store, quiz->at.v, quiz->raw, sizeof(quiz->raw), diag);
	if (err == Q2S_OK && quiz->host.v != Q2S_NOWHERE.v)
		err = put_count(quiz, store, quiz->host.v >> bits, diag);
	return err;
}

enum q2s_err
quiz_image(const struct quiz *quiz, struct q2s_store **out, struct q2s_diag *diag)
{
	enum q2s_err err = q2s_store_memory(NULL, 0, "quiz", out, diag);

	if (err != Q2S_OK)
		return err;
	err = fill(quiz, *out, diag);
	if (err != Q2S_OK) {
		q2s_store_unref(*out);
		*out = NULL;
	}
	return err;
}
