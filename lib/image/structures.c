/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walk over all structures of an image. */
#include <q2s/walk.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/options.h"
#include "image.h"

#define BIT(kind) Q2S_WALK_KIND(Q2S_STRUCTURE_##kind)

/** A walk in progress. @seen: what entries led to, and the clusters of tables. */
struct walk {
	const struct q2s_image *image;
	const struct q2s_geom *geom;
	uint64_t file_size;
	const struct q2s_walk_options *how;
	unsigned kinds;
	uint64_t guest_end;
	struct q2s_seen seen;
};

const char *
q2s_structure_name(enum q2s_structure_kind kind)
{
	static const char *const names[] = {
		[Q2S_STRUCTURE_HEADER] = "header cluster",
		[Q2S_STRUCTURE_REFCOUNT_TABLE] = "refcount table",
		[Q2S_STRUCTURE_REFCOUNT_BLOCK] = "refcount block",
		[Q2S_STRUCTURE_L1] = "L1 table",
		[Q2S_STRUCTURE_L2] = "L2 table",
		[Q2S_STRUCTURE_SNAPSHOT_TABLE] = "snapshot table",
		[Q2S_STRUCTURE_SNAPSHOT_L1] = "snapshot L1 table",
		[Q2S_STRUCTURE_BITMAP_DIRECTORY] = "bitmap directory",
		[Q2S_STRUCTURE_BITMAP_TABLE] = "bitmap table",
		[Q2S_STRUCTURE_BITMAP_DATA] = "bitmap data",
		[Q2S_STRUCTURE_CRYPTO] = "encryption header",
	};

	return names[kind];
}

static bool
is_told(const struct walk *walk, enum q2s_structure_kind kind)
{
	return walk->kinds & Q2S_WALK_KIND(kind);
}

static enum q2s_err
tell(const struct walk *walk, struct q2s_structure *it, struct q2s_diag *diag)
{
	struct q2s_diag fault = { 0 };

	if (!walk->how->structure || !is_told(walk, it->kind))
		return Q2S_OK;
	if (!walk->how->all && (it->len == 0 || it->again))
		return Q2S_OK;
	if (it->entries && it->at.v >= walk->file_size) {
		q2si_fail_at(&fault, Q2S_E_TRUNCATED, q2s_structure_name(it->kind), it->at,
			     "lies past the end of the file");
		it->fault = &fault;
	}
	const enum q2s_err err = walk->how->structure(walk->how->opaque, it, diag);

	it->fault = NULL;
	return err;
}

/* How many entries of the table lie before a cluster that is in the set already, and in the file. */
static enum q2s_err
count_fresh(struct walk *walk, struct q2s_structure *table, uint32_t entry_size,
	    struct q2s_diag *diag)
{
	const uint64_t at = table->at.v, size = walk->geom->cluster_size;
	const uint64_t left = at < walk->file_size ? walk->file_size - at : 0;
	const uint64_t bytes = q2si_min(left, table->entries * entry_size);
	uint64_t cluster = q2si_round_down(at, size);

	for (; cluster < at + bytes; cluster += size) {
		bool again = false;

		Q2SI_TRY(q2s_seen_add(&walk->seen, (q2s_host){ cluster }, table->kind, &again,
				      diag));
		if (again) {
			table->fresh = cluster > at ? (cluster - at) / entry_size : 0;
			return Q2S_OK;
		}
	}
	table->fresh = q2si_div_up(bytes, entry_size);
	return Q2S_OK;
}

/* ---- entries ----------------------------------------------------------------------------- */

static void
decode_l1(const struct walk *walk, struct q2s_table_entry *it, struct q2s_diag *fault)
{
	struct q2s_l1_entry entry;

	it->known = q2s_l1_decode(walk->geom, it->raw, it->at, &entry, fault) == Q2S_OK;
	it->copied = it->known && entry.copied;
	/* As leniently as QEMU: reserved bits are passed over. */
	it->has_to = q2s_l1_target(walk->geom, it->raw, &it->to);
}

static void
decode_l2(const struct walk *walk, struct q2s_table_entry *it, struct q2s_diag *fault)
{
	const struct q2s_geom *const geom = walk->geom;

	it->known = q2s_l2_decode(geom, it->raw, it->at, &it->l2, fault) == Q2S_OK ||
		    q2s_l2_decode_lenient(geom, it->raw, it->at, &it->l2, NULL) == Q2S_OK;
	if (!it->known)
		it->l2 = (struct q2s_l2_entry){ 0 };
	it->copied = it->l2.copied;
	it->has_to = it->l2.compressed || it->l2.has_host;
	it->to = it->l2.compressed ? it->l2.comp_at : it->l2.host;
}

static void
decode_refcounts(const struct walk *walk, struct q2s_table_entry *it, struct q2s_diag *fault)
{
	it->known = q2s_reftable_decode(walk->geom, it->raw, it->at, &it->to, fault) == Q2S_OK;
	it->has_to = it->known && it->to.v;
}

static void
decode_bitmap(const struct walk *walk, struct q2s_table_entry *it, struct q2s_diag *fault)
{
	struct q2s_bitmap_table_entry entry;

	it->known = q2s_bitmap_table_decode(walk->geom, it->raw, it->at, &entry, fault) == Q2S_OK;
	it->ones = it->known && entry.ones;
	it->to.v = it->known ? entry.cluster.v : 0;
	it->has_to = it->to.v != 0;
}

/**
 * A kind of table.
 *
 * @target  the kind that its entries lead to; its own: they lead to guest data
 * @what    an entry, for messages
 */
struct table_kind {
	enum q2s_structure_kind target;
	const char *what;
	void (*decode)(const struct walk *walk, struct q2s_table_entry *it, struct q2s_diag *fault);
};

static const struct table_kind table_kinds[] = {
	[Q2S_STRUCTURE_REFCOUNT_TABLE] = { Q2S_STRUCTURE_REFCOUNT_BLOCK, "refcount table entry",
					   decode_refcounts },
	[Q2S_STRUCTURE_L1] = { Q2S_STRUCTURE_L2, "L1 entry", decode_l1 },
	[Q2S_STRUCTURE_L2] = { Q2S_STRUCTURE_L2, "L2 entry", decode_l2 },
	[Q2S_STRUCTURE_BITMAP_TABLE] = { Q2S_STRUCTURE_BITMAP_DATA, "bitmap table entry",
					 decode_bitmap },
};

static enum q2s_err
tell_entry(const struct walk *walk, const struct q2s_structure *in, struct q2s_table_entry *it,
	   struct q2s_diag *fault, struct q2s_diag *diag)
{
	const bool in_file = in->kind != Q2S_STRUCTURE_L2 || !walk->geom->data_file;

	if (fault->err == Q2S_OK && it->has_to && in_file && it->to.v >= walk->file_size)
		q2si_fail(fault, Q2S_E_TRUNCATED, table_kinds[in->kind].what, it->at, it->to.v,
			  "points past the end of the file");
	it->fault = fault->err == Q2S_OK ? NULL : fault;
	return walk->how->entry(walk->how->opaque, in, it, diag);
}

static enum q2s_err visit_target(struct walk *walk, const struct q2s_structure *in,
				 const struct q2s_table_entry *from, struct q2s_diag *diag);

/* Entries [@first, @end) of a table, and what they lead to. */
static enum q2s_err
visit_entries(struct walk *walk, const struct q2s_structure *in, uint32_t entry_size,
	      uint64_t first, uint64_t end, struct q2s_diag *diag)
{
	const struct table_kind *const kind = &table_kinds[in->kind];
	const bool told = walk->how->entry && is_told(walk, in->kind);
	const bool leads = kind->target != in->kind && is_told(walk, kind->target);
	struct q2s_table table = { 0 };
	struct q2s_diag fault = { 0 };
	enum q2s_err err;

	if (!told && !leads)
		return Q2S_OK;
	err = q2s_table_open(walk->image->file, in->at, end, entry_size,
			     q2s_structure_name(in->kind), &table, diag);
	for (uint64_t i = first; err == Q2S_OK; i++) {
		struct q2s_table_entry it = { 0 };

		err = q2s_table_next(&table, &i, &it.raw, diag);
		if (err != Q2S_OK || i >= end)
			break;
		it.index = i;
		it.at = q2s_table_at(&table, i);
		if (in->kind == Q2S_STRUCTURE_L1)
			it.guest = i * walk->geom->l2_span;
		else if (in->kind == Q2S_STRUCTURE_L2)
			it.guest = in->index * walk->geom->l2_span + (i << walk->geom->cluster_bits);
		kind->decode(walk, &it, told ? &fault : NULL);
		if (told)
			err = tell_entry(walk, in, &it, &fault, diag);
		if (fault.err != Q2S_OK)
			fault = (struct q2s_diag){ 0 };
		if (err == Q2S_OK && leads && it.has_to)
			err = visit_target(walk, in, &it, diag);
	}
	q2s_table_close(&table);
	return err;
}

static enum q2s_err
visit_l2_entries(struct walk *walk, const struct q2s_structure *table, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = walk->geom;
	const uint64_t start = table->index * geom->l2_span, guest = walk->how->guest;
	const uint64_t first = guest > start ? (guest - start) >> geom->cluster_bits : 0;
	uint64_t end = geom->l2_entries;

	if (walk->guest_end - start < geom->l2_span)
		end = q2si_div_up(walk->guest_end - start, geom->cluster_size);
	return visit_entries(walk, table, geom->l2_entry_size, first, end, diag);
}

/* One cluster, which other entries may lead to, too. Nothing is to be read past the end. */
static enum q2s_err
visit_target(struct walk *walk, const struct q2s_structure *in, const struct q2s_table_entry *from,
	     struct q2s_diag *diag)
{
	const bool in_file = from->to.v < walk->file_size;
	struct q2s_structure it = {
		.kind = table_kinds[in->kind].target,
		.at = from->to,
		.len = walk->geom->cluster_size,
		.owner = in->owner,
		.index = from->index,
	};

	if (it.kind == Q2S_STRUCTURE_L2)
		it.entries = it.fresh = walk->geom->l2_entries;
	if (in_file || walk->how->all)
		Q2SI_TRY(q2s_seen_add(&walk->seen, it.at, it.kind, &it.again, diag));
	Q2SI_TRY(tell(walk, &it, diag));
	if (it.kind != Q2S_STRUCTURE_L2 || it.again || !in_file)
		return Q2S_OK;
	return visit_l2_entries(walk, &it, diag);
}

/* ---- refcounts, L1 tables ---------------------------------------------------------------- */

static enum q2s_err
visit_refcounts(struct walk *walk, struct q2s_diag *diag)
{
	const struct q2s_header *const header = &walk->image->header;
	const uint64_t bytes = (uint64_t)header->refcount_table_clusters
			       << walk->geom->cluster_bits;
	struct q2s_structure table = {
		.kind = Q2S_STRUCTURE_REFCOUNT_TABLE,
		.at = header->refcount_table_offset,
		.len = q2si_min(bytes, Q2S_REFTABLE_MAX_BYTES),
	};

	table.entries = table.fresh = table.len / Q2S_REFTABLE_ENTRY_SIZE;
	Q2SI_TRY(tell(walk, &table, diag));
	if (table.at.v >= walk->file_size)
		return Q2S_OK;
	return visit_entries(walk, &table, Q2S_REFTABLE_ENTRY_SIZE, 0, table.entries, diag);
}

static enum q2s_err
visit_l1(struct walk *walk, struct q2s_structure *table, struct q2s_diag *diag)
{
	const uint64_t span = walk->geom->l2_span;

	table->kind = Q2S_STRUCTURE_L1;
	table->len = table->entries * Q2S_L1_ENTRY_SIZE;
	Q2SI_TRY(count_fresh(walk, table, Q2S_L1_ENTRY_SIZE, diag));
	Q2SI_TRY(tell(walk, table, diag));
	return visit_entries(walk, table, Q2S_L1_ENTRY_SIZE,
			     q2si_min(walk->how->guest / span, table->fresh),
			     q2si_min(q2si_div_up(walk->guest_end, span), table->fresh), diag);
}

static enum q2s_err
visit_snapshot_l1s(struct walk *walk, struct q2s_diag *diag)
{
	struct q2s_records records = q2s_records_snapshots(walk->image);
	enum q2s_err err = Q2S_OK, read = Q2S_OK;
	struct q2s_stored_record record;
	struct q2s_snapshot it;
	uint32_t owner = 0;

	while (err == Q2S_OK && q2s_records_next_snapshot(&records, &record, &it, &read, diag)) {
		const uint64_t size = it.has_disk_size ? it.disk_size : walk->geom->size;

		owner++;
		if (record.fault.err != Q2S_OK)
			continue;
		err = visit_l1(walk,
			       &(struct q2s_structure){
				       .owner = owner,
				       .at = it.l1_offset,
				       .entries = it.l1_entries,
				       .disk_entries = q2si_div_up(size, walk->geom->l2_span) },
			       diag);
	}
	q2s_records_end(&records);
	return err != Q2S_OK ? err : read;
}

static enum q2s_err
visit_l1s(struct walk *walk, struct q2s_diag *diag)
{
	const struct q2s_header *const header = &walk->image->header;
	struct q2s_structure active = {
		.at = header->l1_table_offset,
		.entries = q2si_min(header->l1_size, Q2S_L1_MAX_BYTES / Q2S_L1_ENTRY_SIZE),
		.disk_entries = walk->geom->l1_entries,
	};

	Q2SI_TRY(visit_l1(walk, &active, diag));
	return visit_snapshot_l1s(walk, diag);
}

/* ---- snapshot table, extensions ---------------------------------------------------------- */

static enum q2s_err
visit_snapshot_table(struct walk *walk, struct q2s_diag *diag)
{
	struct q2s_records records = q2s_records_snapshots(walk->image);
	struct q2s_structure table = { .kind = Q2S_STRUCTURE_SNAPSHOT_TABLE, .at = records.at };
	struct q2s_stored_record record;
	struct q2s_snapshot snapshot;
	enum q2s_err err;

	while (q2s_records_next_snapshot(&records, &record, &snapshot, &err, diag))
		;
	table.len = records.at.v - table.at.v;
	q2s_records_end(&records);
	return err == Q2S_OK ? tell(walk, &table, diag) : err;
}

static enum q2s_err
visit_bitmap(struct walk *walk, uint32_t number, const struct q2s_bitmap *bitmap,
	     struct q2s_diag *diag)
{
	struct q2s_structure table = {
		.kind = Q2S_STRUCTURE_BITMAP_TABLE,
		.at = bitmap->table_offset,
		.len = (uint64_t)bitmap->table_entries * Q2S_BITMAP_TABLE_ENTRY_SIZE,
		.owner = number,
		.entries = bitmap->table_entries,
	};

	Q2SI_TRY(count_fresh(walk, &table, Q2S_BITMAP_TABLE_ENTRY_SIZE, diag));
	Q2SI_TRY(tell(walk, &table, diag));
	return visit_entries(walk, &table, Q2S_BITMAP_TABLE_ENTRY_SIZE, 0, table.fresh, diag);
}

static enum q2s_err
visit_bitmaps(struct walk *walk, const struct q2s_ext *ext, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK, read = Q2S_OK;
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_stored_record record;
	struct q2s_records records;
	struct q2s_bitmap bitmap;

	if (q2s_ext_bitmaps_decode(walk->geom, ext, &bitmaps, NULL) != Q2S_OK)
		return Q2S_OK;
	Q2SI_TRY(tell(walk,
		      &(struct q2s_structure){ .kind = Q2S_STRUCTURE_BITMAP_DIRECTORY,
					       .at = bitmaps.directory_offset,
					       .len = bitmaps.directory_size },
		      diag));
	records = q2s_records_bitmaps(walk->image, &bitmaps);
	for (uint32_t i = 0;
	     err == Q2S_OK && q2s_records_next_bitmap(&records, &record, &bitmap, &read, diag);
	     i++) {
		if (record.fault.err == Q2S_OK)
			err = visit_bitmap(walk, i, &bitmap, diag);
	}
	q2s_records_end(&records);
	return err != Q2S_OK ? err : read;
}

static enum q2s_err
visit_crypto(struct walk *walk, const struct q2s_ext *ext, struct q2s_diag *diag)
{
	struct q2s_ext_crypto crypto;

	if (q2s_ext_crypto_decode(walk->geom, ext, &crypto, NULL) != Q2S_OK)
		return Q2S_OK;
	return tell(walk,
		    &(struct q2s_structure){ .kind = Q2S_STRUCTURE_CRYPTO,
					     .at = crypto.offset,
					     .len = crypto.length },
		    diag);
}

static enum q2s_err
visit_extensions(struct walk *walk, struct q2s_diag *diag)
{
	struct q2s_extensions extensions = q2s_image_extensions(walk->image);
	struct q2s_ext ext;

	while (q2s_extensions_next(&extensions, &ext, NULL)) {
		if (ext.type == Q2S_EXT_BITMAPS)
			Q2SI_TRY(visit_bitmaps(walk, &ext, diag));
		else if (ext.type == Q2S_EXT_CRYPTO)
			Q2SI_TRY(visit_crypto(walk, &ext, diag));
	}
	return Q2S_OK;
}

/* ---- all --------------------------------------------------------------------------------- */

/* The parts of an image, each with the kinds that it has: only what is asked for is read. */
static const struct {
	unsigned kinds;
	enum q2s_err (*visit)(struct walk *walk, struct q2s_diag *diag);
} parts[] = {
	{ BIT(REFCOUNT_TABLE) | BIT(REFCOUNT_BLOCK), visit_refcounts },
	{ BIT(L1) | BIT(L2), visit_l1s },
	{ BIT(SNAPSHOT_TABLE), visit_snapshot_table },
	{ BIT(BITMAP_DIRECTORY) | BIT(BITMAP_TABLE) | BIT(BITMAP_DATA) | BIT(CRYPTO),
	  visit_extensions },
};

enum q2s_err
q2s_walk(const struct q2s_image *image, const struct q2s_walk_options *given,
	 struct q2s_diag *diag)
{
	struct q2s_walk_options options = Q2S_WALK_OPTIONS_INIT;
	struct walk walk = {
		.image = image,
		.geom = &image->geom,
		.file_size = q2s_store_size(image->file),
		.how = &options,
	};
	struct q2s_structure header = { .kind = Q2S_STRUCTURE_HEADER,
					.len = image->geom.cluster_size };
	enum q2s_err err = q2si_options_copy(&options, given, diag);

	if (err != Q2S_OK)
		return err;
	walk.kinds = options.kinds ? options.kinds : ~0u;
	walk.guest_end = options.guest_end ? options.guest_end : UINT64_MAX;
	err = tell(&walk, &header, diag);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && err == Q2S_OK; i++) {
		if (walk.kinds & parts[i].kinds)
			err = parts[i].visit(&walk, diag);
	}
	q2s_seen_free(&walk.seen);
	return err;
}
