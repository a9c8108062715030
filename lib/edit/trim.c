/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of the image file: what lies behind the last cluster in use is cut off. */
#include "edit/edit.h"

#include "base/arith.h"
#include "base/diag.h"

/* Behind the last cluster below @end that has a count; the search goes down. */
static enum q2s_err
used_end(struct q2s_edit *edit, uint64_t end, uint64_t *out, struct q2s_diag *diag)
{
	const uint64_t counts = (uint64_t)edit->cache.slice_size * 8 >> edit->geom.refcount_order;

	while (end > 0) {
		const uint64_t first = q2si_round_down(end - 1, counts);
		struct q2si_slice *slice;
		bool found = false;

		Q2SI_TRY(q2si_refcount_slice(edit, end - 1, &slice, diag));
		if (!slice) { /* no block: none of what it would describe is in use */
			end = q2si_round_down(end - 1, edit->geom.block_entries);
			continue;
		}
		while (end > first && !found) {
			found = q2s_refcount_get(&edit->geom, slice->data,
						 (uint32_t)(end - 1 - first)) != 0;
			end -= found ? 0 : 1;
		}
		q2si_cache_put(slice);
		if (found)
			break;
	}
	*out = end;
	return Q2S_OK;
}

enum q2s_err
q2si_trim_end(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	struct q2s_store *store = q2si_meta(edit)->store;
	uint64_t end;
	enum q2s_err err;

	Q2SI_TRY(used_end(edit, q2si_min(q2si_div_up(q2s_store_size(store),
						     edit->geom.cluster_size),
					 q2si_refcount_covers(edit)), &end, diag));
	if (end << bits >= q2s_store_size(store))
		return Q2S_OK;
	err = q2s_store_set_length(store, end << bits, diag);
	if (err == Q2S_E_UNSUPPORTED)
		return Q2S_OK; /* a device: its size is given */
	Q2SI_TRY(err);
	q2si_wrote(q2si_meta(edit));
	edit->file_end = end << bits;
	return q2si_barrier(edit, q2si_meta(edit), diag);
}
