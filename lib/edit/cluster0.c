/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes of what follows the header in cluster 0: its extensions and the backing file's name. What
 * the old header does not refer to is written first; one write of the first sector then puts all of
 * it in place. Only where the records must move within later sectors everything is one write.
 */
#include "edit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "format/header.h"

/**
 * Where things lie in cluster 0.
 *
 * @ext_end   behind the record that ends the extensions
 * @name, @name_len  the backing file's name; 0, 0: none
 */
struct layout {
	uint64_t ext_end;
	uint64_t name;
	uint64_t name_len;
};

static bool
is_used(const struct layout *layout, uint64_t at)
{
	return at < layout->ext_end ||
	       (at >= layout->name && at < layout->name + layout->name_len);
}

/* ---- extensions ---------------------------------------------------------------------------- */

/* A record that takes another's place, or goes. */
struct record {
	uint32_t type;
	const void *data; /* NULL: none */
	uint32_t len;
	bool done;
};

static struct record *
record_find(struct record *records, size_t count, uint32_t type)
{
	for (size_t i = 0; i < count; i++)
		if (records[i].type == type)
			return &records[i];
	return NULL;
}

/* All records of @old go to @new, but for those in @records, which stand for theirs; sets @end of each. */
static enum q2s_err
records_put(const struct q2s_edit *edit, const uint8_t *old, uint8_t *new, struct record *records,
	    size_t count, uint64_t *old_end, uint64_t *new_end, struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.cluster_size;
	const q2s_host area_end = q2s_ext_area_end(&edit->header);
	uint64_t from = edit->header.header_length, to = from;

	for (;;) {
		struct record *record;
		struct q2s_ext ext;

		Q2SI_TRY(q2s_ext_next(old, size, area_end, &from, &ext, diag));
		if (ext.type == Q2S_EXT_END)
			break;
		record = record_find(records, count, ext.type);
		if (!record)
			Q2SI_TRY(q2s_ext_encode(ext.type, ext.data, ext.len, new, size, &to, diag));
		else if (record->data && !record->done)
			Q2SI_TRY(q2s_ext_encode(record->type, record->data, record->len, new, size,
						&to, diag));
		if (record)
			record->done = true;
	}
	for (size_t i = 0; i < count; i++)
		if (records[i].data && !records[i].done)
			Q2SI_TRY(q2s_ext_encode(records[i].type, records[i].data, records[i].len,
						new, size, &to, diag));
	*old_end = q2si_min(from, size);
	Q2SI_TRY(q2s_ext_encode(Q2S_EXT_END, NULL, 0, new, size, &to, diag));
	*new_end = to;
	return Q2S_OK;
}

/* ---- the name ------------------------------------------------------------------------------ */

static bool
is_free(const struct layout *old, uint64_t at, uint64_t len)
{
	return at >= old->ext_end && (at >= old->name + old->name_len || at + len <= old->name);
}

/* Preferably where the old header refers to nothing. */
static enum q2s_err
name_place(const struct q2s_edit *edit, const struct layout *old, struct layout *new,
	   struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.cluster_size;
	const uint64_t behind = q2si_round_up(q2si_max(old->name + old->name_len,
						       q2si_max(old->ext_end, new->ext_end)), 8);

	if (new->name_len == 0)
		return Q2S_OK;
	if (new->ext_end > size || new->name_len > size - new->ext_end)
		return q2si_fail(diag, Q2S_E_LIMIT, "backing file", (q2s_host){ new->ext_end },
				 new->name_len, "its name does not fit into the first cluster");
	new->name = new->ext_end;
	if (!is_free(old, new->name, new->name_len) && behind <= size &&
	    new->name_len <= size - behind)
		new->name = behind;
	return Q2S_OK;
}

/* ---- writing ------------------------------------------------------------------------------- */

static enum q2s_err
part_write(struct q2s_edit *edit, const uint8_t *bytes, uint64_t start, uint64_t end,
	   struct q2s_diag *diag)
{
	struct q2si_sync *meta = q2si_meta(edit);
	const enum q2s_err err =
		q2s_store_write(meta->store, start, bytes + start, end - start, diag);

	q2si_wrote(meta);
	return err;
}

/* The bytes behind the first sector that change: [*@start, *@end); does the old header use any? */
static bool
tail_compare(const struct q2s_edit *edit, const uint8_t *old, const uint8_t *new,
	     const struct layout *was, uint64_t *start, uint64_t *end)
{
	bool used = false;

	*start = *end = 0;
	for (uint64_t i = Q2S_SECTOR; i < edit->geom.cluster_size; i++) {
		if (old[i] == new[i])
			continue;
		if (*end == 0)
			*start = i;
		*end = i + 1;
		used = used || is_used(was, i);
	}
	return used;
}

/* What nothing refers to any more becomes zero. */
static enum q2s_err
rest_clear(struct q2s_edit *edit, uint8_t *new, const struct layout *was,
	   const struct layout *now, struct q2s_diag *diag)
{
	uint64_t start = 0, end = 0;

	for (uint64_t i = 0; i < edit->geom.cluster_size; i++) {
		if (!is_used(was, i) || is_used(now, i) || new[i] == 0)
			continue;
		if (end == 0)
			start = i;
		end = i + 1;
		new[i] = 0;
	}
	return end > 0 ? part_write(edit, new, start, end, diag) : Q2S_OK;
}

/* From the first write of the first sector on nobody knows which header a failure leaves: stop. */
static enum q2s_err
switch_write(struct q2s_edit *edit, uint8_t *new, uint64_t end, const struct layout *was,
	     const struct layout *now, struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	enum q2s_err err = part_write(edit, new, 0, end, &why);

	if (err == Q2S_OK)
		err = q2si_barrier(edit, q2si_meta(edit), &why);
	if (err == Q2S_OK)
		err = rest_clear(edit, new, was, now, &why);
	if (err == Q2S_OK)
		err = q2si_barrier(edit, q2si_meta(edit), &why);
	if (err == Q2S_OK)
		return Q2S_OK;
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return q2si_stop(edit, err, &why);
}

static enum q2s_err
all_write(struct q2s_edit *edit, const uint8_t *old, uint8_t *new, const struct layout *was,
	  const struct layout *now, struct q2s_diag *diag)
{
	uint64_t start, end;
	const bool used = tail_compare(edit, old, new, was, &start, &end);

	if (!used && end > 0) {
		Q2SI_TRY(part_write(edit, new, start, end, diag));
		Q2SI_TRY(q2si_barrier(edit, q2si_meta(edit), diag));
	}
	return switch_write(edit, new, used ? end : Q2S_SECTOR, was, now, diag);
}

/* ------------------------------------------------------------------------------------------ */

static enum q2s_err
compose(struct q2s_edit *edit, const struct q2si_head_change *change, const uint8_t *old,
	uint8_t *new, struct layout *was, struct layout *now, struct q2s_diag *diag)
{
	uint8_t bitmaps[Q2S_EXT_BITMAPS_SIZE];
	struct record records[2];
	size_t count = 0;

	was->name = edit->header.backing_file_offset.v;
	was->name_len = was->name ? edit->header.backing_file_size : 0;
	now->name_len = change->backing ? change->name.len : was->name_len;
	if (change->backing)
		records[count++] = (struct record){ Q2S_EXT_BACKING_FORMAT,
						    now->name_len ? change->format.data : NULL,
						    (uint32_t)change->format.len, false };
	if (change->bitmaps) {
		q2s_ext_bitmaps_encode(change->bitmaps, bitmaps);
		records[count++] = (struct record){ Q2S_EXT_BITMAPS,
						    change->bitmaps->count ? bitmaps : NULL,
						    sizeof(bitmaps), false };
	}
	Q2SI_TRY(records_put(edit, old, new, records, count, &was->ext_end, &now->ext_end, diag));
	if (!change->backing && was->name_len > 0 && was->name >= now->ext_end)
		now->name = was->name;
	else
		Q2SI_TRY(name_place(edit, was, now, diag));
	if (now->name_len > 0)
		memcpy(new + now->name, change->backing ? change->name.data : old + was->name,
		       now->name_len);
	q2si_put_be64(new + AT_BACKING_FILE_OFFSET, now->name);
	q2si_put_be32(new + AT_BACKING_FILE_SIZE, (uint32_t)now->name_len);
	if (change->bitmaps && edit->header.version >= 3)
		q2si_put_be64(new + AT_AUTOCLEAR_FEATURES,
			      change->bitmaps->count
				      ? edit->header.autoclear_features | Q2S_AUTOCLEAR_BITMAPS
				      : edit->header.autoclear_features & ~Q2S_AUTOCLEAR_BITMAPS);
	return Q2S_OK;
}

/* @write: make the change; else see whether it fits. */
static enum q2s_err
change_do(struct q2s_edit *edit, const struct q2si_head_change *change, bool write,
	  struct q2s_diag *diag)
{
	const size_t size = edit->geom.cluster_size;
	Q2SI_AUTO_FREE uint8_t *old = malloc(size);
	Q2SI_AUTO_FREE uint8_t *new = malloc(size);
	struct layout was = { 0 }, now = { 0 };

	if (!old || !new)
		return q2si_fail_nomem(diag, "header");
	Q2SI_TRY(q2s_store_read_padded(q2si_meta(edit)->store, 0, old, size, NULL, diag));
	memcpy(new, old, size);
	Q2SI_TRY(compose(edit, change, old, new, &was, &now, diag));
	if (!write || memcmp(old, new, size) == 0)
		return Q2S_OK;
	Q2SI_TRY(all_write(edit, old, new, &was, &now, diag));
	memcpy(edit->sector, new, sizeof(edit->sector));
	return q2si_header_adopt(edit, diag);
}

enum q2s_err
q2si_header_room(struct q2s_edit *edit, const struct q2si_head_change *change,
		 struct q2s_diag *diag)
{
	return change_do(edit, change, false, diag);
}

enum q2s_err
q2si_header_change(struct q2s_edit *edit, const struct q2si_head_change *change,
		   struct q2s_diag *diag)
{
	return change_do(edit, change, true, diag);
}
