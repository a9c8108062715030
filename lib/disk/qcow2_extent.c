/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Extents of a chain: pieces, less the holes in the files that hold them, merged while cheap. */
#include "base/arith.h"
#include "base/diag.h"
#include "disk/qcow2.h"

#define PIECES_MAX 64 /* that one question merges; the caller comes back for more */

/* A plain data piece whose bytes start in a hole, or behind the end of the file, is no data. */
static enum q2s_err
holes_apply(struct q2si_view *view, const struct q2si_layer *layer, struct q2s_extent *extent,
	    struct q2s_diag *diag)
{
	const uint64_t size = q2s_file_size(extent->file);
	bool hole = true;

	if (extent->at < size) {
		if (extent->at < view->stretch_at || extent->at >= view->stretch_end) {
			struct q2s_stretch stretch;

			Q2SI_TRY(q2s_file_stretch(extent->file, extent->at, &stretch, diag));
			view->stretch_at = extent->at;
			view->stretch_end = extent->at + stretch.len;
			view->hole = stretch.hole;
		}
		extent->len = q2si_min(extent->len, view->stretch_end - extent->at);
		hole = view->hole;
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
	return holes_apply(&cursor->views[piece.depth],
			   &q2si_qcow2_chain(cursor)->layers[piece.depth], out, diag);
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
	for (int i = 1; i < PIECES_MAX && extent.len < max; i++) {
		const q2s_guest behind = { guest.v + extent.len };

		/* An error there is the next question's: what lies before it is good. */
		if (extent_find(cursor, behind, max - extent.len, &next, NULL) != Q2S_OK ||
		    !continues(&extent, &next))
			break;
		extent.len += next.len;
	}
	*out = extent;
	return Q2S_OK;
}
