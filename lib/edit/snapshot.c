/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Internal snapshots. One is a copy of the L1 table, with a count more for all that it refers to,
 * and a record in the snapshot table, which is written anew for each change. The header names the
 * table, so one write of it makes a snapshot, deletes it, or shows another L1 table.
 */
#include "edit/edit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"

#define NAME_MAX_BYTES 255u /* QEMU cuts longer ones */
#define ID_MAX 24u          /* digits of 64 bits, and then some */
#define NSEC_PER_SEC 1000000000u
#define COPY_BYTES 65536u

/* ---- the snapshot table ---------------------------------------------------------------------- */

/* A new snapshot table; @count: records. */
struct table {
	uint8_t *buf;
	size_t len;
	uint32_t count;
};

/*
 * All records but @skip (or none), as they are: what their extra data say that we do not know
 * stays.
 * @more bytes are left behind them.
 */
static enum q2s_err
table_copy(const struct q2s_snapshots *old, uint32_t skip, size_t more, struct table *out,
	   struct q2s_diag *diag)
{
	const uint64_t start = old->count ? old->at[0].v : 0;

	*out = (struct table){ .buf = calloc(1, old->bytes + more + 1) };
	if (!out->buf)
		return q2si_fail_nomem(diag, "snapshot table");
	for (uint32_t i = 0; i < old->count; i++) {
		const size_t from = old->at[i].v - start;
		const size_t end = i + 1 < old->count ? old->at[i + 1].v - start : old->bytes;

		if (i == skip)
			continue;
		memcpy(out->buf + out->len, old->buf + from, end - from);
		out->len += end - from;
		out->count++;
	}
	return Q2S_OK;
}

/* Write @table, or nothing if it has no records, to a place of its own: @at, or 0. */
static enum q2s_err
table_place(struct q2s_edit *edit, const struct table *table, uint64_t *at, struct q2s_diag *diag)
{
	enum q2s_err err;

	*at = 0;
	if (table->len > Q2S_SNAPSHOT_TABLE_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "snapshot table", Q2S_NOWHERE, table->len,
				 "over 64 MiB long");
	if (table->count == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_alloc_area(edit, table->len, at, diag));
	err = q2si_meta_write(edit, *at, table->buf, table->len, diag);
	if (err != Q2S_OK)
		q2si_area_undo(edit, *at, table->len);
	return err;
}

/* Have the header name @table at @at, and free the one that is there. */
static enum q2s_err
table_enter(struct q2s_edit *edit, const struct table *table, uint64_t at, size_t old_len,
	    struct q2s_diag *diag)
{
	const uint64_t old = edit->header.snapshots_offset.v;
	struct q2s_header header = edit->header;

	header.nb_snapshots = table->count;
	header.snapshots_offset.v = at;
	Q2SI_TRY(q2si_header_switch(edit, &header, diag));
	return q2si_area_free(edit, old, old_len, diag);
}

/* Put @table in the place of the one that is there. */
static enum q2s_err
table_switch(struct q2s_edit *edit, const struct table *table, size_t old_len,
	     struct q2s_diag *diag)
{
	uint64_t at;
	enum q2s_err err;

	Q2SI_TRY(table_place(edit, table, &at, diag));
	err = table_enter(edit, table, at, old_len, diag);
	if (err != Q2S_OK && at && edit->stopped == Q2S_OK)
		q2si_area_undo(edit, at, table->len);
	return err;
}

/* ---- finding one ----------------------------------------------------------------------------- */

static bool
is_word(const uint8_t *text, size_t text_len, const void *word, size_t len)
{
	return text_len == len && memcmp(text, word, len) == 0;
}

/* The first one with this id, or with this name; the number of all if there is none. */
static uint32_t
by_id(const struct q2s_snapshots *list, const void *word, size_t len)
{
	uint32_t i = 0;

	while (i < list->count && !is_word(list->list[i].id, list->list[i].id_len, word, len))
		i++;
	return i;
}

static uint32_t
by_name(const struct q2s_snapshots *list, const void *word, size_t len)
{
	uint32_t i = 0;

	while (i < list->count && !is_word(list->list[i].name, list->list[i].name_len, word, len))
		i++;
	return i;
}

/* As qemu-img: it applies what has the id, else the name, but deletes by name; then by id. */
static enum q2s_err
find(const struct q2s_snapshots *list, const void *word, size_t len, bool id_first, uint32_t *out,
     struct q2s_diag *diag)
{
	const uint32_t first = (id_first ? by_id : by_name)(list, word, len);

	*out = first < list->count ? first : (id_first ? by_name : by_id)(list, word, len);
	if (*out < list->count)
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_USAGE, "snapshot", Q2S_NOWHERE,
			    "there is none with the id or name '%.*s'", (int)q2si_min(len, 255),
			    (const char *)word);
}

/* Ids are numbers in QEMU; what is not one counts as far as it is. */
static void
id_make(const struct q2s_snapshots *list, char out[ID_MAX])
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		char text[ID_MAX] = "";

		memcpy(text, list->list[i].id,
		       q2si_min_size(list->list[i].id_len, sizeof(text) - 1));
		most = q2si_max(most, strtoul(text, NULL, 10));
	}
	snprintf(out, ID_MAX, "%" PRIu64, most + 1);
}

/* ---- L1 tables ------------------------------------------------------------------------------- */

/* A copy of an L1 table in which nothing is COPIED. Without entries there is none. */
static enum q2s_err
l1_copy(struct q2s_edit *edit, const struct q2si_l1 *l1, uint64_t *out, struct q2s_diag *diag)
{
	const uint64_t bytes = l1->entries * Q2S_L1_ENTRY_SIZE;
	Q2SI_AUTO_FREE uint8_t *buf = malloc(COPY_BYTES);
	enum q2s_err err = Q2S_OK;

	*out = 0;
	if (bytes == 0)
		return Q2S_OK;
	if (!buf)
		return q2si_fail_nomem(diag, "L1 table");
	Q2SI_TRY(q2si_alloc_area(edit, bytes, out, diag));
	for (uint64_t done = 0; done < bytes && err == Q2S_OK;) {
		const size_t n = q2si_min_size(bytes - done, COPY_BYTES);

		for (size_t i = 0; i < n && err == Q2S_OK; i += Q2S_L1_ENTRY_SIZE) {
			struct q2s_l1_entry entry;

			err = q2si_l1_read(edit, l1, (done + i) / Q2S_L1_ENTRY_SIZE, &entry, diag);
			if (err == Q2S_OK)
				q2si_put_be64(buf + i, entry.l2.v);
		}
		if (err == Q2S_OK)
			err = q2si_meta_write(edit, *out + done, buf, n, diag);
		done += n;
	}
	if (err != Q2S_OK)
		q2si_area_undo(edit, *out, bytes);
	return err;
}

/* ---- create ---------------------------------------------------------------------------------- */

static enum q2s_err
create_check(const struct q2s_edit *edit, const struct q2s_edit_snapshot *snapshot,
	     const struct q2s_snapshots *list, struct q2s_diag *diag)
{
	if (snapshot->name_len > NAME_MAX_BYTES ||
	    (snapshot->name_len && memchr(snapshot->name, 0, snapshot->name_len)))
		return q2si_fail(diag, Q2S_E_USAGE, "snapshot name", Q2S_NOWHERE,
				 snapshot->name_len, "must have at most %u bytes, none of them 0",
				 NAME_MAX_BYTES);
	if (snapshot->date_nsec >= NSEC_PER_SEC)
		return q2si_fail(diag, Q2S_E_USAGE, "snapshot date", Q2S_NOWHERE,
				 snapshot->date_nsec, "the nanoseconds are a second or more");
	if (list->count >= Q2S_SNAPSHOTS_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "nb_snapshots", Q2S_NOWHERE, list->count,
				 "an image has at most %u snapshots", Q2S_SNAPSHOTS_MAX);
	if (q2si_has_data_file(edit))
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "image", Q2S_NOWHERE,
				    "with an external data file it has no internal snapshots");
	return Q2S_OK;
}

/* The table with a record more, for the L1 table @l1. */
static enum q2s_err
create_table(const struct q2s_edit *edit, const struct q2s_edit_snapshot *snapshot,
	     const struct q2s_snapshots *list, uint64_t l1, struct table *out,
	     struct q2s_diag *diag)
{
	const size_t room = 128 + ID_MAX + NAME_MAX_BYTES;
	char id[ID_MAX];
	struct q2s_snapshot record = {
		.l1_offset = { l1 },
		.l1_entries = edit->header.l1_size,
		.id = (const uint8_t *)id,
		.name = snapshot->name,
		.name_len = (uint16_t)snapshot->name_len,
		.date_sec = snapshot->date_sec,
		.date_nsec = snapshot->date_nsec,
		.has_disk_size = true,
		.disk_size = edit->geom.size,
		.has_icount = true, /* 0, as qemu-img */
	};
	size_t used;

	id_make(list, id);
	record.id_len = (uint16_t)strlen(id);
	Q2SI_TRY(table_copy(list, UINT32_MAX, room, out, diag));
	Q2SI_TRY(q2s_snapshot_encode(&edit->geom, &record, out->buf + out->len, room, &used,
				     diag));
	out->len += used;
	out->count++;
	return Q2S_OK;
}

/*
 * The counts rise before COPIED goes: at a count of 1 that is no harm, and costs copies, if a crash
 * comes. The header is last.
 */
static enum q2s_err
create_enter(struct q2s_edit *edit, const struct q2si_l1 *l1, const struct table *table, uint64_t at,
	     size_t old_len, struct q2s_diag *diag)
{
	if (Q2SI_KEEPS(Q2SI_COUNT_SNAPSHOT))
		Q2SI_TRY(q2si_tree_raise(edit, l1, diag));
	Q2SI_TRY(q2si_tree_mark(edit, l1, true, diag));
	Q2SI_TRY(table_enter(edit, table, at, old_len, diag));
	return Q2SI_KEEPS(Q2SI_COUNT_SNAPSHOT) ? Q2S_OK : q2si_tree_raise(edit, l1, diag);
}

/* What needs space comes first, so that a full disk finds nothing changed. */
static enum q2s_err
create(struct q2s_edit *edit, const struct q2s_edit_snapshot *snapshot,
       const struct q2s_snapshots *list, struct q2s_diag *diag)
{
	const struct q2si_l1 l1 = q2si_active_l1(edit);
	struct table table = { 0 };
	uint64_t copy, at = 0;
	enum q2s_err err;

	Q2SI_TRY(create_check(edit, snapshot, list, diag));
	Q2SI_TRY(q2si_sound(edit, diag));
	Q2SI_TRY(q2si_tree_may_rise(edit, &l1, diag));
	Q2SI_TRY(l1_copy(edit, &l1, &copy, diag));
	err = create_table(edit, snapshot, list, copy, &table, diag);
	if (err == Q2S_OK)
		err = table_place(edit, &table, &at, diag);
	if (err == Q2S_OK)
		err = create_enter(edit, &l1, &table, at, list->bytes, diag);
	if (err != Q2S_OK && edit->stopped == Q2S_OK) {
		if (at)
			q2si_area_undo(edit, at, table.len);
		if (copy)
			q2si_area_undo(edit, copy, l1.entries * Q2S_L1_ENTRY_SIZE);
	}
	free(table.buf);
	return err;
}

enum q2s_err
q2s_edit_snapshot_create(struct q2s_edit *edit, const struct q2s_edit_snapshot *snapshot,
			 struct q2s_diag *diag)
{
	struct q2s_snapshots list;
	enum q2s_err err;

	Q2SI_TRY(q2si_whole_begin(edit, diag));
	err = q2s_image_snapshots(edit->image, &list, diag);
	if (err == Q2S_OK) {
		err = create(edit, snapshot, &list, diag);
		q2s_snapshots_free(&list);
	}
	return q2si_whole_end(edit, err, diag);
}

/* ---- apply ----------------------------------------------------------------------------------- */

static enum q2s_err
apply_check(const struct q2s_edit *edit, const struct q2s_snapshot *snapshot, uint64_t size,
	    q2s_host at, struct q2s_diag *diag)
{
	struct q2s_geom geom;

	if (q2s_image_bitmaps(edit->image))
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "image", Q2S_NOWHERE,
				    "it has persistent bitmaps, which would no longer be true");
	if (edit->geom.version < 3 && size != edit->geom.size)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "snapshot", at, size,
				 "a version 2 image with snapshots cannot change its size of "
				 "%" PRIu64 " bytes",
				 edit->geom.size);
	Q2SI_TRY(q2s_geom_resize(&edit->geom, size, &geom, diag));
	if (snapshot->l1_entries < geom.l1_entries)
		return q2si_fail(diag, Q2S_E_SNAPSHOT, "snapshot l1_size", at,
				 snapshot->l1_entries, "too small for its disk");
	return Q2S_OK;
}

/* The counts of its tree are those of two owners from here on, so nothing in it is COPIED. */
static enum q2s_err
apply_enter(struct q2s_edit *edit, const struct q2si_l1 *l1, uint64_t copy, uint64_t size,
	    struct q2s_diag *diag)
{
	struct q2s_header header;

	Q2SI_TRY(q2si_tree_raise(edit, l1, diag));
	Q2SI_TRY(q2si_tree_mark(edit, l1, false, diag));
	header = edit->header;
	header.size = size;
	header.l1_table_offset.v = copy;
	header.l1_size = (uint32_t)l1->entries;
	return q2si_header_switch(edit, &header, diag);
}

static enum q2s_err
apply(struct q2s_edit *edit, const struct q2s_snapshot *snapshot, q2s_host at,
      struct q2s_diag *diag)
{
	const struct q2si_l1 l1 = { snapshot->l1_offset.v, snapshot->l1_entries };
	const struct q2si_l1 old = q2si_active_l1(edit);
	const uint64_t size = snapshot->has_disk_size ? snapshot->disk_size : edit->geom.size;
	uint64_t copy;
	enum q2s_err err;

	Q2SI_TRY(apply_check(edit, snapshot, size, at, diag));
	Q2SI_TRY(q2si_sound(edit, diag));
	Q2SI_TRY(q2si_tree_may_rise(edit, &l1, diag));
	Q2SI_TRY(l1_copy(edit, &l1, &copy, diag));
	err = apply_enter(edit, &l1, copy, size, diag);
	if (err != Q2S_OK) {
		if (copy && edit->stopped == Q2S_OK)
			q2si_area_undo(edit, copy, l1.entries * Q2S_L1_ENTRY_SIZE);
		return err;
	}
	Q2SI_TRY(q2si_tree_drop(edit, &old, diag));
	Q2SI_TRY(q2si_area_free(edit, old.at, old.entries * Q2S_L1_ENTRY_SIZE, diag));
	return Q2S_OK;
}

enum q2s_err
q2s_edit_snapshot_apply(struct q2s_edit *edit, const void *word, size_t len,
			struct q2s_diag *diag)
{
	struct q2s_snapshots list;
	uint32_t index;
	enum q2s_err err;

	Q2SI_TRY(q2si_whole_begin(edit, diag));
	err = q2s_image_snapshots(edit->image, &list, diag);
	if (err == Q2S_OK) {
		err = find(&list, word, len, true, &index, diag);
		if (err == Q2S_OK)
			err = apply(edit, &list.list[index], list.at[index], diag);
		q2s_snapshots_free(&list);
	}
	return q2si_whole_end(edit, err, diag);
}

/* ---- delete ---------------------------------------------------------------------------------- */

static enum q2s_err
delete(struct q2s_edit *edit, const struct q2s_snapshots *list, uint32_t index,
       struct q2s_diag *diag)
{
	const struct q2s_snapshot *snapshot = &list->list[index];
	const struct q2si_l1 l1 = { snapshot->l1_offset.v, snapshot->l1_entries };
	struct q2si_l1 active;
	struct table table;
	enum q2s_err err;

	Q2SI_TRY(q2si_sound(edit, diag));
	Q2SI_TRY(table_copy(list, index, 0, &table, diag));
	err = table_switch(edit, &table, list->bytes, diag);
	free(table.buf);
	Q2SI_TRY(err);
	Q2SI_TRY(q2si_tree_drop(edit, &l1, diag));
	Q2SI_TRY(q2si_area_free(edit, l1.at, l1.entries * Q2S_L1_ENTRY_SIZE, diag));
	Q2SI_TRY(q2si_settle(edit, diag));
	/* What has lost its last other owner is COPIED again. */
	active = q2si_active_l1(edit);
	return q2si_tree_mark(edit, &active, true, diag);
}

enum q2s_err
q2s_edit_snapshot_delete(struct q2s_edit *edit, const void *word, size_t len,
			 struct q2s_diag *diag)
{
	struct q2s_snapshots list;
	uint32_t index;
	enum q2s_err err;

	Q2SI_TRY(q2si_whole_begin(edit, diag));
	err = q2s_image_snapshots(edit->image, &list, diag);
	if (err == Q2S_OK) {
		err = find(&list, word, len, false, &index, diag);
		if (err == Q2S_OK)
			err = delete(edit, &list, index, diag);
		q2s_snapshots_free(&list);
	}
	return q2si_whole_end(edit, err, diag);
}

/* ---- version 3 ------------------------------------------------------------------------------- */

/* Records as they are, or, where they have no disk size, with that of the disk. */
static enum q2s_err
table_widen(const struct q2s_edit *edit, const struct q2s_snapshots *list, struct table *out,
	    struct q2s_diag *diag)
{
	const size_t room = list->bytes + list->count * (size_t)64;

	*out = (struct table){ .buf = calloc(1, room), .count = list->count };
	if (!out->buf)
		return q2si_fail_nomem(diag, "snapshot table");
	for (uint32_t i = 0; i < list->count; i++) {
		const uint64_t from = list->at[i].v - list->at[0].v;
		const uint64_t end = i + 1 < list->count ? list->at[i + 1].v - list->at[0].v
							 : list->bytes;
		size_t used = end - from;

		if (list->list[i].has_disk_size)
			memcpy(out->buf + out->len, list->buf + from, used);
		else
			Q2SI_TRY(q2s_snapshot_encode(&edit->geom, &list->list[i],
						     out->buf + out->len, room - out->len, &used,
						     diag));
		out->len += used;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_snapshots_widen(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2s_snapshots list;
	struct table table = { 0 };
	bool all = true;
	enum q2s_err err;

	Q2SI_TRY(q2s_image_snapshots(edit->image, &list, diag));
	for (uint32_t i = 0; i < list.count; i++)
		all = all && list.list[i].has_disk_size;
	err = all ? Q2S_OK : table_widen(edit, &list, &table, diag);
	if (err == Q2S_OK && !all)
		err = table_switch(edit, &table, list.bytes, diag);
	free(table.buf);
	q2s_snapshots_free(&list);
	return err;
}
