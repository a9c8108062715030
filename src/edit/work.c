/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "edit/work.h"

#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "common/guard.h"
#include "common/opened.h"
#include "common/tool.h"
#include "edit/rehearsal.h"

static enum q2s_err
work_on(const struct work *work, const struct open_request *open, struct q2s_diag *diag)
{
	struct opened opened = { 0 };
	enum q2s_err err = opened_open(open, &opened, diag), closed;

	if (err == Q2S_OK)
		err = work->edit(opened.edit, work->opaque, diag);
	closed = opened_close(&opened, diag);
	return err != Q2S_OK ? err : closed;
}

static int
fail(const struct work *work, const struct q2s_diag *diag)
{
	return diag->err == Q2S_E_USAGE && !diag->file[0] && work->usage
		       ? tool_usage_fail(diag)
		       : tool_fail(work->file, diag);
}

static void
done_print(const char *file)
{
	escape_print(stdout, file, strlen(file));
	puts(": done, and on the disk");
}

/* Let @open change a rehearsal of the file. */
static enum q2s_err
rehearse(const struct work *work, struct open_request *open, enum rehearsal_lines lines,
	 struct rehearsal_sum *sum, struct q2s_diag *diag)
{
	enum q2s_err err = q2s_store_open(work->file, &open->origin, diag);

	open->wrap = lines == REHEARSAL_SILENT ? rehearsal_wrap_silent : rehearsal_wrap;
	if (err == Q2S_OK)
		err = rehearsal_of(open->origin, lines, sum, &open->store, diag);
	return err == Q2S_OK ? work_on(work, open, diag) : err;
}

static void
open_free(struct open_request *open)
{
	q2s_store_unref(open->store);
	q2s_store_unref(open->origin);
	guard_reset();
}

int
work_do(const struct work *work)
{
	struct open_request open = {
		.path = work->file,
		.follow = work->options->follow,
		.keys = &work->options->keys,
		.flags = work->flags,
	};
	struct rehearsal_sum sum = { 0 };
	struct q2s_diag diag = { 0 };
	enum q2s_err err = Q2S_OK;

	if (work->try && !work->options->dry_run) {
		struct open_request again = open;

		err = rehearse(work, &again, REHEARSAL_SILENT, NULL, &diag);
		open_free(&again);
	}
	if (err == Q2S_OK)
		err = guard_edit(work->file, &diag);
	if (err == Q2S_OK && work->options->dry_run)
		err = rehearse(work, &open, REHEARSAL_PLAIN, &sum, &diag);
	else if (err == Q2S_OK)
		err = work_on(work, &open, &diag);
	open_free(&open);
	if (err != Q2S_OK)
		return fail(work, &diag);
	if (work->options->dry_run)
		rehearsal_sum_print(work->file, &sum);
	else if (!work->options->quiet && !work->report)
		done_print(work->file);
	if (work->report && (work->options->dry_run || !work->options->quiet))
		work->report(work->opaque);
	return tool_finish(0);
}
