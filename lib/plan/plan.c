/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan: specification plus allocation, and what follows from them. */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "plan/plan.h"

/* Copy @bytes to *@to and let it point there. */
static void
keep(struct q2s_bytes *bytes, uint8_t **to)
{
	if (!bytes->data)
		return;
	memcpy(*to, bytes->data, bytes->len);
	bytes->data = *to;
	*to += bytes->len;
}

static enum q2s_err
keep_strings(struct q2s_plan *plan, struct q2s_diag *diag)
{
	struct q2s_spec *spec = &plan->spec;
	uint8_t *to = malloc(spec->backing_name.len + spec->backing_format.len +
			     spec->data_file_name.len + spec->luks.len + 1);

	if (!to)
		return q2si_fail_nomem(diag, "plan");
	plan->strings = to;
	keep(&spec->backing_name, &to);
	keep(&spec->backing_format, &to);
	keep(&spec->data_file_name, &to);
	keep(&spec->luks, &to);
	return Q2S_OK;
}

static enum q2s_err
make(struct q2s_plan *plan, struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	Q2SI_TRY(q2s_spec_check(&plan->spec, diag));
	Q2SI_TRY(keep_strings(plan, diag));
	Q2SI_TRY(q2si_alloc_finish(alloc, diag));
	Q2SI_TRY(q2si_bitmaps_make(&plan->spec, &plan->bitmaps, diag));
	Q2SI_TRY(q2si_layout_make(&plan->spec, alloc, &plan->bitmaps, &plan->layout, diag));
	plan->header = malloc(plan->spec.geom.cluster_size);
	if (!plan->header)
		return q2si_fail_nomem(diag, "header cluster");
	return q2si_header_cluster(&plan->spec, &plan->layout, plan->header, diag);
}

enum q2s_err
q2s_plan_new(const struct q2s_spec *spec, struct q2s_alloc *alloc, struct q2s_plan **out,
	     struct q2s_diag *diag)
{
	struct q2s_plan *plan = calloc(1, sizeof(*plan));
	enum q2s_err err;

	if (!plan)
		return q2si_fail_nomem(diag, "plan");
	plan->spec = *spec;
	err = make(plan, alloc, diag);
	if (err != Q2S_OK) {
		q2s_plan_free(plan);
		return err;
	}
	plan->alloc = alloc;
	*out = plan;
	return Q2S_OK;
}

void
q2s_plan_free(struct q2s_plan *plan)
{
	if (!plan)
		return;
	q2s_alloc_free(plan->alloc);
	free(plan->strings);
	q2si_bitmaps_free(&plan->bitmaps);
	free(plan->header);
	q2si_sums_free(&plan->sums);
	q2s_bits_unref(plan->scope);
	free(plan);
}

const struct q2s_spec *
q2s_plan_spec(const struct q2s_plan *plan)
{
	return &plan->spec;
}

const struct q2s_layout *
q2s_plan_layout(const struct q2s_plan *plan)
{
	return &plan->layout;
}
