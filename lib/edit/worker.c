/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a thread needs to move data: buffers, a place in the base, a cipher, a decoder. */
#include "edit/edit.h"

#include <stdlib.h>

#include "base/diag.h"

enum q2s_err
q2si_worker_take(struct q2s_edit *edit, struct q2si_worker **out, struct q2s_diag *diag)
{
	struct q2si_worker *worker;

	pthread_mutex_lock(&edit->workers_lock);
	worker = edit->workers;
	if (worker)
		edit->workers = worker->next;
	pthread_mutex_unlock(&edit->workers_lock);
	if (!worker)
		worker = calloc(1, sizeof(*worker));
	if (!worker)
		return q2si_fail_nomem(diag, "request");
	worker->holds = 0; /* others may have changed what lies there */
	*out = worker;
	return Q2S_OK;
}

void
q2si_worker_give(struct q2s_edit *edit, struct q2si_worker *worker)
{
	pthread_mutex_lock(&edit->workers_lock);
	worker->next = edit->workers;
	edit->workers = worker;
	pthread_mutex_unlock(&edit->workers_lock);
}

void
q2si_workers_free(struct q2s_edit *edit)
{
	struct q2si_worker *next;

	for (struct q2si_worker *worker = edit->workers; worker; worker = next) {
		next = worker->next;
		q2s_cursor_close(worker->cursor);
		q2s_cipher_close(worker->cipher);
		q2si_decoder_free(&worker->decoder);
		free(worker->bounce);
		free(worker->inflated);
		free(worker);
	}
	edit->workers = NULL;
}
