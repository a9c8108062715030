/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The walk over a chain: each layer is asked in turn, until one says what is there. */
#include "inspect/map.h"

#include <stdlib.h>

#include "base/arith.h"
#include "common/fault.h"

/**
 * One layer in a walk.
 *
 * @map      NULL: raw
 * @run      the run that was looked up last, from @run_at on; of length 0 before the first
 * @plain    host offsets may be shown: the bytes there are the guest's (not encrypted)
 * @asked    @data is known
 * @data     the file with the data, if its holes are zeros that look like data; else NULL
 * @holes    where they are, in @data or in a raw layer's file
 */
struct walk_layer {
	const struct q2s_layer *layer;
	struct q2s_map *map;
	uint64_t run_at;
	struct q2s_run run;
	bool plain;
	bool asked;
	struct q2s_store *data;
	struct q2s_stretch_walk holes;
};

enum q2s_err
walk_open(struct q2s_chain *chain, enum q2s_follow follow, struct walk *out,
	  struct q2s_diag *diag)
{
	const size_t count = q2s_chain_count(chain);
	enum q2s_err err = Q2S_OK;

	*out = (struct walk){ .chain = chain, .follow = follow };
	out->layers = calloc(count, sizeof(*out->layers));
	if (!out->layers)
		return fault_nomem(diag, "map");
	for (size_t i = 0; i < count && err == Q2S_OK; i++) {
		struct walk_layer *const it = &out->layers[i];
		const struct q2s_layer *const layer = q2s_chain_layer(chain, i);
		struct q2s_image *const image = layer->image;

		it->layer = layer;
		if (!image)
			continue;
		it->plain = q2s_image_header(image)->crypt_method == Q2S_CRYPT_NONE;
		const struct q2s_l1_table l1 = q2s_image_active_l1(image);

		err = q2s_map_open(image, &l1, &it->map, diag);
	}
	if (err != Q2S_OK)
		walk_close(out);
	return err;
}

void
walk_close(struct walk *walk)
{
	for (size_t i = 0; walk->layers && i < q2s_chain_count(walk->chain); i++) {
		q2s_map_close(walk->layers[i].map);
		q2s_store_unref(walk->layers[i].data);
	}
	free(walk->layers);
	*walk = (struct walk){ 0 };
}

/* ---- one layer --------------------------------------------------------------------------- */

/* A hole of the file behind @range, which starts there or at its end, reads as zero. */
static enum q2s_err
look_for_hole(struct walk_layer *it, struct q2s_store *file, struct range *range, bool *hole,
	      struct q2s_diag *diag)
{
	struct q2s_stretch stretch = { .hole = true, .len = range->length };
	enum q2s_err err = Q2S_OK;

	if (range->offset < q2s_store_size(file))
		err = q2s_store_stretch_on(file, &it->holes, range->offset, &stretch, diag);
	*hole = stretch.hole;
	/* A hole that reaches the end of the file goes on behind it. */
	if (!stretch.hole || range->offset + stretch.len < q2s_store_size(file))
		range->length = q2si_min(range->length, stretch.len);
	return err;
}

static enum q2s_err
look_raw(struct walk_layer *it, struct range *range, struct q2s_diag *diag)
{
	struct q2s_store *const file = it->layer->file;
	bool hole = false;
	enum q2s_err err;

	range->present = true;
	range->has_offset = true;
	range->offset = range->start;
	/* The sector in which the file ends: stored bytes, then zeros. */
	if (range->offset < q2s_store_size(file))
		range->length = q2si_min(range->length, q2s_store_size(file) - range->offset);
	err = look_for_hole(it, file, range, &hole, diag);
	range->zero = hole;
	range->data = !hole;
	return err;
}

/*
 * The data of an image that owns more clusters than its file has space for. For an image with a
 * data file QEMU compares the same two numbers, and then looks into the data file.
 */
static enum q2s_err
open_data(const struct walk *walk, struct walk_layer *it, struct q2s_diag *diag)
{
	const struct q2s_image *const image = it->layer->image;
	enum q2s_err err = Q2S_OK;

	if (!image_is_preallocated(image))
		return Q2S_OK;
	if (!q2s_image_geom(image)->data_file) {
		it->data = q2s_store_ref(it->layer->file);
		return Q2S_OK;
	}
	if (walk->follow == Q2S_FOLLOW_NONE)
		return Q2S_OK;
	err = q2s_chain_data_file(walk->chain, (size_t)(it - walk->layers), &it->data, diag);
	if (err == Q2S_OK)
		(void)q2s_store_ref(it->data);
	return err;
}

/* Clusters that were given out but never written: data by the tables, holes in the file. */
static enum q2s_err
look_behind(const struct walk *walk, struct walk_layer *it, struct range *range,
	    struct q2s_diag *diag)
{
	enum q2s_err err = it->asked ? Q2S_OK : open_data(walk, it, diag);

	it->asked = true;
	if (err == Q2S_OK && it->data)
		err = look_for_hole(it, it->data, range, &range->zero, diag);
	return err;
}

static enum q2s_err
look_image(const struct walk *walk, struct walk_layer *it, struct range *range,
	   struct q2s_diag *diag)
{
	const struct q2s_run *const run = &it->run;
	uint64_t in_run;

	if (range->start < it->run_at || range->start - it->run_at >= run->len) {
		const enum q2s_err err =
			q2s_map_run(it->map, (q2s_guest){ range->start },
				    it->layer->size - range->start, &it->run, diag);

		it->run_at = range->start;
		if (err != Q2S_OK) {
			it->run.len = 0;
			return err;
		}
	}
	in_run = range->start - it->run_at;
	range->length = q2si_min(range->length, run->len - in_run);
	range->present = run->state != Q2S_ABSENT;
	range->zero = run->state == Q2S_ZERO;
	range->data = run->state == Q2S_DATA;
	range->compressed = run->compressed;
	range->has_offset = run->has_host && !run->compressed && it->plain;
	range->offset = range->has_offset ? run->host.v + in_run : 0;
	return range->data && range->has_offset ? look_behind(walk, it, range, diag) : Q2S_OK;
}

enum q2s_err
walk_next(struct walk *walk, uint64_t at, uint64_t max, struct range *out, struct q2s_diag *diag)
{
	const size_t last = q2s_chain_count(walk->chain) - 1;
	struct range range;

	for (size_t depth = 0;; depth++) {
		struct walk_layer *const it = &walk->layers[depth];
		enum q2s_err err;

		max = q2si_min(max, it->layer->size - at);
		range = (struct range){ .start = at, .length = max, .depth = depth };
		err = it->map ? look_image(walk, it, &range, diag) : look_raw(it, &range, diag);
		if (err != Q2S_OK) {
			if (diag && !diag->file[0])
				snprintf(diag->file, sizeof(diag->file), "%s",
					 q2s_store_name(it->layer->file));
			return err;
		}
		if (range.present)
			break;
		/* Nothing below, or behind the end of what is below: zero, and that is certain. */
		range.zero = depth < last ? at >= walk->layers[depth + 1].layer->size
					  : q2s_chain_end(walk->chain, NULL) == Q2S_OK;
		if (range.zero || depth == last)
			break;
		max = range.length;
	}
	*out = range;
	return Q2S_OK;
}
