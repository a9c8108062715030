/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * L2 tables, each read once, in the order of the file. Most of what they hold is runs: data
 * clusters side by side with the same flags. Those are found in a tight loop and counted as one.
 */
#include "l2.h"

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/zero.h"
#include "decoder.h"

/* Tables that lie closer together than this are read together. */
#define GAP_MAX (16u << 10)
/* How far the kernel is asked to read ahead, in tables. */
#define AHEAD 32u

/* ---- one table --------------------------------------------------------------------------- */

static inline uint64_t
entry_at(const uint8_t *raw, uint32_t index, unsigned shift)
{
	return q2si_get_be64(raw + ((size_t)index << shift));
}

/* The first entry behind @i that is not its predecessor plus one cluster. */
static uint32_t
standard_run(const uint8_t *raw, uint32_t i, uint32_t n, uint64_t step)
{
	uint64_t entry = entry_at(raw, i, 3);

	while (++i < n && entry_at(raw, i, 3) == entry + step)
		entry += step;
	return i;
}

/* The counts of entries a few places ahead, while those before them are counted. */
#define PREFETCH 16u

static inline void
prefetch(const struct q2si_l2_walk *walk, uint32_t i, unsigned shift)
{
	const struct q2s_geom *geom = walk->ck->geom;
	uint64_t host;

	if (i + PREFETCH >= geom->l2_entries)
		return;
	host = entry_at(walk->raw, i + PREFETCH, shift) & Q2S_ENTRY_HOST_MASK;
	q2si_counts_prefetch(&walk->ck->counted, host >> geom->cluster_bits);
}

static bool
bitmap_is_legal(uint64_t map)
{
	return !(map >> 32 & map & UINT32_MAX);
}

static uint32_t
extended_run(const uint8_t *raw, uint32_t i, uint32_t n, uint64_t step)
{
	uint64_t entry = entry_at(raw, i, 4);

	while (++i < n && entry_at(raw, i, 4) == entry + step &&
	       bitmap_is_legal(q2si_get_be64(raw + ((size_t)i << 4) + 8)))
		entry += step;
	return i;
}

static enum q2s_err
scan_standard(struct q2si_l2_walk *walk)
{
	const struct q2s_geom *geom = walk->ck->geom;
	const uint64_t zero = geom->version >= 3 ? Q2S_ENTRY_ZERO : 0;
	const uint64_t host = Q2S_ENTRY_HOST_MASK & ~(uint64_t)(geom->cluster_size - 1);
	const uint64_t odd = ~(Q2S_ENTRY_COPIED | zero | host);
	struct q2si_l2_run run;

	for (uint32_t i = 0, next; i < geom->l2_entries; i = next) {
		const uint64_t entry = entry_at(walk->raw, i, 3);

		next = i + 1;
		if (!(entry & ~zero))
			continue;
		if (entry & odd || !(entry & host)) {
			Q2SI_TRY(q2si_l2_count_entry(walk, i));
			continue;
		}
		prefetch(walk, i, 3);
		next = standard_run(walk->raw, i, geom->l2_entries, geom->cluster_size);
		run = (struct q2si_l2_run){ i, next - i, entry & host, entry & Q2S_ENTRY_COPIED };
		walk->one_run = run.n == geom->l2_entries;
		Q2SI_TRY(q2si_l2_count_run(walk, &run));
	}
	return Q2S_OK;
}

static enum q2s_err
scan_extended(struct q2si_l2_walk *walk)
{
	const struct q2s_geom *geom = walk->ck->geom;
	const uint64_t host = Q2S_ENTRY_HOST_MASK & ~(uint64_t)(geom->cluster_size - 1);
	const uint64_t odd = ~(Q2S_ENTRY_COPIED | host);
	struct q2si_l2_run run;

	for (uint32_t i = 0, next; i < geom->l2_entries; i = next) {
		const uint64_t entry = entry_at(walk->raw, i, 4);
		const uint64_t map = q2si_get_be64(walk->raw + ((size_t)i << 4) + 8);

		next = i + 1;
		if (entry == 0 && !(map & UINT32_MAX))
			continue;
		if (entry & odd || !(entry & host) || !bitmap_is_legal(map)) {
			Q2SI_TRY(q2si_l2_count_entry(walk, i));
			continue;
		}
		prefetch(walk, i, 4);
		next = extended_run(walk->raw, i, geom->l2_entries, geom->cluster_size);
		run = (struct q2si_l2_run){ i, next - i, entry & host, entry & Q2S_ENTRY_COPIED };
		Q2SI_TRY(q2si_l2_count_run(walk, &run));
	}
	return Q2S_OK;
}

/* Entries that no guest offset leads to; only the last table of the disk can have them. */
static void
check_past_disk(const struct q2si_l2_walk *walk)
{
	const struct q2s_geom *geom = walk->ck->geom;
	const uint64_t first = (uint64_t)walk->table->l1_index * geom->l2_entries;
	const unsigned shift = geom->extended ? 4 : 3;
	uint64_t stray = 0;

	if (!walk->table->active || first >= geom->clusters ||
	    geom->clusters - first >= geom->l2_entries)
		return;
	for (uint32_t i = (uint32_t)(geom->clusters - first); i < geom->l2_entries; i++)
		stray += entry_at(walk->raw, i, shift) != 0;
	if (stray)
		q2si_report(walk->ck, L2_PAST_DISK, .host = { walk->at }, Q2SI_VALUES(stray, 0));
}

static enum q2s_err
check_table(struct q2si_checker *ck, const struct q2si_table *table, struct q2si_decoder *decoder,
	    const uint8_t *raw)
{
	struct q2si_l2_walk walk = {
		.ck = ck,
		.table = table,
		.decoder = decoder,
		.at = table->cluster << ck->geom->cluster_bits,
		.raw = raw,
	};

	Q2SI_TRY(ck->geom->extended ? scan_extended(&walk) : scan_standard(&walk));
	/* All of a table that is one run follows from its first entry. */
	q2si_digest_add(ck, walk.at, raw,
			walk.one_run ? Q2S_L2_ENTRY_SIZE : ck->geom->cluster_size);
	if (walk.inactive_copied)
		q2si_report(ck, SNAPSHOT_COPIED, .host = { walk.at },
			    Q2SI_VALUES(walk.inactive_copied, 0));
	check_past_disk(&walk);
	return Q2S_OK;
}

/* ---- all tables -------------------------------------------------------------------------- */

static uint64_t
table_at(const struct q2si_checker *ck, size_t index)
{
	return ck->tables.list[index].cluster << ck->geom->cluster_bits;
}

/* One past the last of the tables from @i on that are read together. */
static size_t
group_end(const struct q2si_checker *ck, size_t i)
{
	const uint64_t size = ck->geom->cluster_size;
	const uint64_t start = table_at(ck, i);
	size_t end = i + 1;

	while (end < ck->tables.count && table_at(ck, end) + size - start <= Q2SI_WINDOW &&
	       table_at(ck, end) - table_at(ck, end - 1) - size <= GAP_MAX)
		end++;
	return end;
}

/* Ask for the tables up to @end; neighbours in one request. Returns the first not asked for. */
static size_t
ask_ahead(const struct q2si_checker *ck, size_t i, size_t end)
{
	const uint64_t size = ck->geom->cluster_size;

	end = q2si_min_size(end, ck->tables.count);
	while (i < end) {
		const uint64_t start = table_at(ck, i);
		uint64_t len = size;

		while (++i < end && table_at(ck, i) == start + len)
			len += size;
		q2s_store_will_need(ck->file, start, len);
	}
	return i;
}

static enum q2s_err
check_group(struct q2si_checker *ck, size_t i, size_t end, struct q2si_decoder *decoder)
{
	const uint64_t start = table_at(ck, i);
	const size_t len = (size_t)(table_at(ck, end - 1) + ck->geom->cluster_size - start);

	if (ck->expect_hole && q2si_in_hole(ck, start, len))
		return Q2S_OK;
	if (!q2si_read(ck, start, ck->window, len, "L2 table"))
		return Q2S_OK;
	ck->expect_hole = q2si_is_zero(ck->window, len);
	for (; i < end; i++)
		Q2SI_TRY(check_table(ck, &ck->tables.list[i], decoder,
				     ck->window + (table_at(ck, i) - start)));
	return Q2S_OK;
}

static enum q2s_err
tell_progress(const struct q2si_checker *ck, size_t done)
{
	const struct q2s_observer *observer = ck->options->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_CHECK, done * ck->geom->l2_span,
					ck->tables.count * ck->geom->l2_span))
		return Q2S_OK;
	return Q2S_E_CANCELLED;
}

static enum q2s_err
check_tables(struct q2si_checker *ck, struct q2si_decoder *decoder)
{
	size_t asked = 0;

	for (size_t i = 0, end; i < ck->tables.count; i = end) {
		end = group_end(ck, i);
		if (asked < end + AHEAD / 2)
			asked = ask_ahead(ck, q2si_max(asked, end), end + AHEAD);
		Q2SI_TRY(check_group(ck, i, end, decoder));
		Q2SI_TRY(tell_progress(ck, end));
	}
	return Q2S_OK;
}

enum q2s_err
q2si_check_l2(struct q2si_checker *ck)
{
	struct q2si_decoder *decoder = NULL;
	enum q2s_err err;

	if (ck->options->decode)
		Q2SI_TRY(q2si_decoder_open(ck->image, &decoder, NULL));
	err = check_tables(ck, decoder);
	q2si_decoder_close(decoder);
	return err;
}
