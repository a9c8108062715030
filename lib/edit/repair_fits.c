/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does a plan fit an image, and does what was left of it by whoever reviewed it make sense? */
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/search.h"
#include "edit/repair_view.h"

/* A corruption that is there without the plan. */
struct known {
	const char *id;
	uint64_t host;
};

struct known_list {
	struct known *list;
	size_t count, room;
	bool no_memory;
};

/* ---- what is wrong already ----------------------------------------------------------------- */

static int
compare(const struct known *a, const struct known *b)
{
	if (a->host != b->host)
		return a->host < b->host ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static int
by_place(const void *a, const void *b)
{
	return compare(a, b);
}

static void
remember(void *opaque, const struct q2s_finding *finding)
{
	struct known_list *known = opaque;

	if (finding->severity != Q2S_SEVERITY_CORRUPTION)
		return;
	if (known->count == known->room) {
		const size_t room = known->room ? 2 * known->room : 64;
		struct known *bigger = reallocarray(known->list, room, sizeof(*bigger));

		if (!bigger) {
			known->no_memory = true;
			return;
		}
		known->list = bigger;
		known->room = room;
	}
	known->list[known->count++] = (struct known){ finding->id, finding->host.v };
}

/* New clusters of a device have to be free; those of a file lie behind its end. */
struct before_check {
	const struct q2s_repair *repair;
	struct q2s_diag *diag;
};

static enum q2s_err
fresh_is_free(void *opaque, struct q2si_checker *ck)
{
	const struct before_check *check = opaque;
	struct q2si_fresh_list fresh;
	enum q2s_err err = q2si_fresh_init(&fresh, check->repair, check->diag);

	for (size_t i = 0; err == Q2S_OK && i < fresh.count; i++) {
		const uint64_t first = fresh.list[i].start >> ck->geom->cluster_bits;
		const uint64_t last = (fresh.list[i].end - 1) >> ck->geom->cluster_bits;

		for (uint64_t k = first; err == Q2S_OK && k <= last && k < ck->file_clusters; k++)
			if (q2si_counts_get(&ck->stored, k) || q2si_counts_get(&ck->counted, k) ||
			    !q2s_store_is_block_device(q2s_image_file(ck->image)))
				err = q2si_fail_at(check->diag, Q2S_E_PLAN, "repair plan",
						   fresh.list[i].start ? (q2s_host){
							   fresh.list[i].start } : Q2S_NOWHERE,
						   "it makes a cluster where one is in use");
	}
	q2si_fresh_free(&fresh);
	return err;
}

static enum q2s_err
check_before(const struct q2s_repair *repair, struct q2s_store *before, struct known_list *known,
	     struct q2s_diag *diag)
{
	struct before_check check = { repair, diag };
	uint64_t digest = 0;
	const struct q2s_check_options options = { .size = sizeof(options),
						   .finding = known ? remember : NULL,
						   .opaque = known };
	const struct q2si_check_hooks hooks = { .digest = &digest, .settled = fresh_is_free,
						.opaque = &check };
	struct q2s_check_result result;
	struct q2s_image *image;
	enum q2s_err err;

	Q2SI_TRY(q2s_image_open(before, Q2S_IMAGE_DAMAGED, &image, diag));
	err = q2si_check(image, &options, &hooks, &result, diag);
	if (err == Q2S_OK && (digest != repair->digest ||
			      q2s_image_geom(image)->cluster_bits != repair->cluster_bits ||
			      q2s_image_geom(image)->refcount_order != repair->refcount_order))
		err = q2si_fail(diag, Q2S_E_CHANGED, "image", Q2S_NOWHERE, digest,
				"its metadata is not what the plan was made for (digest %016llx)",
				(unsigned long long)repair->digest);
	q2s_image_close(image);
	return err;
}

enum q2s_err
q2si_metadata_digest(struct q2s_store *store, uint64_t *out, struct q2s_diag *diag)
{
	const struct q2si_check_hooks hooks = { .digest = out };
	struct q2s_check_result result;
	struct q2s_image *image;
	enum q2s_err err;

	*out = 0;
	Q2SI_TRY(q2s_image_open(store, Q2S_IMAGE_DAMAGED, &image, diag));
	err = q2si_check(image, NULL, &hooks, &result, diag);
	q2s_image_close(image);
	return err;
}

/* ---- what would be wrong then -------------------------------------------------------------- */

static enum q2s_err
judge(const struct known_list *before, const struct known_list *after, struct q2s_diag *diag)
{
	if (before->no_memory || after->no_memory)
		return q2si_fail_nomem(diag, "repair plan");
	if (before->count > 1)
		qsort(before->list, before->count, sizeof(*before->list), by_place);
	for (size_t i = 0; i < after->count; i++) {
		const struct known *new = &after->list[i];
		const size_t at = Q2SI_COUNT_FIRST(k, before->count,
						   compare(&before->list[k], new) < 0);

		if (at == before->count || compare(&before->list[at], new) != 0)
			return q2si_fail_at(diag, Q2S_E_PLAN, "repair plan", (q2s_host){ new->host },
					    "a step is struck out that others need: they would make "
					    "a corruption that is not there now, %s", new->id);
	}
	return Q2S_OK;
}

static enum q2s_err
check_after(const struct q2s_repair *repair, struct q2s_store *before,
	    const struct known_list *known, struct q2s_diag *diag)
{
	struct known_list after = { 0 };
	const struct q2s_check_options options = { .size = sizeof(options),
						   .finding = remember, .opaque = &after };
	struct q2s_check_result result;
	struct q2s_image *image = NULL;
	struct q2s_store *view;
	enum q2s_err err;

	Q2SI_TRY(q2si_view_after(repair, before, &view, diag));
	err = q2s_image_open(view, Q2S_IMAGE_DAMAGED, &image, diag);
	if (err == Q2S_OK)
		err = q2s_check(image, &options, &result, diag);
	if (err == Q2S_OK)
		err = judge(known, &after, diag);
	q2s_image_close(image);
	q2s_store_unref(view);
	free(after.list);
	return err;
}

enum q2s_err
q2s_repair_fits(const struct q2s_repair *repair, struct q2s_store *file, struct q2s_diag *diag)
{
	const bool struck = repair->total != repair->step_count;
	struct known_list known = { 0 };
	struct q2s_store *before;
	enum q2s_err err;

	Q2SI_TRY(q2si_view_before(repair, file, &before, NULL, diag));
	err = check_before(repair, before, struck ? &known : NULL, diag);
	if (err == Q2S_OK && struck)
		err = check_after(repair, before, &known, diag);
	free(known.list);
	q2s_store_unref(before);
	return err;
}
