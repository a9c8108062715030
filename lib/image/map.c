/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walker's caches: a slice of the L1 table and one L2 table, whatever the image. */
#include "map.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"

#define SLICE_BYTES 65536u
#define SLICE_ENTRIES (SLICE_BYTES / Q2S_L1_ENTRY_SIZE)

enum q2s_err
q2s_map_open(struct q2s_image *image, const struct q2s_l1_table *l1, struct q2s_map **out,
	     struct q2s_diag *diag)
{
	struct q2s_map *map;

	Q2SI_TRY(q2si_l1_check(image, l1, diag));
	map = calloc(1, sizeof(*map));
	if (!map)
		return q2si_fail_nomem(diag, "map");
	map->image = image;
	map->table = *l1;
	map->active = l1->at.v == q2s_image_active_l1(image).at.v;
	map->l1 = malloc(SLICE_BYTES);
	map->l2 = malloc(image->geom.cluster_size);
	if (!map->l1 || !map->l2) {
		q2s_map_close(map);
		return q2si_fail_nomem(diag, "map");
	}
	*out = map;
	return Q2S_OK;
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
	Q2SI_TRY(q2si_image_read(map->image, at, map->l1, count * Q2S_L1_ENTRY_SIZE, "L1 table",
				 diag));
	map->l1_first = first;
	map->l1_count = count;
	return Q2S_OK;
}

/* Raw entries without an offset are empty, whatever their other bits, as in QEMU. */
static bool
is_empty(const uint8_t *raw)
{
	return (q2si_get_be64(raw) & Q2S_ENTRY_HOST_MASK) == 0;
}

/* Index within the slice of the first entry from @i on that is not empty, or its length. */
static uint64_t
slice_skip(const struct q2s_map *map, uint64_t i)
{
	const uint64_t mask = htobe64(Q2S_ENTRY_HOST_MASK);

	for (; i < map->l1_count; i++) {
		uint64_t raw;

		memcpy(&raw, map->l1 + i * Q2S_L1_ENTRY_SIZE, sizeof(raw));
		if (raw & mask)
			break;
	}
	return i;
}

enum q2s_err
q2si_map_next_below(struct q2s_map *map, uint64_t index, uint64_t limit, uint64_t *out,
		    struct q2s_diag *diag)
{
	limit = q2si_min(limit, map->table.entries);
	while (index < limit) {
		Q2SI_TRY(slice_load(map, index, diag));
		index = map->l1_first + slice_skip(map, index - map->l1_first);
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

/* QEMU masks the reserved bits of an L1 entry when it reads; only a check reports them. */
static enum q2s_err
l1_entry_decode(const struct q2s_map *map, uint64_t index, struct q2s_l1_entry *out,
		struct q2s_diag *diag)
{
	const uint8_t *raw = map->l1 + (index - map->l1_first) * Q2S_L1_ENTRY_SIZE;
	const q2s_host at = { map->table.at.v + index * Q2S_L1_ENTRY_SIZE };
	uint8_t clean[Q2S_L1_ENTRY_SIZE];

	q2si_put_be64(clean, q2si_get_be64(raw) & (Q2S_ENTRY_HOST_MASK | Q2S_ENTRY_COPIED));
	return q2s_l1_decode(&map->image->geom, clean, at, out, diag);
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
	if (is_empty(map->l1 + (index - map->l1_first) * Q2S_L1_ENTRY_SIZE))
		return Q2S_OK;
	Q2SI_TRY(l1_entry_decode(map, index, &found, diag));
	if (!map->has_l2 || map->l2_index != index) {
		map->has_l2 = false;
		Q2SI_TRY(q2si_image_read(map->image, found.l2, map->l2,
					 map->image->geom.cluster_size, "L2 table", diag));
		map->l2_index = index;
		map->has_l2 = true;
	}
	*entry = found;
	*table = map->l2;
	return Q2S_OK;
}
