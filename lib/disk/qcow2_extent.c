/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Extents of a chain: pieces, less the holes in the files that hold them, merged while cheap. */
#include "base/arith.h"
#include "base/diag.h"
#include "disk/qcow2.h"

#define PIECES_MAX 64 /* that one question merges; the caller comes back for more */

/*
 * A stream may end where the map, which was read before, still has clusters: only the tail of the
 * last one may be missing.
 */
static enum q2s_err
end_check(struct q2si_layer *layer, bool strict, struct q2s_extent *extent, uint64_t size,
	  struct q2s_diag *diag)
{
	const uint64_t end =
		strict ? size : q2si_round_up(size, q2s_image_geom(layer->image)->cluster_size);

	if (extent->at >= size && extent->at < end)
		atomic_store_explicit(&layer->cut, true, memory_order_relaxed);
	if (extent->at < end) {
		extent->len = q2si_min(extent->len, end - extent->at);
		return Q2S_OK;
	}
	Q2SI_TRY(q2s_store_failure(layer->file, diag));
	return q2si_in_file(diag,
			    q2si_fail(diag, Q2S_E_TRUNCATED, "data cluster",
				      (q2s_host){ extent->at }, extent->len,
				      "the file ends at 0x%llx", (unsigned long long)size),
			    q2s_store_name(layer->file));
}

/* A plain data piece whose bytes start in a hole, or behind the end of the file, is no data. */
static enum q2s_err
holes_apply(struct q2si_view *view, struct q2si_layer *layer, bool strict,
	    struct q2s_extent *extent, struct q2s_diag *diag)
{
	const uint64_t size = q2s_store_size_until(extent->file, extent->at + 1);
	bool hole = true;

	if (extent->file == layer->file && layer->image)
		Q2SI_TRY(end_check(layer, strict, extent, size, diag));
	if (extent->at < size) {
		struct q2s_stretch stretch;

		Q2SI_TRY(q2s_store_stretch_on(extent->file, &view->stretches, extent->at, &stretch,
					      diag));
		extent->len = q2si_min(extent->len, stretch.len);
		hole = stretch.hole;
	}
	if (hole) {
		/* A hole in an image is zero by its entry; one in the raw bottom is nothing. */
		extent->state = layer->image ? Q2S_ZERO : Q2S_ABSENT;
		extent->file = NULL;
		extent->at = 0;
	}
	return Q2S_OK;
}

static enum q2s_err
extent_find(struct q2si_qcow2_cursor *cursor, q2s_guest guest, uint64_t max,
	    struct q2s_extent *out, struct q2s_diag *diag)
{
	struct q2si_piece piece;

	Q2SI_TRY(q2si_qcow2_piece(cursor, guest, max, &piece, diag));
	*out = (struct q2s_extent){
		.len = piece.len, .state = piece.state
	};
	/* Nobody may copy encrypted bytes, and a hole among them is no zeros for the guest. */
	if (!piece.file || piece.encrypted)
		return Q2S_OK;
	out->file = piece.file;
	out->at = piece.at;
	out->once = piece.once;
	return holes_apply(&cursor->views[piece.depth],
			   &q2si_qcow2_chain(cursor)->layers[piece.depth],
			   q2si_qcow2_chain(cursor)->strict, out, diag);
}

static bool
continues(const struct q2s_extent *extent, const struct q2s_extent *next)
{
	if (next->state != extent->state || next->file != extent->file)
		return false;
	return !extent->file || next->at == extent->at + extent->len;
}

enum q2s_err
q2si_qcow2_extent(struct q2s_cursor *base, q2s_guest guest, uint64_t max, struct q2s_extent *out,
		  struct q2s_diag *diag)
{
	struct q2si_qcow2_cursor *cursor = (struct q2si_qcow2_cursor *)base;
	struct q2s_extent extent, next;

	Q2SI_TRY(extent_find(cursor, guest, max, &extent, diag));
	/* What has arrived should be used and forgotten before more of it is waited for. */
	const int pieces = extent.file && q2s_store_is_arriving(extent.file) ? 1 : PIECES_MAX;

	for (int i = 1; i < pieces && extent.len < max; i++) {
		const q2s_guest behind = { guest.v + extent.len };

		/* An error there is the next question's: what lies before it is good. */
		if (extent_find(cursor, behind, max - extent.len, &next, NULL) != Q2S_OK ||
		    !continues(&extent, &next))
			break;
		extent.len += next.len;
		extent.once = extent.once && next.once;
	}
	*out = extent;
	return Q2S_OK;
}
