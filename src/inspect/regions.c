/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walking over all structures of an image. */
#include "inspect/regions.h"

#include "base/arith.h"
#include "inspect/extensions.h"
#include "inspect/records.h"
#include "inspect/seen.h"
#include "inspect/table.h"

/** A walk in progress. @seen: what entries led to, and bitmap tables. */
struct walk {
	const struct subject *subject;
	region_visit visit;
	void *opaque;
	struct seen seen;
};

static enum q2s_err
found(const struct walk *walk, struct region region, struct q2s_diag *diag)
{
	return region.len ? walk->visit(walk->opaque, &region, diag) : Q2S_OK;
}

/* One cluster, which other entries may lead to, too. (Nothing is to be read past the end.) */
static enum q2s_err
found_cluster(struct walk *walk, struct region region, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;
	bool again = false;

	region.len = walk->subject->geom.cluster_size;
	if (region.at.v < q2s_file_size(walk->subject->file))
		err = seen_add(&walk->seen, region.at, region.kind, &again, diag);
	return err == Q2S_OK && !again ? found(walk, region, diag) : err;
}

/* A table past the end of the file holds nothing. */
static enum q2s_err
open_table(const struct walk *walk, q2s_host at, uint64_t count, struct table *table,
	   struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	const enum q2s_err err =
		table_open(walk->subject->file, at, count, Q2S_L1_ENTRY_SIZE, "table", table, &why);

	if (err == Q2S_E_TRUNCATED) {
		*table = (struct table){ 0 };
		return Q2S_OK;
	}
	if (err != Q2S_OK)
		*diag = why;
	return err;
}

/* Where an entry of a table leads to: false for one that is empty or malformed. */
typedef bool (*target_fn)(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
			  q2s_host *out);

/* Visit what the @count first entries of a table of 8-byte entries lead to: one cluster each. */
static enum q2s_err
visit_targets(struct walk *walk, const struct region *from, uint64_t count, target_fn target,
	      enum region_kind kind, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &walk->subject->geom;
	struct table table = { 0 };
	const uint8_t *raw;
	uint64_t index = 0;
	enum q2s_err err = open_table(walk, from->at, count, &table, diag);

	for (; err == Q2S_OK; index++) {
		q2s_host to;

		err = table_next(&table, index, &index, diag);
		if (err != Q2S_OK || index >= table.count)
			break;
		err = table_get(&table, index, &raw, diag);
		if (err == Q2S_OK && target(geom, raw, table_at(&table, index), &to))
			err = found_cluster(walk,
					    (struct region){ .kind = kind,
							     .at = to,
							     .owner = from->owner,
							     .index = index },
					    diag);
	}
	table_close(&table);
	return err;
}

/* ---- refcounts --------------------------------------------------------------------------- */

static bool
block_target(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at, q2s_host *out)
{
	return q2s_reftable_decode(geom, raw, at, out, NULL) == Q2S_OK && out->v != 0;
}

static enum q2s_err
visit_refcounts(struct walk *walk, struct q2s_diag *diag)
{
	const struct q2s_header *const header = &walk->subject->header;
	const struct region table = {
		.kind = REGION_REFTABLE,
		.at = header->refcount_table_offset,
		.len = q2si_min((uint64_t)header->refcount_table_clusters
					<< walk->subject->geom.cluster_bits,
				Q2S_REFTABLE_MAX_BYTES),
	};
	enum q2s_err err = found(walk, table, diag);

	if (err == Q2S_OK)
		err = visit_targets(walk, &table, table.len / Q2S_REFTABLE_ENTRY_SIZE, block_target,
				    REGION_REFBLOCK, diag);
	return err;
}

/* ---- L1 and L2 --------------------------------------------------------------------------- */

static bool
l2_target(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at, q2s_host *out)
{
	(void)at;
	return l1_target(geom, raw, out);
}

static enum q2s_err
visit_l1(void *opaque, const struct l1_ref *ref, struct q2s_diag *diag)
{
	struct walk *const walk = opaque;
	const struct region table = { .kind = REGION_L1,
				      .at = ref->at,
				      .len = ref->entries * Q2S_L1_ENTRY_SIZE,
				      .owner = ref->owner };
	const enum q2s_err err = found(walk, table, diag);

	return err == Q2S_OK ? visit_targets(walk, &table, ref->fresh, l2_target, REGION_L2, diag)
			     : err;
}

/* ---- records ----------------------------------------------------------------------------- */

static enum q2s_err
visit_snapshot_table(const struct walk *walk, struct q2s_diag *diag)
{
	struct record_walk records = snapshot_walk_begin(walk->subject);
	const q2s_host start = records.at;
	struct q2s_snapshot snapshot;
	struct record record;
	enum q2s_err err;
	uint64_t len;

	while (snapshot_walk_next(&records, &record, &snapshot, &err, diag))
		;
	len = records.at.v - start.v;
	record_walk_end(&records);
	if (err != Q2S_OK)
		return err;
	return found(walk, (struct region){ .kind = REGION_SNAPSHOTS, .at = start, .len = len },
		     diag);
}

static bool
bitmap_target(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at, q2s_host *out)
{
	struct q2s_bitmap_table_entry entry;

	if (q2s_bitmap_table_decode(geom, raw, at, &entry, NULL) != Q2S_OK)
		return false;
	*out = entry.cluster;
	return out->v != 0;
}

static enum q2s_err
visit_bitmap(struct walk *walk, uint32_t number, const struct q2s_bitmap *bitmap,
	     struct q2s_diag *diag)
{
	const struct region table = {
		.kind = REGION_BITMAP_TABLE,
		.at = bitmap->table_offset,
		.len = (uint64_t)bitmap->table_entries * Q2S_BITMAP_TABLE_ENTRY_SIZE,
		.owner = number,
	};
	const struct seen_table entries = { .at = bitmap->table_offset,
					    .count = bitmap->table_entries,
					    .entry_size = Q2S_BITMAP_TABLE_ENTRY_SIZE,
					    .kind = REGION_BITMAP_TABLE };
	uint64_t fresh = 0;
	enum q2s_err err = found(walk, table, diag);

	if (err == Q2S_OK)
		err = seen_add_table(&walk->seen, walk->subject->file, &walk->subject->geom,
				     &entries, &fresh, diag);
	if (err == Q2S_OK)
		err = visit_targets(walk, &table, fresh, bitmap_target, REGION_BITMAP_DATA, diag);
	return err;
}

static enum q2s_err
visit_bitmaps(struct walk *walk, const struct q2s_ext *ext, struct q2s_diag *diag)
{
	struct q2s_ext_bitmaps bitmaps;
	struct record_walk records;
	struct q2s_bitmap bitmap;
	struct record record;
	enum q2s_err err, read = Q2S_OK;

	if (q2s_ext_bitmaps_decode(&walk->subject->geom, ext, &bitmaps, NULL) != Q2S_OK)
		return Q2S_OK;
	err = found(walk,
		    (struct region){ .kind = REGION_BITMAP_DIRECTORY,
				     .at = bitmaps.directory_offset,
				     .len = bitmaps.directory_size },
		    diag);
	records = bitmap_walk_begin(walk->subject, &bitmaps);
	for (uint32_t i = 0;
	     err == Q2S_OK && bitmap_walk_next(&records, &record, &bitmap, &read, diag); i++) {
		if (record.fault.err == Q2S_OK)
			err = visit_bitmap(walk, i, &bitmap, diag);
	}
	record_walk_end(&records);
	return err != Q2S_OK ? err : read;
}

static enum q2s_err
visit_extensions(struct walk *walk, struct q2s_diag *diag)
{
	const struct subject *const subject = walk->subject;
	struct extension_walk extensions =
		extension_walk_begin(&subject->header, subject->head, subject->head_size);
	struct q2s_ext_crypto crypto;
	struct q2s_ext ext;
	enum q2s_err err = Q2S_OK;

	while (err == Q2S_OK && extension_walk_next(&extensions, &ext, NULL)) {
		if (ext.type == Q2S_EXT_BITMAPS)
			err = visit_bitmaps(walk, &ext, diag);
		else if (ext.type == Q2S_EXT_CRYPTO &&
			 q2s_ext_crypto_decode(&subject->geom, &ext, &crypto, NULL) == Q2S_OK)
			err = found(walk,
				    (struct region){ .kind = REGION_LUKS,
						     .at = crypto.offset,
						     .len = crypto.length },
				    diag);
	}
	return err;
}

/* ---- all --------------------------------------------------------------------------------- */

enum q2s_err
regions_visit(const struct subject *subject, region_visit visit, void *opaque,
	      struct q2s_diag *diag)
{
	struct walk walk = { .subject = subject, .visit = visit, .opaque = opaque };
	enum q2s_err err = found(
		&walk, (struct region){ .kind = REGION_HEADER, .len = subject->geom.cluster_size },
		diag);

	if (err == Q2S_OK)
		err = visit_refcounts(&walk, diag);
	if (err == Q2S_OK)
		err = l1_tables(subject, visit_l1, &walk, diag);
	if (err == Q2S_OK)
		err = visit_snapshot_table(&walk, diag);
	if (err == Q2S_OK)
		err = visit_extensions(&walk, diag);
	seen_free(&walk.seen);
	return err;
}

const char *
region_name(enum region_kind kind)
{
	static const char *const names[] = {
		[REGION_HEADER] = "header cluster",
		[REGION_REFTABLE] = "refcount table",
		[REGION_REFBLOCK] = "refcount block",
		[REGION_L1] = "L1 table",
		[REGION_L2] = "L2 table",
		[REGION_SNAPSHOTS] = "snapshot table",
		[REGION_BITMAP_DIRECTORY] = "bitmap directory",
		[REGION_BITMAP_TABLE] = "bitmap table",
		[REGION_BITMAP_DATA] = "bitmap data",
		[REGION_LUKS] = "encryption header",
	};

	return names[kind];
}
