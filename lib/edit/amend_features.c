/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes of cluster 0 beyond its numbers: another version has a header of another length, so all
 * extensions move; another name of the data file is an extension of another length. Only the first
 * sector changes at once. So what lies behind it is written while the first sector does not refer
 * to it: before that the header is for a moment one whose extensions all lie in the first sector,
 * which the names of features, that are there for messages only, then miss.
 */
#include "edit/edit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "format/header.h"

/**
 * Cluster 0 as it is to be.
 *
 * @bytes  cluster_size of them
 * @end    of its extensions; behind them, or further on, lies the backing file's name
 */
struct front {
	uint8_t *bytes;
	uint64_t end;
	struct q2s_header header;
};

/* ---- extensions ------------------------------------------------------------------------------ */

static enum q2s_err
extension_put(const struct q2s_edit *edit, struct front *front, uint32_t type, const void *data,
	      size_t len, struct q2s_diag *diag)
{
	return q2s_ext_encode(type, data, (uint32_t)len, front->bytes, edit->geom.cluster_size,
			      &front->end, diag);
}

/* @name: of the data file, or NULL to keep it; @names: with those of features, if there are any. */
static enum q2s_err
extensions_put(const struct q2s_edit *edit, const struct q2s_bytes *name, bool names,
	       struct front *front, struct q2s_diag *diag)
{
	const uint8_t *cluster0 = q2s_image_cluster0(edit->image);
	uint64_t pos = edit->header.header_length;
	struct q2s_ext ext;

	front->end = front->header.header_length;
	for (;;) {
		Q2SI_TRY(q2s_ext_next(cluster0, edit->geom.cluster_size,
				      q2s_ext_area_end(&edit->header), &pos, &ext, diag));
		if (ext.type == Q2S_EXT_END)
			break;
		if ((ext.type == Q2S_EXT_DATA_FILE && name) ||
		    (ext.type == Q2S_EXT_FEATURE_NAMES &&
		     (!names || front->header.version < 3)))
			continue;
		Q2SI_TRY(extension_put(edit, front, ext.type, ext.data, ext.len, diag));
	}
	if (name && name->len)
		Q2SI_TRY(extension_put(edit, front, Q2S_EXT_DATA_FILE, name->data, name->len,
				       diag));
	return extension_put(edit, front, Q2S_EXT_END, NULL, 0, diag);
}

/* The fixed part, with what a longer one has that we do not know. */
static void
fixed_put(const struct q2s_edit *edit, const struct q2s_header *header, struct front *out)
{
	const uint8_t *cluster0 = q2s_image_cluster0(edit->image);

	memset(out->bytes, 0, edit->geom.cluster_size);
	memcpy(out->bytes, cluster0,
	       q2si_min_size(edit->header.header_length, header->header_length));
	out->header = *header;
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Where the extensions end now. */
static enum q2s_err
extensions_end(const struct q2s_edit *edit, uint64_t *out, struct q2s_diag *diag)
{
	const uint8_t *cluster0 = q2s_image_cluster0(edit->image);
	const struct q2s_header *header = &edit->header;
	uint64_t pos = header->header_length;
	struct q2s_ext ext = { .type = 1 };

	while (ext.type != Q2S_EXT_END)
		Q2SI_TRY(q2s_ext_next(cluster0, edit->geom.cluster_size, q2s_ext_area_end(header),
				      &pos, &ext, diag));
	*out = pos + Q2S_EXT_HEAD_SIZE;
	return Q2S_OK;
}

/*
 * The backing file's name goes behind the extensions: within the first sector if there is room,
 * else where nothing lies yet, neither of the old header nor of the new one.
 */
static enum q2s_err
name_place(const struct q2s_edit *edit, struct front *front, uint64_t *at, struct q2s_diag *diag)
{
	const uint64_t len = edit->header.backing_file_size;
	const uint64_t old = edit->header.backing_file_offset.v;
	uint64_t end;

	*at = 0;
	if (old == 0)
		return Q2S_OK;
	*at = front->end;
	if (*at + len <= Q2S_SECTOR)
		return Q2S_OK;
	Q2SI_TRY(extensions_end(edit, &end, diag));
	*at = q2si_round_up(q2si_max(q2si_max(front->end, end), Q2S_SECTOR), 8);
	if (*at < old + len && *at + len > old)
		*at = q2si_round_up(old + len, 8);
	if (*at + len <= edit->geom.cluster_size)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_LIMIT, "backing file", edit->header.backing_file_offset, len,
			 "its name has no room behind a longer header in the first cluster");
}

static enum q2s_err
name_write(struct q2s_edit *edit, uint64_t at, struct q2s_diag *diag)
{
	const struct q2s_bytes name = q2s_image_backing_name(edit->image);

	if (at < Q2S_SECTOR || name.len == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_meta_write(edit, at, name.data, name.len, diag));
	return q2si_barrier(edit, q2si_meta(edit), diag);
}

/* Put the first sector of @front in place, with the name at @at. */
static enum q2s_err
front_switch(struct q2s_edit *edit, struct front *front, uint64_t at, struct q2s_diag *diag)
{
	const struct q2s_bytes name = q2s_image_backing_name(edit->image);

	front->header.backing_file_offset.v = at;
	if (at && at < Q2S_SECTOR)
		memcpy(front->bytes + at, name.data, name.len);
	memcpy(edit->sector, front->bytes, Q2S_SECTOR);
	return q2si_header_switch(edit, &front->header, diag);
}

/* ---- the change ------------------------------------------------------------------------------ */

static enum q2s_err
parts_write(struct q2s_edit *edit, struct front *front, struct front *between, uint64_t at,
	    struct q2s_diag *diag)
{
	if (between->end > Q2S_SECTOR)
		return q2si_fail(diag, Q2S_E_LIMIT, "header extensions",
				 (q2s_host){ edit->header.header_length }, between->end,
				 "too long to be replaced safely: they do not fit into 512 bytes");
	Q2SI_TRY(front_switch(edit, between, at, diag));
	Q2SI_TRY(q2si_meta_write(edit, Q2S_SECTOR, front->bytes + Q2S_SECTOR,
				 front->end - Q2S_SECTOR, diag));
	return q2si_barrier(edit, q2si_meta(edit), diag);
}

static enum q2s_err
front_write(struct q2s_edit *edit, const struct q2s_header *header, const struct q2s_bytes *name,
	    struct front *front, struct front *between, struct q2s_diag *diag)
{
	uint64_t at;

	fixed_put(edit, header, front);
	Q2SI_TRY(extensions_put(edit, name, true, front, diag));
	fixed_put(edit, &edit->header, between);
	Q2SI_TRY(extensions_put(edit, NULL, false, between, diag));
	Q2SI_TRY(name_place(edit, front, &at, diag));
	Q2SI_TRY(name_write(edit, at, diag));
	if (front->end > Q2S_SECTOR)
		Q2SI_TRY(parts_write(edit, front, between, at, diag));
	return front_switch(edit, front, at, diag);
}

static enum q2s_err
front_replace(struct q2s_edit *edit, const struct q2s_header *header, const struct q2s_bytes *name,
	      struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *a = malloc(edit->geom.cluster_size);
	Q2SI_AUTO_FREE uint8_t *b = malloc(edit->geom.cluster_size);
	struct front front = { .bytes = a }, between = { .bytes = b };

	if (!a || !b)
		return q2si_fail_nomem(diag, "header");
	return front_write(edit, header, name, &front, &between, diag);
}

/* ---- version 2 ------------------------------------------------------------------------------- */

static enum q2s_err
downgrade_fail(struct q2s_diag *diag, const char *what, uint64_t value, const char *why)
{
	return q2si_fail(diag, Q2S_E_CONFLICT, what, Q2S_NOWHERE, value, "%s", why);
}

/* Has an L2 table of a snapshot zero clusters? */
static enum q2s_err
snapshot_table_check(struct q2s_edit *edit, uint64_t table, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *raw = malloc(edit->geom.cluster_size);

	if (!raw)
		return q2si_fail_nomem(diag, "L2 table");
	Q2SI_TRY(q2s_store_read_padded(q2si_meta(edit)->store, table, raw, edit->geom.cluster_size,
				       NULL, diag));
	for (uint32_t at = 0; at < edit->geom.cluster_size; at += Q2S_L2_ENTRY_SIZE) {
		struct q2s_l2_entry entry;

		Q2SI_TRY(q2s_l2_decode_lenient(&edit->geom, raw + at, (q2s_host){ table + at },
					       &entry, diag));
		if (!entry.compressed && entry.zero)
			return q2si_fail(diag, Q2S_E_CONFLICT, "snapshot L2 entry",
					 (q2s_host){ table + at }, q2si_get_be64(raw + at),
					 "a zero cluster, which version 2 has not");
	}
	return Q2S_OK;
}

static enum q2s_err
snapshot_check(struct q2s_edit *edit, const struct q2s_snapshot *snapshot, struct q2s_diag *diag)
{
	const struct q2si_l1 l1 = { snapshot->l1_offset.v, snapshot->l1_entries };

	if (snapshot->has_disk_size && snapshot->disk_size != edit->geom.size)
		return downgrade_fail(diag, "snapshot disk size", snapshot->disk_size,
				      "version 2 has one size for the disk and all snapshots");
	if (snapshot->vm_state_size > UINT32_MAX)
		return downgrade_fail(diag, "snapshot VM state", snapshot->vm_state_size,
				      "version 2 has no room for such a size");
	for (uint64_t i = 0; i < l1.entries; i++) {
		struct q2s_l1_entry table;

		Q2SI_TRY(q2si_l1_read(edit, &l1, i, &table, diag));
		if (table.l2.v)
			Q2SI_TRY(snapshot_table_check(edit, table.l2.v, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
snapshots_check(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2s_snapshots list;
	enum q2s_err err;

	Q2SI_TRY(q2s_image_snapshots(edit->image, &list, diag));
	err = Q2S_OK;
	for (uint32_t i = 0; i < list.count && err == Q2S_OK; i++)
		err = snapshot_check(edit, &list.list[i], diag);
	q2s_snapshots_free(&list);
	return err;
}

static enum q2s_err
downgrade_check(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const uint64_t incompatible = edit->header.incompatible_features;

	if (edit->flags & Q2S_EDIT_TABLES_ONLY)
		return q2si_on_disk(edit, (q2s_guest){ 0 }, 0, diag);
	if (edit->geom.refcount_bits != 16)
		return downgrade_fail(diag, "refcount_bits", edit->geom.refcount_bits,
				      "compat=0.10 requires refcount_bits=16");
	if (incompatible)
		return downgrade_fail(diag, "incompatible_features", incompatible,
				      "features that version 2 has not");
	/* QEMU goes on, and loses them. */
	if (q2s_image_bitmaps(edit->image))
		return downgrade_fail(diag, "bitmaps", q2s_image_bitmaps(edit->image)->count,
				      "version 2 has none: they have to be removed first");
	return snapshots_check(edit, diag);
}

/* A cluster that reads as zero by its flag reads as zero without it. Releases the lock meanwhile. */
static enum q2s_err
zero_expand(struct q2s_edit *edit, uint64_t cluster, const struct q2s_l2_entry *entry,
	    struct q2s_diag *diag)
{
	const uint64_t at = cluster << edit->geom.cluster_bits;
	const uint64_t end = q2si_min(at + edit->geom.cluster_size, edit->geom.size);
	const struct q2s_l2_entry none = { 0 };
	Q2SI_AUTO_FREE uint8_t *zeros = NULL;
	enum q2s_err err;

	if (at >= q2si_min(edit->base_size, edit->geom.size)) {
		Q2SI_TRY(q2si_mapping_own(edit, cluster, diag));
		Q2SI_TRY(q2si_mapping_set(edit, cluster, &none, diag));
		return q2si_mapping_drop(edit, cluster, entry, diag);
	}
	zeros = calloc(1, edit->geom.cluster_size);
	if (!zeros)
		return q2si_fail_nomem(diag, "zeros");
	pthread_mutex_unlock(&edit->lock);
	err = q2s_edit_write(edit, (q2s_guest){ at }, zeros, end - at, diag);
	pthread_mutex_lock(&edit->lock);
	return err;
}

static enum q2s_err
zeros_expand(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const uint64_t end = (uint64_t)edit->header.l1_size << edit->geom.l2_bits;

	for (uint64_t cluster = 0; cluster < end;) {
		struct q2si_mapping mapping;
		struct q2s_diag why = { 0 };
		enum q2s_err err = Q2S_OK;

		Q2SI_TRY(q2si_mapping_get(edit, cluster, &mapping, diag));
		if (!mapping.table) {
			cluster = ((cluster >> edit->geom.l2_bits) + 1) << edit->geom.l2_bits;
			continue;
		}
		if (!mapping.entry.compressed && mapping.entry.zero)
			err = zero_expand(edit, cluster, &mapping.entry, &why);
		if (err != Q2S_OK && edit->need_grow) {
			Q2SI_TRY(q2si_refcount_grow(edit, diag));
			continue;
		}
		if (err != Q2S_OK) {
			if (diag && diag->err == Q2S_OK)
				*diag = why;
			return err;
		}
		Q2SI_TRY(q2si_flush_if_full(edit, diag));
		cluster++;
	}
	return q2si_settle(edit, diag);
}

static enum q2s_err
downgrade(struct q2s_edit *edit, struct q2s_header *header, struct q2s_diag *diag)
{
	Q2SI_TRY(downgrade_check(edit, diag));
	Q2SI_TRY(zeros_expand(edit, diag));
	*header = edit->header;
	header->version = 2;
	header->header_length = Q2S_HEADER_V2_SIZE;
	header->compatible_features = header->autoclear_features = 0;
	return Q2S_OK;
}

/* ---------------------------------------------------------------------------------------------- */

static enum q2s_err
features_check(const struct q2s_edit *edit, const struct q2s_edit_features *features,
	       uint32_t version, struct q2s_diag *diag)
{
	if (version != 2 && version != 3)
		return q2si_fail(diag, Q2S_E_USAGE, "version", Q2S_NOWHERE, version,
				 "must be 2 or 3");
	if (version < 3 && features->set_lazy_refcounts && features->lazy_refcounts)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "lazy_refcounts", Q2S_NOWHERE,
				    "version 2 has none: compat=1.1 is needed");
	if (features->set_data_file && features->data_file.len && !edit->geom.data_file)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "data_file", Q2S_NOWHERE,
				    "the image has no external data file");
	if (features->set_data_file_raw && features->data_file_raw &&
	    !(edit->header.autoclear_features & Q2S_AUTOCLEAR_DATA_FILE_RAW))
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "data_file_raw", Q2S_NOWHERE,
				    "cannot be set on an image that exists");
	return Q2S_OK;
}

/* Numbers of the header that do not move anything. */
static void
numbers_set(const struct q2s_edit_features *features, struct q2s_header *header)
{
	if (features->set_lazy_refcounts && header->version >= 3)
		header->compatible_features =
			features->lazy_refcounts
				? header->compatible_features | Q2S_COMPAT_LAZY_REFCOUNTS
				: header->compatible_features & ~Q2S_COMPAT_LAZY_REFCOUNTS;
	if (features->set_data_file_raw && !features->data_file_raw)
		header->autoclear_features &= ~Q2S_AUTOCLEAR_DATA_FILE_RAW;
}

static enum q2s_err
features_set(struct q2s_edit *edit, const struct q2s_edit_features *features,
	     struct q2s_diag *diag)
{
	const uint32_t was = edit->geom.version;
	const uint32_t version = features->set_version ? features->version : was;
	const bool renames = features->set_data_file && edit->geom.data_file;
	struct q2s_header header;

	Q2SI_TRY(features_check(edit, features, version, diag));
	if (version > was)
		Q2SI_TRY(q2si_snapshots_widen(edit, diag));
	header = edit->header;
	if (version < was)
		Q2SI_TRY(downgrade(edit, &header, diag));
	if (version > was) {
		header.version = 3;
		header.header_length = Q2S_HEADER_V3_SIZE;
	}
	numbers_set(features, &header);
	if (version == was && !renames)
		Q2SI_TRY(q2si_header_switch(edit, &header, diag));
	else
		Q2SI_TRY(front_replace(edit, &header, renames ? &features->data_file : NULL, diag));
	edit->raw_data = header.autoclear_features & Q2S_AUTOCLEAR_DATA_FILE_RAW;
	return Q2S_OK;
}

enum q2s_err
q2s_edit_set_features(struct q2s_edit *edit, const struct q2s_edit_features *features,
		      struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_whole_begin(edit, diag));
	return q2si_whole_end(edit, features_set(edit, features, diag), diag);
}
