/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `report`: host clusters that hold structures other than L1 and L2 tables; refcounts. */
#include "inspect/report.h"

#include "base/arith.h"
#include "inspect/extensions.h"

/* ---- refcounts --------------------------------------------------------------------------- */

typedef void (*block_visit)(struct report *report, uint64_t index, q2s_host block);

static void
each_block(struct report *report, block_visit visit)
{
	struct q2s_diag diag = { 0 };
	struct q2s_table table = { 0 };
	const uint8_t *raw;
	q2s_host block;
	enum q2s_err err = q2s_table_open_refcounts(report->subject->opened, &table, &diag);

	for (uint64_t i = 0; err == Q2S_OK; i++) {
		err = q2s_table_next(&table, &i, &raw, &diag);
		if (err != Q2S_OK || i == table.count)
			break;
		if (q2s_reftable_decode(report->geom, raw, q2s_table_at(&table, i), &block, NULL) ==
		    Q2S_OK)
			visit(report, i, block);
	}
	if (err != Q2S_OK)
		report_trouble(report, &diag);
	q2s_table_close(&table);
}

static void
mark_block(struct report *report, uint64_t index, q2s_host block)
{
	const struct q2s_geom *const geom = report->geom;
	const struct host_sample sample = {
		.at = block,
		.kind = HOST_REFBLOCK,
		.has_counts = true,
		.counts = { index << geom->block_bits << geom->cluster_bits },
	};

	report_mark_sample(report, &sample);
}

static void
judge_refcount(struct report *report, q2s_host at, uint64_t refcount)
{
	if (refcount && report_host_kind(report, at) == HOST_FREE)
		report_mark(report, at, HOST_LEAKED, NULL);
	report_refcount(report, at, refcount);
}

/* Only counts that matter are read: most clusters of a large file have an owner, and no sample. */
static void
judge_block(struct report *report, uint64_t index, q2s_host block)
{
	const struct q2s_geom *const geom = report->geom;
	const uint64_t first = index << geom->block_bits;
	const uint64_t clusters =
		q2si_div_up(q2s_store_size(report->subject->file), geom->cluster_size);
	const uint32_t per_sector = Q2S_SECTOR * 8 / geom->refcount_bits;
	struct q2s_diag diag = { 0 };
	struct q2s_table table;
	const uint8_t *raw;

	if (first >= clusters || report_is_hole(report, block) ||
	    !report_work(report, geom->block_entries))
		return;
	/* One entry: the whole block. It may have more bytes than a table reads at a time. */
	if (q2s_table_open(report->subject->file, block, geom->cluster_size / Q2S_SECTOR, Q2S_SECTOR,
		       "refcount block", &table, &diag) != Q2S_OK) {
		report_trouble(report, &diag);
		return;
	}
	for (uint32_t i = 0; i < geom->block_entries && first + i < clusters; i++) {
		const q2s_host at = { (first + i) << geom->cluster_bits };

		if (report_host_kind(report, at) != HOST_FREE && !report_is_sample(report, at))
			continue;
		if (q2s_table_get(&table, i / per_sector, &raw, &diag) != Q2S_OK) {
			report_trouble(report, &diag);
			break;
		}
		judge_refcount(report, at, q2s_refcount_get(geom, raw, i % per_sector));
	}
	q2s_table_close(&table);
}

void
report_refcounts(struct report *report)
{
	each_block(report, judge_block);
}

/* ---- records ----------------------------------------------------------------------------- */

static void
mark_snapshot_table(struct report *report)
{
	struct q2s_records walk = q2s_records_snapshots(report->subject->opened);
	struct q2s_snapshot snapshot;
	struct q2s_diag diag = { 0 };
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK;

	while (q2s_records_next_snapshot(&walk, &record, &snapshot, &err, &diag))
		report_mark_range(report, record.at, q2si_max(record.bytes, 1), HOST_SNAPSHOT);
	if (err != Q2S_OK)
		report_trouble(report, &diag);
	q2s_records_end(&walk);
}

static void
mark_bitmap(struct report *report, const struct q2s_bitmap *bitmap)
{
	struct q2s_diag diag = { 0 };
	struct q2s_table table = { 0 };
	const uint8_t *raw;
	enum q2s_err err =
		q2s_table_open(report->subject->file, bitmap->table_offset, bitmap->table_entries,
			   Q2S_BITMAP_TABLE_ENTRY_SIZE, "bitmap table", &table, &diag);

	report_mark_range(report, bitmap->table_offset,
			  (uint64_t)bitmap->table_entries * Q2S_BITMAP_TABLE_ENTRY_SIZE,
			  HOST_BITMAP);
	for (uint64_t i = 0; err == Q2S_OK && i < table.count; i++) {
		struct q2s_bitmap_table_entry entry;

		err = report_work(report, 1) ? q2s_table_get(&table, i, &raw, &diag) : Q2S_E_LIMIT;
		if (err == Q2S_OK &&
		    q2s_bitmap_table_decode(report->geom, raw, q2s_table_at(&table, i), &entry,
					    NULL) == Q2S_OK &&
		    entry.cluster.v)
			report_mark(report, entry.cluster, HOST_BITMAP, NULL);
	}
	if (err != Q2S_OK && err != Q2S_E_LIMIT)
		report_trouble(report, &diag);
	q2s_table_close(&table);
}

static void
mark_bitmaps(struct report *report, const struct q2s_ext *ext)
{
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_records walk;
	struct q2s_bitmap bitmap;
	struct q2s_diag diag = { 0 };
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK;

	if (q2s_ext_bitmaps_decode(report->geom, ext, &bitmaps, NULL) != Q2S_OK)
		return;
	report_mark_range(report, bitmaps.directory_offset, bitmaps.directory_size, HOST_BITMAP);
	walk = q2s_records_bitmaps(report->subject->opened, &bitmaps);
	while (q2s_records_next_bitmap(&walk, &record, &bitmap, &err, &diag)) {
		if (record.fault.err == Q2S_OK)
			mark_bitmap(report, &bitmap);
	}
	if (err != Q2S_OK)
		report_trouble(report, &diag);
	q2s_records_end(&walk);
}

static void
mark_extensions(struct report *report)
{
	const struct subject *const subject = report->subject;
	struct q2s_extensions walk =
		q2s_image_extensions(subject->opened);
	struct q2s_ext_crypto crypto;
	struct q2s_ext ext;

	while (q2s_extensions_next(&walk, &ext, NULL)) {
		if (ext.type == Q2S_EXT_BITMAPS)
			mark_bitmaps(report, &ext);
		if (ext.type == Q2S_EXT_CRYPTO &&
		    q2s_ext_crypto_decode(report->geom, &ext, &crypto, NULL) == Q2S_OK)
			report_mark_range(report, crypto.offset, crypto.length, HOST_CRYPTO);
	}
}

void
report_metadata(struct report *report)
{
	const struct q2s_header *const header = report->subject->header;
	const uint64_t table = (uint64_t)header->refcount_table_clusters
			       << report->geom->cluster_bits;

	report_mark(report, (q2s_host){ 0 }, HOST_HEADER, NULL);
	report_mark_range(report, header->refcount_table_offset,
			  q2si_min(table, Q2S_REFTABLE_MAX_BYTES), HOST_REFTABLE);
	each_block(report, mark_block);
	mark_snapshot_table(report);
	mark_extensions(report);
}
