/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* q2s_check(): the stages, one after the other, over one set of counts. */
#include "checker.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"

/*
 * Memory for counts, tables and extents. QEMU's limit is 2^31 - 1 clusters; that many, each with
 * one owner, take half of this.
 */
#define BUDGET (512ull << 20)

static enum q2s_err
checker_open(struct q2si_checker *ck, struct q2s_image *image,
	     const struct q2s_check_options *options, const struct q2si_check_hooks *hooks)
{
	static const struct q2s_check_options none;
	static const struct q2si_check_hooks no_hooks;
	const struct q2s_geom *geom = q2s_image_geom(image);
	struct q2s_store *file = q2s_image_file(image);
	const uint64_t size = q2s_store_size(file);
	uint64_t limit;

	*ck = (struct q2si_checker){
		.image = image,
		.header = q2s_image_header(image),
		.geom = geom,
		.file = file,
		.file_size = size,
		.file_clusters = q2si_div_up(size, geom->cluster_size),
		.options = options ? options : &none,
		.hooks = hooks ? hooks : &no_hooks,
		.budget = { BUDGET },
	};
	ck->result.total_clusters = geom->clusters;
	q2si_extents_init(&ck->metadata, &ck->budget);
	q2si_tables_init(&ck->tables, &ck->budget);
	/* A structure may end less than a cluster past the end, and so in one more cluster. */
	limit = ck->file_clusters + 1;
	ck->window = q2si_read_buffer(q2si_max(Q2SI_WINDOW, geom->cluster_size));
	if (!ck->window)
		return Q2S_E_NOMEM;
	Q2SI_TRY(q2si_counts_init(&ck->stored, limit, &ck->budget));
	Q2SI_TRY(q2si_counts_init(&ck->blocks, limit, &ck->budget));
	Q2SI_TRY(q2si_counts_init(&ck->counted, limit, &ck->budget));
	return q2si_counts_init(&ck->compressed, limit, &ck->budget);
}

static void
checker_close(struct q2si_checker *ck)
{
	q2si_counts_free(&ck->stored);
	q2si_counts_free(&ck->blocks);
	q2si_counts_free(&ck->counted);
	q2si_counts_free(&ck->compressed);
	q2si_extents_free(&ck->metadata);
	q2si_tables_free(&ck->tables);
	free(ck->window);
}

static enum q2s_err
check_stages(struct q2si_checker *ck)
{
	q2si_check_header(ck);
	q2si_digest_add(ck, 0, q2s_image_cluster0(ck->image), ck->geom->cluster_size);
	if (!ck->hooks->no_refcounts)
		Q2SI_TRY(q2si_load_refcounts(ck));
	Q2SI_TRY(q2si_count_structure(ck, Q2S_STRUCTURE_HEADER, 0, ck->geom->cluster_size,
				      Q2SI_FOUND_UNREADABLE));
	Q2SI_TRY(q2si_check_active_l1(ck));
	Q2SI_TRY(q2si_check_snapshots(ck));
	Q2SI_TRY(q2si_check_crypto(ck));
	Q2SI_TRY(q2si_check_bitmaps(ck));
	Q2SI_TRY(q2si_check_overlaps(ck));
	Q2SI_TRY(q2si_check_l2(ck));
	Q2SI_TRY(q2si_compare_refcounts(ck));
	if (ck->result.corruptions == 0)
		ck->result.corruptions = ck->uncounted;
	if (q2s_store_verify(ck->file, NULL) != Q2S_OK)
		q2si_report(ck, FILE_CHANGED, .host = Q2S_NOWHERE);
	return ck->hooks->settled ? ck->hooks->settled(ck->hooks->opaque, ck) : Q2S_OK;
}

static enum q2s_err
explain(enum q2s_err err, struct q2s_diag *diag)
{
	switch (err) {
	case Q2S_OK:
		return Q2S_OK;
	case Q2S_E_LIMIT:
		return q2si_fail(diag, err, "check", Q2S_NOWHERE, BUDGET,
				 "the references of this image need more memory than %llu MiB",
				 BUDGET >> 20);
	case Q2S_E_CANCELLED:
		return q2si_fail_at(diag, err, "check", Q2S_NOWHERE, "cancelled");
	case Q2S_E_NOMEM:
		return q2si_fail_nomem(diag, "check");
	default: /* of a hook, which has said why */
		return err;
	}
}

enum q2s_err
q2si_check(struct q2s_image *image, const struct q2s_check_options *options,
	   const struct q2si_check_hooks *hooks, struct q2s_check_result *out,
	   struct q2s_diag *diag)
{
	struct q2si_checker ck;
	enum q2s_err err = checker_open(&ck, image, options, hooks);

	if (err == Q2S_OK)
		err = check_stages(&ck);
	*out = ck.result;
	checker_close(&ck);
	return explain(err, diag);
}

enum q2s_err
q2s_check(struct q2s_image *image, const struct q2s_check_options *given,
	  struct q2s_check_result *out, struct q2s_diag *diag)
{
	const struct q2s_diag *const fault = q2s_image_fault(image);
	struct q2s_check_options options = Q2S_CHECK_OPTIONS_INIT;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	if (fault) {
		*out = (struct q2s_check_result){ 0 };
		if (diag && diag->err == Q2S_OK)
			*diag = *fault;
		return fault->err;
	}
	return q2si_check(image, &options, NULL, out, diag);
}
