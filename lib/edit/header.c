/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes of the header. Each is one write of its first sector, so that no crash leaves half of
 * one; all else in cluster 0 (unknown extensions, the backing file's name) stays as it is.
 */
#include "edit/edit.h"

#include "base/bytes.h"
#include "base/diag.h"
#include "format/header.h"

static enum q2s_err
sector_write(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2si_sync *meta = q2si_meta(edit);
	const enum q2s_err err =
		q2s_store_write(meta->store, 0, edit->sector, sizeof(edit->sector), diag);

	q2si_wrote(meta);
	return err;
}

/* The bitmaps' bit without a bitmap means nothing, but makes others look for the extension. */
static uint64_t
autoclear_kept(const struct q2s_edit *edit)
{
	uint64_t known = 0;

	if (q2s_image_bitmaps(edit->image))
		known |= Q2S_AUTOCLEAR_BITMAPS;
	if (edit->geom.data_file)
		known |= Q2S_AUTOCLEAR_DATA_FILE_RAW;
	return edit->header.autoclear_features & known;
}

/*
 * An autoclear bit says that something is consistent with the rest, kept up to date by those who
 * know it. It must be gone before we change the rest.
 */
enum q2s_err
q2si_header_prepare(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const uint64_t kept = autoclear_kept(edit);
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	if (edit->prepared)
		return Q2S_OK;
	if (edit->header.autoclear_features != kept) {
		q2si_put_be64(edit->sector + AT_AUTOCLEAR_FEATURES, kept);
		Q2SI_TRY(sector_write(edit, diag));
		err = Q2SI_KEEPS(Q2SI_AUTOCLEAR_FIRST) ? q2si_barrier(edit, q2si_meta(edit), &why)
						       : Q2S_OK;
		if (err != Q2S_OK) {
			if (diag && diag->err == Q2S_OK)
				*diag = why;
			return q2si_stop(edit, err, &why);
		}
		edit->header.autoclear_features = kept;
	}
	edit->prepared = true;
	return Q2S_OK;
}

void
q2si_header_mark_corrupt(struct q2s_edit *edit)
{
	if (edit->header.version < 3)
		return;
	edit->header.incompatible_features |= Q2S_INCOMPAT_CORRUPT;
	q2si_put_be64(edit->sector + AT_INCOMPATIBLE_FEATURES, edit->header.incompatible_features);
	if (sector_write(edit, NULL) == Q2S_OK)
		(void)q2s_store_flush(q2si_meta(edit)->store, NULL);
}

enum q2s_err
q2si_header_set_clean(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const uint64_t features = edit->header.incompatible_features & ~(uint64_t)Q2S_INCOMPAT_DIRTY;

	q2si_put_be64(edit->sector + AT_INCOMPATIBLE_FEATURES, features);
	Q2SI_TRY(sector_write(edit, diag));
	Q2SI_TRY(q2si_barrier(edit, q2si_meta(edit), diag));
	edit->header.incompatible_features = features;
	return Q2S_OK;
}

enum q2s_err
q2si_header_set_reftable(struct q2s_edit *edit, uint64_t at, uint32_t clusters,
			 struct q2s_diag *diag)
{
	q2si_put_be64(edit->sector + AT_REFCOUNT_TABLE_OFFSET, at);
	q2si_put_be32(edit->sector + AT_REFCOUNT_TABLE_CLUSTERS, clusters);
	Q2SI_TRY(sector_write(edit, diag));
	edit->header.refcount_table_offset.v = at;
	edit->header.refcount_table_clusters = clusters;
	return Q2S_OK;
}

enum q2s_err
q2si_header_adopt(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2s_image *image;

	Q2SI_TRY(q2s_image_open(q2si_meta(edit)->store, 0, &image, diag));
	q2s_image_close(edit->image);
	edit->image = image;
	edit->header = *q2s_image_header(image);
	edit->geom = *q2s_image_geom(image);
	return Q2S_OK;
}

enum q2s_err
q2si_header_set_offset(struct q2s_edit *edit, unsigned field, uint64_t at, struct q2s_diag *diag)
{
	q2si_put_be64(edit->sector + field, at);
	Q2SI_TRY(sector_write(edit, diag));
	return q2si_header_adopt(edit, diag);
}

/* ---- whole headers --------------------------------------------------------------------------- */

/* All fields that may change; what lies between and behind them stays. */
static void
fields_put(const struct q2s_header *header, uint8_t *sector)
{
	q2si_put_be32(sector + AT_VERSION, header->version);
	q2si_put_be64(sector + AT_BACKING_FILE_OFFSET, header->backing_file_offset.v);
	q2si_put_be32(sector + AT_BACKING_FILE_SIZE, header->backing_file_size);
	q2si_put_be64(sector + AT_SIZE, header->size);
	q2si_put_be32(sector + AT_L1_SIZE, header->l1_size);
	q2si_put_be64(sector + AT_L1_TABLE_OFFSET, header->l1_table_offset.v);
	q2si_put_be64(sector + AT_REFCOUNT_TABLE_OFFSET, header->refcount_table_offset.v);
	q2si_put_be32(sector + AT_REFCOUNT_TABLE_CLUSTERS, header->refcount_table_clusters);
	q2si_put_be32(sector + AT_NB_SNAPSHOTS, header->nb_snapshots);
	q2si_put_be64(sector + AT_SNAPSHOTS_OFFSET, header->snapshots_offset.v);
	if (header->version < 3)
		return;
	q2si_put_be64(sector + AT_INCOMPATIBLE_FEATURES, header->incompatible_features);
	q2si_put_be64(sector + AT_COMPATIBLE_FEATURES, header->compatible_features);
	q2si_put_be64(sector + AT_AUTOCLEAR_FEATURES, header->autoclear_features);
	q2si_put_be32(sector + AT_REFCOUNT_ORDER, header->refcount_order);
	q2si_put_be32(sector + AT_HEADER_LENGTH, header->header_length);
}

enum q2s_err
q2si_header_switch(struct q2s_edit *edit, const struct q2s_header *header, struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	if (Q2SI_KEEPS(Q2SI_TABLES_BEFORE_HEADER))
		Q2SI_TRY(q2si_settle(edit, diag));
	fields_put(header, edit->sector);
	/* One write: after a failure it may be the old one or the new one. */
	err = sector_write(edit, &why);
	if (err == Q2S_OK)
		err = q2si_barrier(edit, q2si_meta(edit), &why);
	if (err == Q2S_OK)
		err = q2si_header_adopt(edit, &why);
	if (err == Q2S_OK)
		return Q2S_OK;
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return q2si_stop(edit, err, &why);
}
