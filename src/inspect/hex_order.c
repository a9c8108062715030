/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order of the file: metadata sorted by place, and which clusters between hold guest data. */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "common/fault.h"
#include "inspect/hex.h"

/* ---- metadata ---------------------------------------------------------------------------- */

/** A list being filled. */
struct filling {
	struct structure_list list;
	uint64_t file_size;
};

static enum q2s_err
make_room(struct structure_list *list, struct q2s_diag *diag)
{
	const size_t cap = list->cap ? 2 * list->cap : 64;
	struct q2s_structure *more;

	if (list->count < list->cap)
		return Q2S_OK;
	if (list->count == HEX_STRUCTURES_MAX)
		return fault(diag, Q2S_E_LIMIT, "hex",
			     "more than %u structures, which are too many to sort; `dump` shows "
			     "them in another order",
			     HEX_STRUCTURES_MAX);
	more = realloc(list->list, cap * sizeof(*more));
	if (!more)
		return fault_nomem(diag, "list of structures");
	list->list = more;
	list->cap = cap;
	return Q2S_OK;
}

static enum q2s_err
add(void *opaque, const struct q2s_structure *it, struct q2s_diag *diag)
{
	struct filling *const filling = opaque;
	enum q2s_err err;

	if (it->at.v >= filling->file_size)
		return Q2S_OK;
	err = make_room(&filling->list, diag);
	if (err == Q2S_OK)
		filling->list.list[filling->list.count++] = *it;
	return err;
}

static int
by_place(const void *a, const void *b)
{
	const struct q2s_structure *const x = a, *const y = b;

	if (x->at.v != y->at.v)
		return x->at.v < y->at.v ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->owner < y->owner ? -1 : x->owner > y->owner;
}

enum q2s_err
structure_list_fill(const struct subject *subject, struct structure_list *out,
		    struct q2s_diag *diag)
{
	struct filling filling = { .file_size = q2s_store_size(subject->file) };
	const struct q2s_walk_options how = { .size = sizeof(how),
					      .structure = add, .opaque = &filling };
	const enum q2s_err err = q2s_walk(subject->opened, &how, diag);

	*out = filling.list;
	if (err != Q2S_OK)
		structure_list_free(out);
	else
		qsort(out->list, out->count, sizeof(*out->list), by_place);
	return err;
}

void
structure_list_free(struct structure_list *list)
{
	free(list->list);
	*list = (struct structure_list){ 0 };
}

/* ---- guest data -------------------------------------------------------------------------- */

#define WINDOW_CLUSTERS (1ull << 26) /* 8 MiB of bits */

enum q2s_err
used_map_open(const struct subject *subject, struct used_map *out, struct q2s_diag *diag)
{
	const uint64_t clusters =
		q2si_div_up(q2s_store_size(subject->file), subject->geom->cluster_size);

	*out = (struct used_map){ .subject = subject };
	out->bits = malloc((size_t)q2si_div_up(q2si_min(clusters, WINDOW_CLUSTERS), 8));
	return out->bits || clusters == 0 ? Q2S_OK : fault_nomem(diag, "map of clusters");
}

void
used_map_close(struct used_map *map)
{
	free(map->bits);
	*map = (struct used_map){ 0 };
}

/* Clusters in the window: those of the file, at most WINDOW_CLUSTERS. */
static uint64_t
window_end(const struct used_map *map)
{
	const uint64_t clusters =
		q2si_div_up(q2s_store_size(map->subject->file), map->subject->geom->cluster_size);

	return q2si_min(clusters, map->first + WINDOW_CLUSTERS);
}

static enum q2s_err
mark(void *opaque, const struct q2s_structure *in, const struct q2s_table_entry *it,
     struct q2s_diag *diag)
{
	struct used_map *const map = opaque;
	const uint32_t bits = map->subject->geom->cluster_bits;
	const uint64_t end = window_end(map);
	struct data_range range;

	(void)in;
	(void)diag;
	if (!data_range(map->subject, it, &range))
		return Q2S_OK;
	const uint64_t last = (range.at.v + range.len - 1) >> bits;

	for (uint64_t i = q2si_max(range.at.v >> bits, map->first); i <= last && i < end; i++)
		map->bits[(i - map->first) / 8] |= (uint8_t)(1u << (i - map->first) % 8);
	return Q2S_OK;
}

static enum q2s_err
load(struct used_map *map, uint64_t cluster, struct q2s_diag *diag)
{
	if (map->loaded && cluster >= map->first && cluster < map->first + WINDOW_CLUSTERS)
		return Q2S_OK;
	map->first = cluster / WINDOW_CLUSTERS * WINDOW_CLUSTERS;
	map->loaded = true;
	memset(map->bits, 0, (size_t)q2si_div_up(window_end(map) - map->first, 8));
	return data_visit(map->subject, mark, map, diag);
}

static bool
is_used(const struct used_map *map, uint64_t cluster)
{
	const uint64_t bit = cluster - map->first;

	return map->bits[bit / 8] >> bit % 8 & 1;
}

enum q2s_err
used_map_run(struct used_map *map, uint64_t cluster, uint64_t end, bool *used, uint64_t *run_end,
	     struct q2s_diag *diag)
{
	const enum q2s_err err = load(map, cluster, diag);
	uint64_t stop;

	if (err != Q2S_OK)
		return err;
	stop = q2si_min(end, window_end(map));
	*used = is_used(map, cluster);
	for (cluster++; cluster < stop && is_used(map, cluster) == *used; cluster++)
		;
	*run_end = cluster;
	return Q2S_OK;
}
