/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes of the image as a whole: snapshots, another size, another form of its tables. New tables
 * are written beside the old ones and made durable; then one write of the header puts them in
 * place; and only when that is durable is given back what the old ones held.
 */
#include "edit/edit.h"

#include <stdio.h>
#include <string.h>

#include <q2s/check.h>

#include "base/diag.h"

/* Flushes that this needs at most: what one gives back changes counts, which the next writes. */
#define SETTLE_ROUNDS 4u

enum q2s_err
q2si_settle(struct q2s_edit *edit, struct q2s_diag *diag)
{
	for (unsigned i = 0; i < SETTLE_ROUNDS; i++)
		Q2SI_TRY(q2si_flush(edit, diag));
	return Q2S_OK;
}

/* The first finding that is more than COPIED, which an interrupted change may leave wrong. */
struct unsound {
	bool found;
	q2s_host at;
	char text[Q2S_DIAG_TEXT / 2];
};

static void
on_finding(void *opaque, const struct q2s_finding *finding)
{
	static const char *const harmless[] = { "l1-copied-set", "l1-copied-clear", "l2-copied-set",
						"l2-copied-clear" };
	struct unsound *unsound = opaque;

	if (finding->severity != Q2S_SEVERITY_CORRUPTION || unsound->found)
		return;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (strcmp(finding->id, harmless[i]) == 0)
			return;
	unsound->found = true;
	unsound->at = finding->host;
	(void)snprintf(unsound->text, sizeof(unsound->text), "%s", finding->text);
}

enum q2s_err
q2si_sound(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct unsound unsound = { 0 };
	const struct q2s_check_options options = { .size = sizeof(options),
						   .finding = on_finding, .opaque = &unsound };
	struct q2s_check_result result = { 0 };
	struct q2s_image *image;
	enum q2s_err err;

	Q2SI_TRY(q2s_image_open(q2si_meta(edit)->store, Q2S_IMAGE_DAMAGED, &image, diag));
	err = q2s_check(image, &options, &result, diag);
	q2s_image_close(image);
	Q2SI_TRY(err);
	if (!unsound.found && result.check_errors == 0)
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_REFCOUNT, "image", unsound.at,
			    "it is corrupt, and has to be repaired first: %s",
			    unsound.found ? unsound.text : "not all of it can be read");
}

enum q2s_err
q2si_whole_begin(struct q2s_edit *edit, struct q2s_diag *diag)
{
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	err = q2si_may_change(edit, diag);
	if (err == Q2S_OK)
		err = q2si_settle(edit, diag);
	if (err != Q2S_OK)
		pthread_mutex_unlock(&edit->lock);
	return err;
}

enum q2s_err
q2si_whole_end(struct q2s_edit *edit, enum q2s_err err, struct q2s_diag *diag)
{
	if (err == Q2S_OK)
		err = q2si_settle(edit, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

enum q2s_err
q2si_meta_write(struct q2s_edit *edit, uint64_t at, const void *buf, size_t len,
		struct q2s_diag *diag)
{
	struct q2si_sync *meta = q2si_meta(edit);
	const enum q2s_err err = q2s_store_write(meta->store, at, buf, len, diag);

	q2si_wrote(meta); /* also after a failure, which may have written a part */
	return err;
}
