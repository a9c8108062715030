/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walker's runs: which part of which table, and what the file has of what it says. */
#include "map.h"

#include "base/arith.h"
#include "base/diag.h"

/* So many slices in a row, and it is quicker to read tables as a whole. */
#define IN_ROW 3u

/* Where a run is looked for: the table's entries at hand, and the slice to give back. */
struct found {
	struct q2si_l2_part part; /* without @raw: there is no table, and @len bytes are absent */
	uint64_t len;
	struct q2si_slice *slice;
};

/* ---- whole tables -------------------------------------------------------------------------- */

/* An empty L1 entry at @guest: absent up to the next one that is not empty. */
static enum q2s_err
empty_measure(struct q2s_map *map, q2s_guest guest, uint64_t max, uint64_t *len,
	      struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &map->image->geom;
	const q2s_guest last = { guest.v + max - 1 };
	const uint64_t limit = q2s_l1_index(geom, last) + 1;
	uint64_t next = 0;

	*len = max;
	Q2SI_TRY(q2si_map_next_below(map, q2s_l1_index(geom, guest), limit, &next, diag));
	/* Behind the last entry there is nothing, however large the disk says it is. */
	if (next < limit && next < map->table.entries)
		*len = next * geom->l2_span - guest.v;
	return Q2S_OK;
}

static enum q2s_err
find_in_table(struct q2s_map *map, q2s_guest guest, uint64_t max, struct found *out,
	      struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &map->image->geom;
	struct q2s_l1_entry l1;
	const uint8_t *table;

	Q2SI_TRY(q2s_map_l2_table(map, q2s_l1_index(geom, guest), &l1, &table, diag));
	if (!table)
		return empty_measure(map, guest, max, &out->len, diag);
	out->part = q2si_l2_part(geom, l1.l2, geom->cluster_size, guest, max);
	out->part.raw = table;
	return Q2S_OK;
}

/* ---- slices -------------------------------------------------------------------------------- */

/* The L1 entry of @guest; where it is empty, *@len says how far the slice has none that is not. */
static enum q2s_err
l1_in_slice(struct q2s_map *map, q2s_guest guest, struct q2s_l1_entry *out, uint64_t *len,
	    struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &map->image->geom;
	const uint64_t index = q2s_l1_index(geom, guest);
	const q2s_host at = { map->table.at.v + index * Q2S_L1_ENTRY_SIZE };
	const uint32_t size = q2si_shared_slice(geom);
	const uint64_t in_slice = (size - (at.v & (size - 1))) / Q2S_L1_ENTRY_SIZE;
	struct q2si_slice *slice;
	const uint8_t *raw;
	enum q2s_err err;

	*out = (struct q2s_l1_entry){ 0 };
	*len = map->table.size - guest.v;
	if (index >= map->table.entries)
		return Q2S_OK;
	Q2SI_TRY(q2si_shared_get(map->shared, map->image->file, at.v, size, Q2SI_SLICE_L1, &slice,
				 &raw, diag));
	err = q2si_l1_entry_read(geom, raw, at, out, diag);
	if (err == Q2S_OK && out->l2.v == 0) {
		const uint64_t here = q2si_min(in_slice, map->table.entries - index);
		const uint64_t next = index + q2si_l1_skip(raw, here);

		if (next < map->table.entries)
			*len = next * geom->l2_span - guest.v;
	}
	q2si_shared_put(map->shared, slice);
	return err;
}

static enum q2s_err
find_in_slice(struct q2s_map *map, q2s_guest guest, uint64_t max, struct found *out,
	      struct q2s_diag *diag)
{
	const struct q2s_image *image = map->image;
	const uint32_t size = q2si_shared_slice(&image->geom);
	struct q2s_l1_entry l1;

	Q2SI_TRY(l1_in_slice(map, guest, &l1, &out->len, diag));
	if (l1.l2.v == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_image_holds(image, l1.l2, image->geom.cluster_size, "L2 table", diag));
	out->part = q2si_l2_part(&image->geom, l1.l2, size, guest, max);
	return q2si_shared_get(map->shared, image->file, out->part.at.v, size, Q2SI_SLICE_L2,
			       &out->slice, &out->part.raw, diag);
}

/* Does the reader go from slice to slice? Remembers that it was at @guest. */
static bool
is_in_row(struct q2s_map *map, q2s_guest guest)
{
	const struct q2s_geom *geom = &map->image->geom;
	const uint64_t entries = q2si_min(geom->l2_entries, Q2SI_SLICE_MAX / geom->l2_entry_size);
	const uint64_t slice = (guest.v >> geom->cluster_bits) / entries;

	if (slice == map->slice + 1 || (slice != map->slice && guest.v == map->end))
		map->in_row++;
	else if (slice != map->slice)
		map->in_row = 0;
	map->slice = slice;
	return map->in_row >= IN_ROW;
}

/* ---- runs ---------------------------------------------------------------------------------- */

static enum q2s_err
compressed_check(const struct q2s_map *map, const struct q2s_run *run, struct q2s_diag *diag)
{
	if (run->host.v < q2s_store_size_until(map->image->file, run->host.v + 1))
		return Q2S_OK;
	return q2si_image_ends(map->image, run->host, run->comp_bytes, "compressed cluster", diag);
}

/* Clip a data run to the clusters of which at least the first byte is in the file. */
static enum q2s_err
file_end_check(const struct q2s_map *map, struct q2s_run *run, struct q2s_diag *diag)
{
	const uint64_t cluster_size = map->image->geom.cluster_size;
	const q2s_host cluster = { q2si_round_down(run->host.v, cluster_size) };
	const uint64_t end =
		q2si_round_up(q2s_store_size_until(map->image->file, cluster.v + 1), cluster_size);

	if (cluster.v >= end)
		return q2si_image_ends(map->image, cluster, cluster_size, "data cluster", diag);
	run->len = q2si_min(run->len, end - run->host.v);
	return Q2S_OK;
}

static enum q2s_err
run_make(const struct q2s_map *map, q2s_guest guest, const struct found *found,
	 struct q2s_run *out, struct q2s_diag *diag)
{
	struct q2s_l2_entry entry;

	if (!found->part.raw) {
		*out = (struct q2s_run){ .len = found->len, .state = Q2S_ABSENT };
		return Q2S_OK;
	}
	Q2SI_TRY(q2si_l2_run(&found->part, guest, &entry, out, diag));
	out->once = out->once && map->active;
	if (out->compressed)
		return compressed_check(map, out, diag);
	Q2SI_TRY(q2si_identity_check(&found->part, guest, out, diag));
	if (map->image->geom.data_file || out->state != Q2S_DATA)
		return Q2S_OK;
	return file_end_check(map, out, diag);
}

static enum q2s_err
map_run(struct q2s_map *map, q2s_guest guest, uint64_t max, bool slices, struct q2s_run *out,
	struct q2s_diag *diag)
{
	struct found found = { 0 };
	struct q2s_run run;
	enum q2s_err err;

	if (guest.v >= map->table.size || max == 0)
		return q2si_fail(diag, Q2S_E_USAGE, "guest offset", Q2S_NOWHERE, guest.v,
				 "not on the disk");
	max = q2si_min(max, map->table.size - guest.v);
	Q2SI_TRY(slices ? find_in_slice(map, guest, max, &found, diag)
			: find_in_table(map, guest, max, &found, diag));
	err = run_make(map, guest, &found, &run, diag);
	if (found.slice)
		q2si_shared_put(map->shared, found.slice);
	if (err != Q2S_OK)
		return err;
	run.len = q2si_min(run.len, max);
	map->end = guest.v + run.len;
	*out = run;
	return Q2S_OK;
}

enum q2s_err
q2s_map_run(struct q2s_map *map, q2s_guest guest, uint64_t max, struct q2s_run *out,
	    struct q2s_diag *diag)
{
	return map_run(map, guest, max, false, out, diag);
}

enum q2s_err
q2si_map_run_near(struct q2s_map *map, q2s_guest guest, uint64_t max, struct q2s_run *out,
		  struct q2s_diag *diag)
{
	const bool at_hand = map->has_l2 && map->l2_index == q2s_l1_index(&map->image->geom, guest);
	const bool slices = map->shared && !is_in_row(map, guest) && !at_hand;

	return map_run(map, guest, max, slices, out, diag);
}
