/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way back: which structure, or which guest bytes, own a byte of the file. */
#include "inspect/explain.h"

#include <inttypes.h>

#include "base/arith.h"
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

/* ---- who leads there --------------------------------------------------------------------- */

/** L1 entries that lead to one L2 table. */
struct references {
	q2s_host l2;
	uint64_t count;
};

static enum q2s_err
count_reference(void *opaque, const struct q2s_structure *it, struct q2s_diag *diag)
{
	struct references *const references = opaque;

	(void)diag;
	references->count += it->at.v == references->l2.v;
	return Q2S_OK;
}

/* An L2 table is told for the first L1 entry that leads to it; here is how many more there are. */
static enum q2s_err
tell_way(const struct search *search, q2s_host l2, uint32_t owner, struct q2s_diag *diag)
{
	struct references references = { .l2 = l2 };
	const struct q2s_walk_options how = { .size = sizeof(how),
					      .kinds = Q2S_WALK_KIND(Q2S_STRUCTURE_L2),
					      .all = true,
					      .structure = count_reference,
					      .opaque = &references };
	const enum q2s_err err = q2s_walk(search->subject->opened, &how, diag);

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
tell_table(const struct search *search, const struct q2s_structure *it, uint64_t in,
	   struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = search->subject->geom;
	const uint32_t size =
		it->kind == Q2S_STRUCTURE_L2 ? geom->l2_entry_size : Q2S_L1_ENTRY_SIZE;
	const uint64_t entry = in / size;
	uint64_t guest = entry * geom->l2_span;

	story_formula(search->story,
		      "entry = (0x%" PRIx64 " - 0x%" PRIx64 ") / %" PRIu32 " = %" PRIu64,
		      search->host.v, it->at.v, size, entry);
	story_result(search->story, "entry", entry);
	if (it->kind == Q2S_STRUCTURE_REFCOUNT_TABLE)
		return Q2S_OK;
	if (it->kind == Q2S_STRUCTURE_L2)
		guest = it->index * geom->l2_span + (entry << geom->cluster_bits);
	story_rule(search->story, "it maps guest bytes from 0x%" PRIx64, guest);
	story_result(search->story, "guest-offset", guest);
	return it->kind == Q2S_STRUCTURE_L2 ? tell_way(search, it->at, it->owner, diag)
					 : Q2S_OK;
}

static void
tell_block(const struct search *search, const struct q2s_structure *it, uint64_t in)
{
	const struct q2s_geom *const geom = search->subject->geom;
	const uint64_t slot = in * 8 / geom->refcount_bits;
	const uint64_t cluster = (it->index << geom->block_bits) + slot;

	story_formula(search->story, "slot = %" PRIu64 " * 8 / %" PRIu32 " = %" PRIu64, in,
		      geom->refcount_bits, slot);
	story_rule(search->story, "the refcount of the host cluster at 0x%" PRIx64,
		   cluster << geom->cluster_bits);
	story_result(search->story, "counts-offset", cluster << geom->cluster_bits);
}

static enum q2s_err
tell_structure(struct search *search, const struct q2s_structure *it, struct q2s_diag *diag)
{
	const uint64_t in = search->host.v - it->at.v;
	enum q2s_err err = Q2S_OK;

	story_step(search->story, "owner", "%s at 0x%" PRIx64, q2s_structure_name(it->kind),
		   it->at.v);
	story_result_text(search->story, "structure", q2s_structure_name(it->kind));
	story_result(search->story, "offset", it->at.v);
	if (in < it->len && it->kind == Q2S_STRUCTURE_REFCOUNT_BLOCK)
		tell_block(search, it, in);
	else if (in < it->len && (it->kind == Q2S_STRUCTURE_REFCOUNT_TABLE ||
				      it->kind == Q2S_STRUCTURE_L1 || it->kind == Q2S_STRUCTURE_L2))
		err = tell_table(search, it, in, diag);
	return err == Q2S_OK ? spans_visit(search->subject, it, look_at_span, search, diag)
			     : err;
}

/* A structure owns its clusters to their end. */
static enum q2s_err
look_at_structure(void *opaque, const struct q2s_structure *it, struct q2s_diag *diag)
{
	struct search *const search = opaque;
	const uint32_t size = search->subject->geom->cluster_size;
	const uint64_t end = (it->len + size - 1) / size * size;

	if (search->host.v < it->at.v || search->host.v - it->at.v >= end)
		return Q2S_OK;
	search->owners++;
	return search->told++ < TOLD_MAX ? tell_structure(search, it, diag) : Q2S_OK;
}

/* ---- guest data -------------------------------------------------------------------------- */

static enum q2s_err
look_at_data(void *opaque, const struct q2s_structure *table, const struct q2s_table_entry *it,
	     struct q2s_diag *diag)
{
	struct search *const search = opaque;
	struct data_range range;
	uint64_t in;

	if (!data_range(search->subject, it, &range))
		return Q2S_OK;
	in = search->host.v - range.at.v;
	if (search->host.v < range.at.v || in >= range.len)
		return Q2S_OK;
	search->owners++;
	if (search->told++ >= TOLD_MAX)
		return Q2S_OK;
	story_step(search->story, "owner", "guest data, by the L2 entry at 0x%" PRIx64, it->at.v);
	story_result_text(search->story, "structure",
			  it->l2.compressed ? "compressed data" : "guest data");
	story_result(search->story, "entry-offset", it->at.v);
	if (it->l2.compressed)
		story_rule(search->story,
			   "in the sectors of the compressed cluster at guest offset "
			   "0x%" PRIx64,
			   it->guest);
	else
		story_formula(search->story,
			      "guest offset = 0x%" PRIx64 " + (0x%" PRIx64 " - 0x%" PRIx64
			      ") = 0x%" PRIx64,
			      it->guest, search->host.v, range.at.v, it->guest + in);
	story_result(search->story, "guest-offset", it->guest + (it->l2.compressed ? 0 : in));
	return tell_way(search, table->at, table->owner, diag);
}

enum q2s_err
explain_host(struct story *story, const struct subject *subject, q2s_host host, uint64_t *owners,
	     struct q2s_diag *diag)
{
	struct search search = { .story = story, .subject = subject, .host = host };
	const struct explained_layer layer = { .file = subject->file,
					       .header = subject->header,
					       .geom = subject->geom };
	const struct q2s_walk_options how = { .size = sizeof(how),
					      .structure = look_at_structure, .opaque = &search };
	enum q2s_err err = q2s_walk(subject->opened, &how, diag);

	if (err == Q2S_OK)
		err = data_visit(subject, look_at_data, &search, diag);
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
