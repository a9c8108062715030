/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back: which structure, or which guest bytes, own a byte of the file. */
#include "inspect/explain.h"

#include <inttypes.h>

#include "inspect/spans.h"

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

static const char *
table_words(uint32_t owner)
{
	return owner ? "a snapshot's L1 table" : "the active L1 table";
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
static void
tell_table(const struct search *search, const struct region *region, uint64_t in)
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
		return;
	if (region->kind == REGION_L2)
		guest = region->index * geom->l2_span + (entry << geom->cluster_bits);
	story_rule(search->story, "reached from %s; it maps guest bytes from 0x%" PRIx64,
		   table_words(region->owner), guest);
	story_result(search->story, "guest-offset", guest);
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

	story_step(search->story, "owner", "%s at 0x%" PRIx64, region_name(region->kind),
		   region->at.v);
	story_result_text(search->story, "structure", region_name(region->kind));
	story_result(search->story, "offset", region->at.v);
	if (in < region->len && region->kind == REGION_REFBLOCK)
		tell_block(search, region, in);
	else if (in < region->len && (region->kind == REGION_REFTABLE ||
				      region->kind == REGION_L1 || region->kind == REGION_L2))
		tell_table(search, region, in);
	return spans_visit(search->subject, region, look_at_span, search, diag);
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

	(void)diag;
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
	if (range->compressed) {
		story_rule(search->story,
			   "in the sectors of the compressed cluster at guest offset "
			   "0x%" PRIx64,
			   range->guest);
		story_result(search->story, "guest-offset", range->guest);
		return Q2S_OK;
	}
	story_formula(search->story,
		      "guest offset = 0x%" PRIx64 " + (0x%" PRIx64 " - 0x%" PRIx64 ") = 0x%" PRIx64,
		      range->guest, search->host.v, range->at.v, range->guest + in);
	story_rule(search->story, "reached from %s", table_words(range->owner));
	story_result(search->story, "guest-offset", range->guest + in);
	return Q2S_OK;
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
