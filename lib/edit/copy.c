/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest bytes from another disk: shared where the file system can, else read and written. */
#include "edit/edit.h"

#include "base/arith.h"
#include "base/diag.h"

/* What is less than a subcluster is left. */
enum q2s_err
q2si_share(struct q2s_edit *edit, uint64_t at, const struct q2s_extent *extent, uint64_t len,
	   uint64_t *done, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	*done = 0;
	while (extent->file && *done < len && len - *done >= edit->geom.sub_size) {
		uint64_t n = 0;

		err = q2si_write_clone(edit, at + *done, extent->file, extent->at + *done,
				       q2si_round_down(len - *done, edit->geom.sub_size), &n,
				       diag);
		if (err != Q2S_OK)
			break;
		*done += n;
	}
	return err == Q2S_E_UNSUPPORTED ? Q2S_OK : err;
}

enum q2s_err
q2si_copy(struct q2s_edit *edit, struct q2s_cursor *cursor, uint64_t at,
	  const struct q2s_extent *extent, uint64_t len, uint8_t *buf, struct q2s_diag *diag)
{
	uint64_t done;

	Q2SI_TRY(q2si_share(edit, at, extent, len, &done, diag));
	while (done < len) {
		const size_t n = q2si_min_size(len - done, Q2SI_COPY_STEP);

		Q2SI_TRY(q2s_cursor_read(cursor, (q2s_guest){ at + done }, buf, n, diag));
		Q2SI_TRY(q2s_edit_write(edit, (q2s_guest){ at + done }, buf, n, diag));
		done += n;
	}
	return Q2S_OK;
}
