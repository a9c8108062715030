/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole comparison of two states of an image. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/fault.h"
#include "inspect/diff.h"

#define BUFFER (1u << 21) /* a chunk of the files, or a subcluster */

enum q2s_err
diff_may_visit(struct diff *diff, struct q2s_seen *seen, q2s_host a, q2s_host b, uint64_t entries,
	       bool *may, struct q2s_diag *diag)
{
	const q2s_host both[] = { a, b };
	bool fresh = false;

	for (unsigned i = 0; i < 2; i++) {
		bool again = true;
		enum q2s_err err = Q2S_OK;

		if (both[i].v)
			err = q2s_seen_add(seen, both[i], i, &again, diag);
		if (err != Q2S_OK)
			return err;
		fresh = fresh || !again;
	}
	*may = fresh || diff->work >= entries;
	if (!fresh && *may)
		diff->work -= entries;
	diff->cut = diff->cut || !*may;
	return Q2S_OK;
}

static enum q2s_err
check_states(const struct subject *before, const struct subject *after, struct q2s_diag *diag)
{
	if (before->geom->cluster_bits == after->geom->cluster_bits)
		return Q2S_OK;
	return fault(diag, Q2S_E_USAGE, "cluster_bits",
		     "%" PRIu32 " before and %" PRIu32
		     " after: these are not two states of one image",
		     before->geom->cluster_bits, after->geom->cluster_bits);
}

enum q2s_err
diff_run(struct diff *diff, const struct subject *before, const struct subject *after,
	 struct q2s_diag *diag)
{
	enum q2s_err err = check_states(before, after, diag);

	if (err != Q2S_OK)
		return err;
	diff->before = before;
	diff->after = after;
	diff->work = DIFF_WORK;
	diff->same_entries = before->geom->extended == after->geom->extended;
	diff->same_counts = before->geom->refcount_order == after->geom->refcount_order;
	for (int i = 0; i < 2; i++) {
		diff->bytes[i] = malloc(BUFFER);
		if (!diff->bytes[i])
			return fault_nomem(diag, "buffer");
	}
	if (!diff->no_data)
		err = diff_contents(diff, diag);
	if (err == Q2S_OK)
		err = diff_header(diff, diag);
	if (err == Q2S_OK)
		err = diff_tables(diff, diag);
	if (err == Q2S_OK)
		err = diff_refcounts(diff, diag);
	if (err == Q2S_OK && !diff->no_data)
		err = diff_show_clusters(diff, diag);
	if (err == Q2S_OK)
		diff_show_operations(diff);
	diff->cut = diff->cut || diff->changed_all > diff->changed_count;
	return err;
}

void
diff_free(struct diff *diff)
{
	for (size_t i = 0; i < diff->event_count; i++)
		free(diff->events[i].text);
	free(diff->changed);
	free(diff->operations);
	free(diff->bytes[0]);
	free(diff->bytes[1]);
}
