/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Through the layers: the first one that does not say "absent" decides. */
#include "base/arith.h"
#include "base/diag.h"
#include "disk/qcow2.h"
#include "image/map.h"

/*
 * Look at least this many clusters ahead. A run is kept until its end, so a caller that comes with
 * small steps, or a layer below that is more fragmented, does not measure it again and again.
 */
#define AHEAD_CLUSTERS 1024

static enum q2s_err
view_fill(struct q2si_shared *tables, const struct q2si_layer *layer, struct q2si_view *view,
	  q2s_guest guest, uint64_t max, struct q2s_diag *diag)
{
	const uint64_t ahead =
		(uint64_t)AHEAD_CLUSTERS << q2s_image_geom(layer->image)->cluster_bits;

	if (!view->map)
		Q2SI_TRY(q2si_map_open_shared(layer->image, &layer->l1, tables, &view->map, diag));
	view->end = 0;
	Q2SI_TRY(q2si_map_run_near(view->map, guest, q2si_max(max, ahead), &view->run, diag));
	view->start = guest.v;
	view->end = guest.v + view->run.len;
	return Q2S_OK;
}

/* The run of one image layer at @guest, from what is kept if it is there. */
static enum q2s_err
layer_run(struct q2si_shared *tables, const struct q2si_layer *layer, struct q2si_view *view,
	  q2s_guest guest, uint64_t max, struct q2s_run *out, struct q2s_diag *diag)
{
	uint64_t skip;

	if (guest.v < view->start || guest.v >= view->end)
		Q2SI_TRY(q2si_in_file(diag, view_fill(tables, layer, view, guest, max, diag),
				      q2s_store_name(layer->file)));
	skip = guest.v - view->start;
	*out = view->run;
	out->len = q2si_min(view->run.len - skip, max);
	if (out->has_host && !out->compressed)
		out->host.v += skip;
	return Q2S_OK;
}

/* What a run that is not absent means for the reader. */
static void
piece_from_run(const struct q2si_layer *layer, size_t depth, const struct q2s_run *run,
	       struct q2si_piece *out)
{
	*out = (struct q2si_piece){ .len = run->len, .state = run->state, .depth = depth };
	if (run->compressed) {
		out->run = *run;
	} else if (run->state == Q2S_DATA) {
		out->file = layer->data;
		out->at = run->host.v;
		out->encrypted = layer->crypt;
		out->once = run->once;
	}
}

enum q2s_err
q2si_qcow2_piece(struct q2si_qcow2_cursor *cursor, q2s_guest guest, uint64_t max,
		 struct q2si_piece *out, struct q2s_diag *diag)
{
	const struct q2si_chain *chain = q2si_qcow2_chain(cursor);
	enum q2s_state left = Q2S_ABSENT;

	for (size_t depth = 0; depth < chain->count; depth++) {
		const struct q2si_layer *layer = &chain->layers[depth];
		struct q2s_run run;

		/* Behind the end of a shorter layer are zeros, not what lies further down. */
		if (guest.v >= layer->size) {
			if (chain->part)
				left = Q2S_ZERO;
			break;
		}
		max = q2si_min(max, layer->size - guest.v);
		if (!layer->image) {
			*out = (struct q2si_piece){ .len = max, .state = Q2S_DATA, .depth = depth,
						    .file = layer->data, .at = guest.v };
			return Q2S_OK;
		}
		Q2SI_TRY(layer_run(q2si_qcow2_tables(cursor), layer, &cursor->views[depth], guest,
				   max, &run, diag));
		max = run.len;
		if (run.state != Q2S_ABSENT) {
			piece_from_run(layer, depth, &run, out);
			return Q2S_OK;
		}
	}
	*out = (struct q2si_piece){ .len = max, .state = left, .depth = chain->count };
	return Q2S_OK;
}
