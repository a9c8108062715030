/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the walker has at hand: a part of the L1 table and one L2 table, whatever the image. */
#include "map.h"

#include <stdlib.h>

#include <q2s/http.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "io/store.h"

#define SLICE_BYTES 65536u
#define SLICE_ENTRIES (SLICE_BYTES / Q2S_L1_ENTRY_SIZE)

enum q2s_err
q2si_map_open_shared(struct q2s_image *image, const struct q2s_l1_table *l1,
		     struct q2si_shared *shared, struct q2s_map **out, struct q2s_diag *diag)
{
	struct q2s_map *map;

	Q2SI_TRY(q2si_l1_check(image, l1, diag));
	map = calloc(1, sizeof(*map));
	if (!map)
		return q2si_fail_nomem(diag, "map");
	map->image = image;
	map->table = *l1;
	map->active = l1->at.v == q2s_image_active_l1(image).at.v;
	map->shared = shared;
	map->slice = UINT64_MAX; /* so that the first one is in a row with it */
	*out = map;
	return Q2S_OK;
}

enum q2s_err
q2s_map_open(struct q2s_image *image, const struct q2s_l1_table *l1, struct q2s_map **out,
	     struct q2s_diag *diag)
{
	return q2si_map_open_shared(image, l1, NULL, out, diag);
}

void
q2s_map_close(struct q2s_map *map)
{
	if (!map)
		return;
	q2si_decoder_free(&map->decoder);
	free(map->l1);
	free(map->l2);
	free(map);
}

/* Buffers are made when they are needed: who reads slices only never does. */
static enum q2s_err
buffer_ready(uint8_t **buffer, size_t size, struct q2s_diag *diag)
{
	if (!*buffer)
		*buffer = malloc(size);
	return *buffer ? Q2S_OK : q2si_fail_nomem(diag, "map");
}

/* Have the slice with entry @index, which is below the number of entries. */
static enum q2s_err
slice_load(struct q2s_map *map, uint64_t index, struct q2s_diag *diag)
{
	const uint64_t first = q2si_round_down(index, SLICE_ENTRIES);
	const uint64_t count = q2si_min(map->table.entries - first, SLICE_ENTRIES);
	const q2s_host at = { map->table.at.v + first * Q2S_L1_ENTRY_SIZE };

	if (map->l1_count > 0 && map->l1_first == first)
		return Q2S_OK;
	map->l1_count = 0;
	Q2SI_TRY(buffer_ready(&map->l1, SLICE_BYTES, diag));
	Q2SI_TRY(q2si_image_read(map->image, at, map->l1, count * Q2S_L1_ENTRY_SIZE, "L1 table",
				 diag));
	map->l1_first = first;
	map->l1_count = count;
	return Q2S_OK;
}

enum q2s_err
q2si_map_next_below(struct q2s_map *map, uint64_t index, uint64_t limit, uint64_t *out,
		    struct q2s_diag *diag)
{
	limit = q2si_min(limit, map->table.entries);
	while (index < limit) {
		Q2SI_TRY(slice_load(map, index, diag));
		index += q2si_l1_skip(map->l1 + (index - map->l1_first) * Q2S_L1_ENTRY_SIZE,
				      map->l1_first + map->l1_count - index);
		if (index < map->l1_first + map->l1_count)
			break;
	}
	*out = q2si_min(index, limit);
	return Q2S_OK;
}

enum q2s_err
q2s_map_next_table(struct q2s_map *map, uint64_t index, uint64_t *out, struct q2s_diag *diag)
{
	return q2si_map_next_below(map, index, map->table.entries, out, diag);
}

/* Bytes of tables, and tables, that are asked for before they are read, where the image lies on a server. */
#define BYTES_AHEAD (4u << 20)
#define TABLES_AHEAD 64u

/* Whoever goes from table to table will want the next ones, as far as this slice tells. */
static void
announce(struct q2s_map *map, uint64_t index)
{
	const bool goes_on = map->has_l2 && map->l2_index < index;
	const uint64_t end = map->l1_first + map->l1_count;
	const uint32_t most = (uint32_t)q2si_min(BYTES_AHEAD / map->image->geom.cluster_size, TABLES_AHEAD);

	if (!goes_on || !q2s_store_is_remote(map->image->file))
		return;
	for (unsigned announced = 0; announced < most; announced++, index++) {
		struct q2s_l1_entry entry;
		const uint8_t *raw = map->l1 + (index - map->l1_first) * Q2S_L1_ENTRY_SIZE;

		index += q2si_l1_skip(raw, end - index);
		if (index >= end)
			return;
		raw = map->l1 + (index - map->l1_first) * Q2S_L1_ENTRY_SIZE;
		if (q2si_l1_entry_read(&map->image->geom, raw,
				       (q2s_host){ map->table.at.v + index * Q2S_L1_ENTRY_SIZE },
				       &entry, NULL) == Q2S_OK)
			q2si_store_will_look(map->image->file, entry.l2.v,
					     map->image->geom.cluster_size);
	}
}

enum q2s_err
q2s_map_l2_table(struct q2s_map *map, uint64_t index, struct q2s_l1_entry *entry,
		 const uint8_t **table, struct q2s_diag *diag)
{
	struct q2s_l1_entry found = { 0 };

	*table = NULL;
	*entry = found;
	if (index >= map->table.entries)
		return Q2S_OK;
	Q2SI_TRY(slice_load(map, index, diag));
	Q2SI_TRY(q2si_l1_entry_read(&map->image->geom,
			       map->l1 + (index - map->l1_first) * Q2S_L1_ENTRY_SIZE,
			       (q2s_host){ map->table.at.v + index * Q2S_L1_ENTRY_SIZE }, &found,
			       diag));
	if (found.l2.v == 0)
		return Q2S_OK;
	if (!map->has_l2 || map->l2_index != index) {
		announce(map, index);
		map->has_l2 = false;
		Q2SI_TRY(buffer_ready(&map->l2, map->image->geom.cluster_size, diag));
		Q2SI_TRY(q2si_image_read(map->image, found.l2, map->l2,
					 map->image->geom.cluster_size, "L2 table", diag));
		map->l2_index = index;
		map->has_l2 = true;
	}
	*entry = found;
	*table = map->l2;
	return Q2S_OK;
}
