/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back: which structure, or which guest bytes, own a byte of the file. */
#include "inspect/explain.h"

#include <inttypes.h>

#include "base/arith.h"
#include "inspect/spans.h"
#include "inspect/table.h"

/* Guest clusters that share a host cluster are all counted, but not all told. */
#define TOLD_MAX 16u

/** The search in progress. */
struct search {
	struct story *story;
	const struct subject *subject;
	q2s_host host;
	uint64_t owners;
	uint64_t told;
};

/* ---- who leads there --------------------------------------------------------------------- */

/** L1 entries that lead to one L2 table. */
struct references {
	const struct subject *subject;
	q2s_host l2;
	uint64_t count;
};

static enum q2s_err
count_in_table(void *opaque, const struct l1_ref *ref, struct q2s_diag *diag)
{
	struct references *const references = opaque;
	struct table table = { 0 };
	const uint8_t *raw;
	enum q2s_err err = Q2S_OK;

	if (ref->fresh > 0)
		err = table_open(references->subject->file, ref->at, ref->fresh, Q2S_L1_ENTRY_SIZE,
				 "L1 table", &table, diag);
	for (uint64_t i = 0; err == Q2S_OK; i++) {
		q2s_host l2;

		err = table_next(&table, i, &i, diag);
		if (err != Q2S_OK || i >= table.count)
			break;
		err = table_get(&table, i, &raw, diag);
		if (err == Q2S_OK && l1_target(&references->subject->geom, raw, &l2))
			references->count += l2.v == references->l2.v;
	}
	table_close(&table);
	return err;
}

/* An L2 table is told for the first L1 entry that leads to it; here is how many more there are. */
static enum q2s_err
tell_way(const struct search *search, q2s_host l2, uint32_t owner, struct q2s_diag *diag)
{
	struct references references = { .subject = search->subject, .l2 = l2 };
	const enum q2s_err err = l1_tables(search->subject, count_in_table, &references, diag);

	if (err != Q2S_OK)
		return err;
	if (owner == 0)
		story_rule(search->story, "reached from the active L1 table");
	else
		story_rule(search->story, "reached from the L1 table of snapshot record %" PRIu32,
			   owner - 1);
	story_result(search->story, "table", owner);
	story_result(search->story, "l1-entries", references.count);
	if (references.count > 1)
		story_rule(search->story,
			   "%" PRIu64 " L1 entries lead to that L2 table: each is one more owner",
			   references.count);
	return Q2S_OK;
}

/* ---- metadata ---------------------------------------------------------------------------- */

/* The span that holds the byte says what it is called. */
static enum q2s_err
look_at_span(void *opaque, const struct span *span, struct q2s_diag *diag)
{
	const struct search *const search = opaque;

	(void)diag;
	if (search->host.v < span->at.v || search->host.v - span->at.v >= span->len)
		return Q2S_OK;
	story_rule(search->story, "%s%s%s", span->name, span->text[0] ? ": " : "", span->text);
	story_result_text(search->story, "name", span->name);
	story_result_text(search->story, "text", span->text);
	return Q2S_OK;
}

/* Byte @in of a table: which entry, and what does it cover? */
static enum q2s_err
tell_table(const struct search *search, const struct region *region, uint64_t in,
	   struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &search->subject->geom;
	const uint32_t size = region->kind == REGION_L2 ? geom->l2_entry_size : Q2S_L1_ENTRY_SIZE;
	const uint64_t entry = in / size;
	uint64_t guest = entry * geom->l2_span;

	story_formula(search->story,
		      "entry = (0x%" PRIx64 " - 0x%" PRIx64 ") / %" PRIu32 " = %" PRIu64,
		      search->host.v, region->at.v, size, entry);
	story_result(search->story, "entry", entry);
	if (region->kind == REGION_REFTABLE)
		return Q2S_OK;
	if (region->kind == REGION_L2)
		guest = region->index * geom->l2_span + (entry << geom->cluster_bits);
	story_rule(search->story, "it maps guest bytes from 0x%" PRIx64, guest);
	story_result(search->story, "guest-offset", guest);
	return region->kind == REGION_L2 ? tell_way(search, region->at, region->owner, diag)
					 : Q2S_OK;
}

static void
tell_block(const struct search *search, const struct region *region, uint64_t in)
{
	const struct q2s_geom *const geom = &search->subject->geom;
	const uint64_t slot = in * 8 / geom->refcount_bits;
	const uint64_t cluster = (region->index << geom->block_bits) + slot;

	story_formula(search->story, "slot = %" PRIu64 " * 8 / %" PRIu32 " = %" PRIu64, in,
		      geom->refcount_bits, slot);
	story_rule(search->story, "the refcount of the host cluster at 0x%" PRIx64,
		   cluster << geom->cluster_bits);
	story_result(search->story, "counts-offset", cluster << geom->cluster_bits);
}

static enum q2s_err
tell_region(struct search *search, const struct region *region, struct q2s_diag *diag)
{
	const uint64_t in = search->host.v - region->at.v;
	enum q2s_err err = Q2S_OK;

	story_step(search->story, "owner", "%s at 0x%" PRIx64, region_name(region->kind),
		   region->at.v);
	story_result_text(search->story, "structure", region_name(region->kind));
	story_result(search->story, "offset", region->at.v);
	if (in < region->len && region->kind == REGION_REFBLOCK)
		tell_block(search, region, in);
	else if (in < region->len && (region->kind == REGION_REFTABLE ||
				      region->kind == REGION_L1 || region->kind == REGION_L2))
		err = tell_table(search, region, in, diag);
	return err == Q2S_OK ? spans_visit(search->subject, region, look_at_span, search, diag)
			     : err;
}

/* A structure owns its clusters to their end. */
static enum q2s_err
look_at_region(void *opaque, const struct region *region, struct q2s_diag *diag)
{
	struct search *const search = opaque;
	const uint32_t size = search->subject->geom.cluster_size;
	const uint64_t end = (region->len + size - 1) / size * size;

	if (search->host.v < region->at.v || search->host.v - region->at.v >= end)
		return Q2S_OK;
	search->owners++;
	return search->told++ < TOLD_MAX ? tell_region(search, region, diag) : Q2S_OK;
}

/* ---- guest data -------------------------------------------------------------------------- */

static enum q2s_err
look_at_data(void *opaque, const struct data_range *range, struct q2s_diag *diag)
{
	struct search *const search = opaque;
	const uint64_t in = search->host.v - range->at.v;

	if (search->host.v < range->at.v || in >= range->len)
		return Q2S_OK;
	search->owners++;
	if (search->told++ >= TOLD_MAX)
		return Q2S_OK;
	story_step(search->story, "owner", "guest data, by the L2 entry at 0x%" PRIx64,
		   range->where.v);
	story_result_text(search->story, "structure",
			  range->compressed ? "compressed data" : "guest data");
	story_result(search->story, "entry-offset", range->where.v);
	if (range->compressed)
		story_rule(search->story,
			   "in the sectors of the compressed cluster at guest offset "
			   "0x%" PRIx64,
			   range->guest);
	else
		story_formula(search->story,
			      "guest offset = 0x%" PRIx64 " + (0x%" PRIx64 " - 0x%" PRIx64
			      ") = 0x%" PRIx64,
			      range->guest, search->host.v, range->at.v, range->guest + in);
	story_result(search->story, "guest-offset", range->guest + (range->compressed ? 0 : in));
	return tell_way(
		search,
		(q2s_host){ q2si_round_down(range->where.v, search->subject->geom.cluster_size) },
		range->owner, diag);
}

enum q2s_err
explain_host(struct story *story, const struct subject *subject, q2s_host host, uint64_t *owners,
	     struct q2s_diag *diag)
{
	struct search search = { .story = story, .subject = subject, .host = host };
	const struct explained_layer layer = { .file = subject->file,
					       .header = &subject->header,
					       .geom = &subject->geom };
	enum q2s_err err = regions_visit(subject, look_at_region, &search, diag);

	if (err == Q2S_OK)
		err = regions_visit_data(subject, look_at_data, &search, diag);
	if (err != Q2S_OK)
		return err;
	*owners = search.owners;
	if (search.told > TOLD_MAX) {
		story_step(story, "more", "And %" PRIu64 " more owners", search.told - TOLD_MAX);
		story_result(story, "count", search.told - TOLD_MAX);
	}
	if (search.owners == 0) {
		story_step(story, "nothing", "No structure and no guest data");
		story_rule(story, "nothing in the image refers to this cluster");
	}
	return explain_refcount(story, &layer, host, false, diag);
}
