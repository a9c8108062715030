/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a request may be made at all. */
#include "edit/edit.h"

#include "base/diag.h"

enum q2s_err
q2si_stop(struct q2s_edit *edit, enum q2s_err err, const struct q2s_diag *why)
{
	if (edit->stopped == Q2S_OK) {
		edit->stopped = err;
		if (why)
			edit->stop = *why;
	}
	return err;
}

enum q2s_err
q2si_stopped(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };

	if (edit->stopped == Q2S_OK &&
	    atomic_load_explicit(&edit->sync_failed, memory_order_acquire))
		q2si_stop(edit,
			  q2si_fail_at(&why, Q2S_E_IO, "image", Q2S_NOWHERE,
				       "a flush failed, so nobody knows what is durable"),
			  &why);
	if (edit->stopped != Q2S_OK && diag && diag->err == Q2S_OK)
		*diag = edit->stop;
	return edit->stopped;
}

enum q2s_err
q2si_may_change(struct q2s_edit *edit, struct q2s_diag *diag)
{
	if (edit->flags & Q2S_EDIT_READ_ONLY)
		return q2si_fail_at(diag, Q2S_E_USAGE, "image", Q2S_NOWHERE,
				    "it is open for reading only");
	Q2SI_TRY(q2si_stopped(edit, diag));
	Q2SI_TRY(q2si_header_prepare(edit, diag));
	return q2si_tracking_begin(edit, diag);
}

enum q2s_err
q2si_on_disk(const struct q2s_edit *edit, q2s_guest at, uint64_t len, struct q2s_diag *diag)
{
	if (edit->flags & Q2S_EDIT_TABLES_ONLY)
		return q2si_fail_at(diag, Q2S_E_USAGE, "image", Q2S_NOWHERE,
				    "it is open for changes of its tables only");
	if (at.v <= edit->geom.size && len <= edit->geom.size - at.v)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_USAGE, "guest range", Q2S_NOWHERE, at.v,
			 "%llu bytes from there leave the disk of %llu bytes",
			 (unsigned long long)len, (unsigned long long)edit->geom.size);
}
