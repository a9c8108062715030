/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which refcounts changed, and which of those that rose count a cluster that nothing refers to. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "common/fault.h"
#include "common/json.h"
#include "inspect/diff.h"

/** Of more clusters than these whose count rose from 0 it is not asked who refers to them. */
#define RISEN_MAX (1u << 20)

/** A count that was 0. */
struct risen {
	uint64_t number;
	bool referenced;
};

/** Clusters in a row with the same counts, and those whose count was 0. @blocks: one of each state.
 */
struct counts {
	struct diff *diff;
	uint64_t first, count;
	uint64_t before, after;
	struct risen *risen;
	size_t risen_count, risen_cap;
	uint8_t *blocks[2];
};

/* ---- runs -------------------------------------------------------------------------------- */

static void
run_end(struct counts *counts)
{
	struct diff *const diff = counts->diff;
	const uint32_t bits = diff->after->geom->cluster_bits;
	const uint64_t from = counts->first << bits;
	const uint64_t last = ((counts->first + counts->count) << bits) - 1;

	if (counts->count == 0)
		return;
	diff_item(&diff->out,
		  json_pack("{s:o, s:o, s:o, s:o}", "host-offset", u64_json(from), "clusters",
			    u64_json(counts->count), "before", u64_json(counts->before), "after",
			    u64_json(counts->after)),
		  "host 0x%" PRIx64 "..0x%" PRIx64 "  %" PRIu64 " -> %" PRIu64, from, last,
		  counts->before, counts->after);
	counts->count = 0;
}

static enum q2s_err
add_risen(struct counts *counts, uint64_t number, struct q2s_diag *diag)
{
	const size_t cap = counts->risen_cap ? 2 * counts->risen_cap : 64;

	if (counts->risen_count == RISEN_MAX)
		return Q2S_OK;
	if (counts->risen_count == counts->risen_cap) {
		struct risen *const more = realloc(counts->risen, cap * sizeof(*more));

		if (!more)
			return fault_nomem(diag, "list of refcounts");
		counts->risen = more;
		counts->risen_cap = cap;
	}
	counts->risen[counts->risen_count++] = (struct risen){ .number = number };
	return Q2S_OK;
}

static enum q2s_err
add_count(struct counts *counts, uint64_t number, uint64_t before, uint64_t after,
	  struct q2s_diag *diag)
{
	if (counts->count && counts->first + counts->count == number && counts->before == before &&
	    counts->after == after) {
		counts->count++;
	} else {
		run_end(counts);
		counts->first = number;
		counts->count = 1;
		counts->before = before;
		counts->after = after;
	}
	return before == 0 ? add_risen(counts, number, diag) : Q2S_OK;
}

/* ---- blocks ------------------------------------------------------------------------------ */

/* All counts are 0 where there is no block. */
static enum q2s_err
load(const struct subject *subject, q2s_host at, uint8_t *buf, struct q2s_diag *diag)
{
	if (at.v)
		return q2s_store_read_padded(subject->file, at.v, buf, subject->geom->cluster_size,
					     NULL, diag);
	memset(buf, 0, subject->geom->cluster_size);
	return Q2S_OK;
}

static enum q2s_err
compare_blocks(struct counts *counts, uint64_t index, q2s_host a, q2s_host b, struct q2s_diag *diag)
{
	const struct diff *const diff = counts->diff;
	const struct q2s_geom *const geom = diff->after->geom;
	enum q2s_err err = load(diff->before, a, counts->blocks[0], diag);

	if (err == Q2S_OK)
		err = load(diff->after, b, counts->blocks[1], diag);
	if (err != Q2S_OK || memcmp(counts->blocks[0], counts->blocks[1], geom->cluster_size) == 0)
		return err;
	for (uint32_t slot = 0; slot < geom->block_entries && err == Q2S_OK; slot++) {
		const uint64_t before = q2s_refcount_get(geom, counts->blocks[0], slot);
		const uint64_t after = q2s_refcount_get(geom, counts->blocks[1], slot);

		if (before != after)
			err = add_count(counts, (index << geom->block_bits) + slot, before, after,
					diag);
	}
	return err;
}

/* Where a table of refcount blocks says that block @index lies; 0 for none. */
static enum q2s_err
block_of(const struct subject *subject, struct q2s_table *table, uint64_t index, q2s_host *out,
	 struct q2s_diag *diag)
{
	const uint8_t *raw;
	enum q2s_err err;

	*out = (q2s_host){ 0 };
	if (index >= table->count)
		return Q2S_OK;
	err = q2s_table_get(table, index, &raw, diag);
	if (err == Q2S_OK &&
	    q2s_reftable_decode(subject->geom, raw, q2s_table_at(table, index), out, NULL) !=
		    Q2S_OK)
		*out = (q2s_host){ 0 };
	return err;
}

/* One that is not in the file has no entries. */
static enum q2s_err
open_reftable(const struct subject *subject, struct q2s_table *out, struct q2s_diag *diag)
{
	*out = (struct q2s_table){ 0 };
	if (subject->header->refcount_table_offset.v >= q2s_store_size(subject->file))
		return Q2S_OK;
	return q2s_table_open_refcounts(subject->opened, out, diag);
}

static enum q2s_err
compare_tables(struct counts *counts, struct q2s_diag *diag)
{
	struct diff *const diff = counts->diff;
	struct q2s_table a = { 0 }, b = { 0 };
	struct q2s_seen seen = { 0 };
	enum q2s_err err = open_reftable(diff->before, &a, diag);

	if (err == Q2S_OK)
		err = open_reftable(diff->after, &b, diag);
	for (uint64_t i = 0; err == Q2S_OK && i < q2si_max(a.count, b.count); i++) {
		q2s_host in_a, in_b;
		bool may = false;

		err = block_of(diff->before, &a, i, &in_a, diag);
		if (err == Q2S_OK)
			err = block_of(diff->after, &b, i, &in_b, diag);
		if (err == Q2S_OK && (in_a.v || in_b.v))
			err = diff_may_visit(diff, &seen, in_a, in_b,
					     diff->after->geom->block_entries, &may, diag);
		if (err == Q2S_OK && may)
			err = compare_blocks(counts, i, in_a, in_b, diag);
	}
	q2s_seen_free(&seen);
	q2s_table_close(&a);
	q2s_table_close(&b);
	return err;
}

/* ---- who refers to them ------------------------------------------------------------------ */

static void
refer(struct counts *counts, uint64_t at, uint64_t len)
{
	const uint32_t bits = counts->diff->after->geom->cluster_bits;
	const uint64_t first = at >> bits, last = (at + (len - 1)) >> bits;
	size_t low = 0, high = counts->risen_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (counts->risen[middle].number < first)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < counts->risen_count && counts->risen[low].number <= last; low++)
		counts->risen[low].referenced = true;
}

static enum q2s_err
refer_structure(void *opaque, const struct q2s_structure *it, struct q2s_diag *diag)
{
	(void)diag;
	refer(opaque, it->at.v, it->len);
	return Q2S_OK;
}

static enum q2s_err
refer_data(void *opaque, const struct q2s_structure *in, const struct q2s_table_entry *it,
	   struct q2s_diag *diag)
{
	struct counts *const counts = opaque;
	struct data_range range;

	(void)in;
	(void)diag;
	if (data_range(counts->diff->after, it, &range))
		refer(counts, range.at.v, range.len);
	return Q2S_OK;
}

static enum q2s_err
find_leaked(struct counts *counts, struct q2s_diag *diag)
{
	struct diff *const diff = counts->diff;
	const struct q2s_walk_options how = { .size = sizeof(how),
					      .structure = refer_structure, .opaque = counts };
	uint64_t leaked = 0, first = 0;
	enum q2s_err err;

	if (counts->risen_count == 0)
		return Q2S_OK;
	err = q2s_walk(diff->after->opened, &how, diag);
	if (err == Q2S_OK)
		err = data_visit(diff->after, refer_data, counts, diag);
	for (size_t i = 0; err == Q2S_OK && i < counts->risen_count; i++) {
		if (counts->risen[i].referenced)
			continue;
		if (leaked++ == 0)
			first = counts->risen[i].number << diff->after->geom->cluster_bits;
	}
	if (leaked)
		diff_event(
			diff, "leak",
			"leaked: the refcounts of %" PRIu64 " %s rose, the first at 0x%" PRIx64
			", and nothing refers to them: what a write leaves that was cut off before "
			"its L2 entry",
			leaked, leaked == 1 ? "cluster" : "clusters", first);
	return err;
}

enum q2s_err
diff_refcounts(struct diff *diff, struct q2s_diag *diag)
{
	const uint32_t size = diff->after->geom->cluster_size;
	struct counts counts = { .diff = diff, .blocks = { malloc(size), malloc(size) } };
	enum q2s_err err = Q2S_OK;

	diff_section(&diff->out, "refcounts", "Refcounts");
	if (!counts.blocks[0] || !counts.blocks[1])
		err = fault_nomem(diag, "refcount blocks");
	else if (diff->same_counts)
		err = compare_tables(&counts, diag);
	run_end(&counts);
	diff_section_end(&diff->out);
	if (err == Q2S_OK)
		err = find_leaked(&counts, diag);
	free(counts.blocks[0]);
	free(counts.blocks[1]);
	free(counts.risen);
	return err;
}
