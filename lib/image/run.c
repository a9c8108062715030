/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From L2 entries to maximal runs. A fully written terabyte has 16.7 million entries, of which
 * nearly all repeat their predecessor one cluster further on: those are compared as raw words, and
 * only where the pattern breaks is an entry decoded.
 */
#include "map.h"

#include <inttypes.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"

/* Where in an L2 table a run is being followed. */
struct place {
	const struct q2s_geom *geom;
	const uint8_t *table;
	q2s_host at;    /* of the table */
	uint32_t index; /* of the entry */
	uint32_t end;   /* no entry from here on matters */
};

static const uint8_t *
place_raw(const struct place *place)
{
	return place->table + (size_t)place->index * place->geom->l2_entry_size;
}

static enum q2s_err
place_decode(const struct place *place, struct q2s_l2_entry *out, struct q2s_diag *diag)
{
	const q2s_host at = { place->at.v + (uint64_t)place->index * place->geom->l2_entry_size };

	return q2s_l2_decode_lenient(place->geom, place_raw(place), at, out, diag);
}

/* How many subclusters of @entry from @sub on read as @state. */
static uint32_t
subs_alike(const struct q2s_geom *geom, const struct q2s_l2_entry *entry, enum q2s_state state,
	   uint32_t sub)
{
	uint32_t in_state, others;

	if (state == Q2S_DATA)
		in_state = entry->alloc;
	else if (state == Q2S_ZERO)
		in_state = entry->zero;
	else
		in_state = ~(entry->alloc | entry->zero);
	others = (~in_state & geom->sub_mask) >> sub;
	return others ? (uint32_t)__builtin_ctz(others) : geom->sub_count - sub;
}

/*
 * The number of entries at @raw, at most @max, of which each is the one before it plus @step;
 * @word is the one before the first.
 */
static uint32_t
words_repeat(const uint8_t *raw, uint32_t max, uint64_t word, uint64_t step)
{
	uint32_t n = 0;

	/* Four at a time, because a branch a word is what this loop would otherwise cost. */
	for (; n + 4 <= max; n += 4, word += 4 * step) {
		const uint8_t *at = raw + (size_t)n * Q2S_L2_ENTRY_SIZE;

		if ((q2si_get_be64(at) ^ (word + step)) | (q2si_get_be64(at + 8) ^ (word + 2 * step)) |
		    (q2si_get_be64(at + 16) ^ (word + 3 * step)) |
		    (q2si_get_be64(at + 24) ^ (word + 4 * step)))
			break;
	}
	while (n < max && q2si_get_be64(raw + (size_t)n * Q2S_L2_ENTRY_SIZE) == word + step) {
		word += step;
		n++;
	}
	return n;
}

/* The same for extended entries, whose bitmaps must all be @bitmap (in the file's byte order). */
static uint32_t
pairs_repeat(const uint8_t *raw, uint32_t max, uint64_t word, uint64_t step, const uint8_t *bitmap)
{
	const uint64_t same = q2si_get_be64(bitmap);
	uint32_t n = 0;

	for (; n < max; n++, raw += Q2S_L2X_ENTRY_SIZE) {
		word += step;
		if ((q2si_get_be64(raw) ^ word) | (q2si_get_be64(raw + 8) ^ same))
			break;
	}
	return n;
}

/*
 * The entry at @place reads alike in all its subclusters: the number of entries behind it that
 * repeat it, each one cluster further on in the host if it has a host cluster.
 */
static uint32_t
entries_repeat(const struct place *place, const struct q2s_l2_entry *entry)
{
	const uint32_t size = place->geom->l2_entry_size;
	const uint64_t step = entry->has_host ? place->geom->cluster_size : 0;
	const uint8_t *raw = place_raw(place);
	uint64_t max = place->end - place->index - 1;

	/* The sum must not leave the offset's bits, where it would look like flags. */
	if (step)
		max = q2si_min(max, (Q2S_HOST_OFFSET_LIMIT - 1 - entry->host.v) / step);
	if (!place->geom->extended)
		return words_repeat(raw + size, (uint32_t)max, q2si_get_be64(raw), step);
	return pairs_repeat(raw + size, (uint32_t)max, q2si_get_be64(raw), step, raw + 8);
}

/* Does @next, whose start is @clusters behind @first, continue a run of @state? */
static bool
continues(const struct q2s_geom *geom, const struct q2s_l2_entry *first, uint64_t clusters,
	  enum q2s_state state, const struct q2s_l2_entry *next)
{
	if (next->compressed || q2s_l2_state(next, 0) != state || next->has_host != first->has_host)
		return false;
	return !next->has_host || next->host.v == first->host.v + clusters * geom->cluster_size;
}

/*
 * The number of subclusters from @sub of the plain @first on that read alike and lie in a row. A
 * damaged entry ends the run before it: what lies before the damage can be read. @copied: of all.
 */
static uint64_t
run_measure(struct place *place, const struct q2s_l2_entry *first, uint32_t sub, bool *copied)
{
	const struct q2s_geom *geom = place->geom;
	const enum q2s_state state = q2s_l2_state(first, sub);
	const uint32_t start = place->index;
	struct q2s_l2_entry entry = *first;
	uint64_t subs = subs_alike(geom, first, state, sub);

	*copied = first->copied;
	if (sub + subs < geom->sub_count)
		return subs;
	for (;;) {
		uint32_t alike = subs_alike(geom, &entry, state, 0);

		if (alike == geom->sub_count) {
			const uint32_t n = entries_repeat(place, &entry);

			place->index += n;
			subs += (uint64_t)n * geom->sub_count;
		}
		if (++place->index >= place->end || place_decode(place, &entry, NULL) != Q2S_OK ||
		    !continues(geom, first, place->index - start, state, &entry))
			return subs;
		*copied = *copied && entry.copied;
		alike = subs_alike(geom, &entry, state, 0);
		subs += alike;
		if (alike < geom->sub_count)
			return subs;
	}
}

/* An empty L1 entry at @guest: absent up to the next one that is not empty. */
static enum q2s_err
run_empty(struct q2s_map *map, q2s_guest guest, uint64_t max, struct q2s_run *out,
	  struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &map->image->geom;
	const q2s_guest last = { guest.v + max - 1 };
	const uint64_t limit = q2s_l1_index(geom, last) + 1;
	uint64_t next = 0;

	*out = (struct q2s_run){ .len = max, .state = Q2S_ABSENT };
	Q2SI_TRY(q2si_map_next_below(map, q2s_l1_index(geom, guest), limit, &next, diag));
	/* Behind the last entry there is nothing, however large the disk says it is. */
	if (next < limit && next < map->table.entries)
		out->len = next * geom->l2_span - guest.v;
	return Q2S_OK;
}

static enum q2s_err
run_compressed(const struct q2s_map *map, q2s_guest guest, const struct q2s_l2_entry *entry,
	       struct q2s_run *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &map->image->geom;

	if (entry->comp_at.v >= q2s_file_size_until(map->image->file, entry->comp_at.v + 1))
		return q2si_image_ends(map->image, entry->comp_at, entry->comp_bytes,
				       "compressed cluster", diag);
	*out = (struct q2s_run){ .len = geom->cluster_size - q2s_in_cluster(geom, guest),
				 .state = Q2S_DATA,
				 .compressed = true,
				 .has_host = true,
				 .host = entry->comp_at,
				 .comp_bytes = entry->comp_bytes };
	return Q2S_OK;
}

/* In the external data file every cluster lies at its guest offset, or the image is wrong. */
static enum q2s_err
identity_check(const struct q2s_geom *geom, q2s_guest guest, const struct q2s_run *run,
	       q2s_host at, struct q2s_diag *diag)
{
	const uint64_t cluster = q2si_round_down(guest.v, geom->cluster_size);
	const uint64_t found = q2si_round_down(run->host.v, geom->cluster_size);

	if (found == cluster || (run->state != Q2S_DATA && found == 0))
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_OFFSET, "L2 entry", at, found,
			 "not the guest offset 0x%" PRIx64 ", as with a data file it must be",
			 cluster);
}

/* Clip a data run to the clusters of which at least the first byte is in the file. */
static enum q2s_err
file_end_check(const struct q2s_map *map, struct q2s_run *run, struct q2s_diag *diag)
{
	const uint64_t cluster_size = map->image->geom.cluster_size;
	const q2s_host cluster = { q2si_round_down(run->host.v, cluster_size) };
	const uint64_t end = q2si_round_up(q2s_file_size_until(map->image->file, cluster.v + 1),
					   cluster_size);

	if (cluster.v >= end)
		return q2si_image_ends(map->image, cluster, cluster_size, "data cluster", diag);
	run->len = q2si_min(run->len, end - run->host.v);
	return Q2S_OK;
}

static enum q2s_err
run_plain(const struct q2s_map *map, q2s_guest guest, struct place *place,
	  const struct q2s_l2_entry *entry, struct q2s_run *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = place->geom;
	const uint32_t sub = q2s_sub_index(geom, guest);
	const uint32_t in_sub = (uint32_t)guest.v & (geom->sub_size - 1);
	const q2s_host at = { place->at.v + (uint64_t)place->index * geom->l2_entry_size };
	bool copied;

	*out = (struct q2s_run){ .state = q2s_l2_state(entry, sub), .has_host = entry->has_host };
	if (entry->has_host)
		out->host.v = entry->host.v + q2s_in_cluster(geom, guest);
	if (geom->data_file && out->has_host)
		Q2SI_TRY(identity_check(geom, guest, out, at, diag));
	out->len = (run_measure(place, entry, sub, &copied) << geom->sub_bits) - in_sub;
	out->once = copied && out->state == Q2S_DATA && map->active;
	if (geom->data_file || out->state != Q2S_DATA)
		return Q2S_OK;
	return file_end_check(map, out, diag);
}

static enum q2s_err
run_find(struct q2s_map *map, q2s_guest guest, uint64_t max, struct q2s_run *out,
	 struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &map->image->geom;
	const uint32_t index = q2s_l2_index(geom, guest);
	const uint64_t wanted = (q2s_in_cluster(geom, guest) + max - 1) >> geom->cluster_bits;
	struct q2s_l1_entry l1;
	struct q2s_l2_entry entry;
	struct place place = { .geom = geom, .index = index };

	Q2SI_TRY(q2s_map_l2_table(map, q2s_l1_index(geom, guest), &l1, &place.table, diag));
	if (!place.table)
		return run_empty(map, guest, max, out, diag);
	place.at = l1.l2;
	place.end = (uint32_t)q2si_min(geom->l2_entries, index + wanted + 1);
	Q2SI_TRY(place_decode(&place, &entry, diag));
	if (entry.compressed)
		return run_compressed(map, guest, &entry, out, diag);
	return run_plain(map, guest, &place, &entry, out, diag);
}

enum q2s_err
q2s_map_run(struct q2s_map *map, q2s_guest guest, uint64_t max, struct q2s_run *out,
	    struct q2s_diag *diag)
{
	struct q2s_run run;

	if (guest.v >= map->table.size || max == 0)
		return q2si_fail(diag, Q2S_E_USAGE, "guest offset", Q2S_NOWHERE, guest.v,
				 "not on the disk");
	max = q2si_min(max, map->table.size - guest.v);
	Q2SI_TRY(run_find(map, guest, max, &run, diag));
	run.len = q2si_min(run.len, max);
	*out = run;
	return Q2S_OK;
}
