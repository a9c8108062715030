/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image that is marked dirty: somebody wrote to it with lazy refcounts, and did not come to
 * writing these. All else is in order then, so the tables say what the counts have to be: the check
 * counts the references, and what differs is set. Counts rise first, and are durable before others
 * fall; the mark goes last, when a second check has found nothing wrong. A crash meanwhile leaves a
 * dirty image.
 *
 * What this does not dare is refused, before anything is written wherever that can be known.
 */
#include "edit/edit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/check.h>

#include "base/arith.h"
#include "base/diag.h"
#include "format/header.h"

/* Runs of counts that are to be set, at most: 32 MiB of them. */
#define RUNS_MAX (1u << 20)

/* Neighbouring clusters that have one wrong count and need one other. */
struct run {
	uint64_t cluster, count;
	uint64_t stored, references;
};

/**
 * What the check found.
 *
 * @runs   by cluster
 * @wrong  the id of the first finding that is none of refcounts, at @at; or NULL
 */
struct found {
	uint32_t cluster_bits;
	bool again;
	struct run *runs;
	size_t count, room;
	bool no_room;
	const char *wrong;
	q2s_host at;
};

/* ---- looking ------------------------------------------------------------------------------- */

static void
run_add(struct found *found, const struct q2s_finding *finding)
{
	const uint64_t cluster = finding->host.v >> found->cluster_bits;
	struct run *last = found->count ? &found->runs[found->count - 1] : NULL;

	if (last && last->cluster + last->count == cluster && last->stored == finding->found &&
	    last->references == finding->expected) {
		last->count++;
		return;
	}
	if (found->count == found->room) {
		const size_t room = found->room ? 2 * found->room : 64;
		struct run *runs =
			room > RUNS_MAX ? NULL : realloc(found->runs, room * sizeof(*runs));

		found->no_room = found->no_room || !runs;
		if (!runs)
			return;
		found->runs = runs;
		found->room = room;
	}
	found->runs[found->count++] = (struct run){ cluster, 1, finding->found, finding->expected };
}

/* Wrong counts make COPIED look wrong, so only the second check can tell. */
static bool
is_forgiven(const struct found *found, const char *id)
{
	if (strcmp(id, "l1-copied-clear") == 0 || strcmp(id, "l2-copied-clear") == 0)
		return true;
	return !found->again &&
	       (strcmp(id, "l1-copied-set") == 0 || strcmp(id, "l2-copied-set") == 0);
}

static void
take_finding(void *opaque, const struct q2s_finding *finding)
{
	static const char *const counts[] = { "refcount-zero", "refcount-low", "refcount-high",
					      "refcount-leak" };
	struct found *found = opaque;

	if (finding->severity == Q2S_SEVERITY_NOTE || is_forgiven(found, finding->id))
		return;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (strcmp(finding->id, counts[i]) == 0) {
			run_add(found, finding);
			return;
		}
	if (!found->wrong) {
		found->wrong = finding->id;
		found->at = finding->host;
	}
}

static enum q2s_err
refuse(const struct q2s_edit *edit, q2s_host at, const char *why, struct q2s_diag *diag)
{
	return q2si_fail(diag, Q2S_E_UNSUPPORTED, "incompatible_features",
			 (q2s_host){ AT_INCOMPATIBLE_FEATURES }, edit->header.incompatible_features,
			 "the image is marked dirty, and %s (at 0x%" PRIx64
			 "): it has to be repaired first",
			 why, at.v);
}

static enum q2s_err
look(struct q2s_edit *edit, bool again, struct found *out, struct q2s_diag *diag)
{
	const struct q2s_check_options options = { .size = sizeof(options),
						   .finding = take_finding, .opaque = out };
	struct q2s_check_result result;
	char why[64];

	*out = (struct found){ .cluster_bits = edit->geom.cluster_bits, .again = again };
	Q2SI_TRY(q2s_check(edit->image, &options, &result, diag));
	if (out->no_room)
		return refuse(edit, (q2s_host){ 0 }, "too many refcounts are wrong", diag);
	if (!out->wrong)
		return Q2S_OK;
	snprintf(why, sizeof(why), "more than its refcounts is wrong: %s", out->wrong);
	return refuse(edit, out->at, why, diag);
}

/* ---- setting ------------------------------------------------------------------------------- */

/* The run that ends behind @cluster first. */
static const struct run *
run_at(const struct found *found, uint64_t cluster)
{
	size_t low = 0, high = found->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (found->runs[middle].cluster + found->runs[middle].count <= cluster)
			low = middle + 1;
		else
			high = middle;
	}
	return low < found->count ? &found->runs[low] : NULL;
}

/*
 * No block describes @cluster, so all that is in use near it is among the runs. The block goes to a
 * cluster that it describes itself, and that nothing uses: then no other count changes for it.
 */
static enum q2s_err
block_make(struct q2s_edit *edit, const struct found *found, uint64_t cluster,
	   struct q2s_diag *diag)
{
	uint64_t place = q2si_round_down(cluster, edit->geom.block_entries);
	const uint64_t end = place + edit->geom.block_entries;
	const struct run *run;

	while (place < end && (run = run_at(found, place)) && run->cluster <= place)
		place = run->cluster + run->count;
	if (place >= end || cluster >= q2si_refcount_covers(edit))
		return refuse(edit, (q2s_host){ cluster << edit->geom.cluster_bits },
			      "a refcount block is missing for which there is no room", diag);
	return q2si_refcount_block_make(edit, place, diag);
}

static enum q2s_err
count_set(struct q2s_edit *edit, const struct found *found, uint64_t cluster, uint64_t count,
	  struct q2s_diag *diag)
{
	struct q2si_slice *slice;

	Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
	if (slice)
		q2si_cache_put(slice);
	else
		Q2SI_TRY(block_make(edit, found, cluster, diag));
	Q2SI_TRY(q2si_refcount_set(edit, cluster, count, diag));
	return q2si_flush_if_full(edit, diag);
}

/* Set those counts that have to rise, or the others; then all is durable. */
static enum q2s_err
counts_set(struct q2s_edit *edit, const struct found *found, bool rising, struct q2s_diag *diag)
{
	for (size_t i = 0; i < found->count; i++) {
		const struct run *run = &found->runs[i];

		if ((run->references > run->stored) != rising)
			continue;
		for (uint64_t k = 0; k < run->count; k++)
			Q2SI_TRY(count_set(edit, found, run->cluster + k, run->references, diag));
	}
	return q2si_flush(edit, diag);
}

static enum q2s_err
mend(struct q2s_edit *edit, const struct found *found, struct q2s_diag *diag)
{
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	err = q2si_header_prepare(edit, diag);
	if (err == Q2S_OK)
		err = counts_set(edit, found, true, diag);
	if (err == Q2S_OK)
		err = counts_set(edit, found, false, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

enum q2s_err
q2si_dirty_mend(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct found found;
	enum q2s_err err;

	if (!(edit->header.incompatible_features & Q2S_INCOMPAT_DIRTY))
		return Q2S_OK;
	err = look(edit, false, &found, diag);
	if (err == Q2S_OK)
		err = mend(edit, &found, diag);
	free(found.runs);
	if (err != Q2S_OK)
		return err;
	err = look(edit, true, &found, diag);
	if (err == Q2S_OK && found.count > 0)
		err = refuse(edit, (q2s_host){ found.runs[0].cluster << edit->geom.cluster_bits },
			     "a refcount could not be put right", diag);
	free(found.runs);
	return err == Q2S_OK ? q2si_header_set_clean(edit, diag) : err;
}
