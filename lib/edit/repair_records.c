/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Internal snapshots and persistent bitmaps. A snapshot record that is only too short is written
 * anew, as QEMU does it. What is malformed is given up, but only when that was asked for.
 */
#include "edit/repair.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/zero.h"
#include "format/header.h"

/* ---- snapshots ----------------------------------------------------------------------------- */

/* @out: the records that stay, as they will be written. @bad: of the others, those that are something. */
struct snapshot_work {
	struct q2si_round *round;
	const struct q2si_case *found;
	bool drop;
	uint8_t *out;
	size_t len, room;
	uint32_t kept, dropped, bad;
};

/* What a record says can be used. */
static bool
is_good(const struct q2si_checker *ck, const struct q2s_snapshot *snapshot)
{
	return !ck->geom->data_file && snapshot->l1_offset.v != 0 &&
	       !(snapshot->has_disk_size && snapshot->disk_size >= Q2S_SIZE_LIMIT) &&
	       !q2si_past_end(ck, snapshot->l1_offset.v,
			      (uint64_t)snapshot->l1_entries * Q2S_L1_ENTRY_SIZE);
}

static enum q2s_err
keep_snapshot(struct snapshot_work *work, const struct q2s_snapshot *snapshot)
{
	const size_t most = Q2S_SNAPSHOT_FIXED_SIZE + 24u + 2u * UINT16_MAX + 8;
	size_t used;

	if (work->room - work->len < most) {
		const size_t room = 2 * work->room + most;
		uint8_t *bigger = realloc(work->out, room);

		if (!bigger)
			return q2si_fail_nomem(work->round->diag, "snapshot table");
		work->out = bigger;
		work->room = room;
	}
	Q2SI_TRY(q2s_snapshot_encode(work->round->ck->geom, snapshot, work->out + work->len,
				     work->room - work->len, &used, work->round->diag));
	work->len += used;
	work->kept++;
	return Q2S_OK;
}

/* A record of zeros is no snapshot: somebody counted it by mistake. */
static void
drop_snapshot(struct snapshot_work *work, bool empty)
{
	work->dropped++;
	work->bad += !empty;
}

/* False when the table is to stay as it is. */
static enum q2s_err
sort_snapshots(struct snapshot_work *work, const uint8_t *buf, size_t len, bool *write)
{
	const struct q2si_checker *ck = work->round->ck;
	const q2s_host at = ck->header->snapshots_offset;
	size_t pos = 0;

	for (uint32_t i = 0; i < ck->header->nb_snapshots; i++) {
		struct q2s_snapshot snapshot;
		size_t used = 0;
		enum q2s_err err = Q2S_E_SHORT;

		if (pos < len)
			err = q2s_snapshot_decode_lenient(ck->geom, buf + pos, len - pos, at,
							  &snapshot, &used, NULL);
		if (err == Q2S_OK && i < Q2S_SNAPSHOTS_MAX && is_good(ck, &snapshot))
			Q2SI_TRY(keep_snapshot(work, &snapshot));
		else
			drop_snapshot(work, err == Q2S_OK && len - pos >= Q2S_SNAPSHOT_FIXED_SIZE &&
						    q2si_is_zero(buf + pos, Q2S_SNAPSHOT_FIXED_SIZE));
		if (err == Q2S_E_SHORT || err == Q2S_E_SNAPSHOT) {
			work->dropped += ck->header->nb_snapshots - i - 1;
			break;
		}
		pos += used;
	}
	/* So many there never were: it is the number that is wrong. */
	if (ck->header->nb_snapshots > Q2S_SNAPSHOTS_MAX && work->bad <= 1)
		work->bad = 0;
	*write = work->bad == 0 || work->drop;
	return Q2S_OK;
}

static enum q2s_err
write_snapshots(struct snapshot_work *work)
{
	struct q2si_round *round = work->round;
	const uint64_t size = round->ck->geom->cluster_size;
	const uint64_t clusters = q2si_div_up(work->len, size);
	uint64_t host = 0;
	uint8_t raw[12];

	if (work->kept)
		Q2SI_TRY(q2si_round_alloc(round, clusters, &host));
	Q2SI_TRY(q2si_round_step(
		round, work->found, Q2S_SURE_CERTAIN,
		work->dropped && !work->bad
			? "records of zeros are no snapshots; the others go into a new table"
		: work->dropped ? "snapshots whose records or tables are malformed are given up; the "
				"others go into a new table"
			      : "the snapshot table is written anew, with all fields of version 3",
		work->bad ? "these snapshots" : "nothing"));
	if (work->kept) {
		Q2SI_TRY(q2si_step_zero(round->repair, host, clusters * size, round->diag));
		Q2SI_TRY(q2si_step_bytes(round->repair, Q2SI_STAGE_FILL, host, work->out, work->len,
					 round->diag));
	}
	q2si_put_be32(raw, work->kept);
	q2si_put_be64(raw + 4, host);
	round->changed = true;
	round->fixed += work->found->times;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L1, AT_NB_SNAPSHOTS, raw, sizeof(raw),
			       round->diag);
}

static enum q2s_err
mend_snapshots(struct q2si_round *round, const struct q2si_case *found, bool drop)
{
	const struct q2si_checker *ck = round->ck;
	const uint64_t at = ck->header->snapshots_offset.v;
	const uint64_t end = ck->file_clusters << ck->geom->cluster_bits;
	const bool there = at && q2si_is_aligned(at, ck->geom->cluster_size) && at < end;
	const size_t len = there ? (size_t)q2si_min(end - at, Q2S_SNAPSHOT_TABLE_MAX_BYTES) : 0;
	struct snapshot_work work = { .round = round, .found = found, .drop = drop };
	Q2SI_AUTO_FREE uint8_t *buf = malloc(len + 1);
	enum q2s_err err = buf ? Q2S_OK : q2si_fail_nomem(round->diag, "snapshot table");
	bool write = false;

	if (err == Q2S_OK && len)
		err = q2si_round_read(round, at, buf, len);
	if (err == Q2S_OK)
		err = sort_snapshots(&work, buf, len, &write);
	if (err == Q2S_OK && write)
		err = write_snapshots(&work);
	free(work.out);
	return err;
}

/* The L1 table of a record gets a copy; the record's first word says where it is. */
static enum q2s_err
move_snapshot_l1(struct q2si_round *round, const struct q2si_case *found, uint64_t record,
		 const struct q2s_snapshot *snapshot)
{
	const uint64_t size = round->ck->geom->cluster_size;
	const uint64_t len = (uint64_t)snapshot->l1_entries * Q2S_L1_ENTRY_SIZE;
	const uint64_t clusters = q2si_div_up(len, size);
	uint64_t host;
	uint8_t raw[8];

	Q2SI_TRY(q2si_round_alloc(round, clusters, &host));
	Q2SI_TRY(q2si_round_step(round, found, Q2S_SURE_CERTAIN,
				 "the L1 table of a snapshot is another structure too; it is copied "
				 "to clusters of its own", "nothing that can be read now"));
	Q2SI_TRY(q2si_step_zero(round->repair, host, clusters * size, round->diag));
	Q2SI_TRY(q2si_step_copy(round->repair, snapshot->l1_offset.v, host, len, true,
				round->diag));
	q2si_put_be64(raw, host);
	round->changed = true;
	round->fixed++;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L1, record, raw, sizeof(raw), round->diag);
}

/* Of several snapshots with one L1 table the first one keeps it. */
static enum q2s_err
separate_snapshots(struct q2si_round *round, const struct q2si_case *found)
{
	const struct q2si_checker *ck = round->ck;
	const uint64_t start = ck->header->snapshots_offset.v;
	Q2SI_AUTO_FREE uint8_t *buf = malloc(Q2SI_WINDOW);
	bool kept = false;
	uint64_t pos = 0;
	size_t used;

	if (!buf)
		return q2si_fail_nomem(round->diag, "snapshot table");
	for (uint32_t i = 0; i < ck->header->nb_snapshots; i++, pos += used) {
		struct q2s_snapshot snapshot;

		Q2SI_TRY(q2si_round_read(round, start + pos, buf, Q2SI_WINDOW));
		if (q2s_snapshot_decode_lenient(ck->geom, buf, Q2SI_WINDOW,
						(q2s_host){ start + pos }, &snapshot, &used,
						NULL) != Q2S_OK)
			return Q2S_OK;
		if (found->host < snapshot.l1_offset.v ||
		    found->host - snapshot.l1_offset.v >=
			    (uint64_t)snapshot.l1_entries * Q2S_L1_ENTRY_SIZE)
			continue;
		if (kept)
			Q2SI_TRY(move_snapshot_l1(round, found, start + pos, &snapshot));
		kept = true;
	}
	return Q2S_OK;
}

/* ---- bitmaps ------------------------------------------------------------------------------- */

/* The extension's record: where it is, and where the one behind it begins. */
static bool
find_extension(const struct q2si_checker *ck, struct q2s_ext *out, uint64_t *next)
{
	const uint8_t *raw = q2s_image_cluster0(ck->image);
	const q2s_host end = q2s_ext_area_end(ck->header);

	*next = ck->header->header_length;
	while (q2s_ext_next(raw, ck->geom->cluster_size, end, next, out, NULL) == Q2S_OK &&
	       out->type != Q2S_EXT_END)
		if (out->type == Q2S_EXT_BITMAPS)
			return true;
	return false;
}

/* What follows the record moves up; then no bitmap is there. */
static enum q2s_err
remove_extension(struct q2si_round *round, const struct q2s_ext *ext, uint64_t next)
{
	const struct q2si_checker *ck = round->ck;
	const uint8_t *raw = q2s_image_cluster0(ck->image);
	const q2s_host end = q2s_ext_area_end(ck->header);
	uint64_t last = next, len;
	struct q2s_ext other;
	uint8_t features[8], *bytes;
	enum q2s_err err;

	while (q2s_ext_next(raw, ck->geom->cluster_size, end, &last, &other, NULL) == Q2S_OK &&
	       other.type != Q2S_EXT_END)
		;
	last = q2si_min(last, end.v);
	len = last - ext->at.v;
	bytes = calloc(1, q2si_size(len));
	if (!bytes)
		return q2si_fail_nomem(round->diag, "header extension");
	memcpy(bytes, raw + next, last - next);
	err = q2si_step_bytes(round->repair, Q2SI_STAGE_L1, ext->at.v, bytes, len, round->diag);
	free(bytes);
	if (err != Q2S_OK)
		return err;
	q2si_put_be64(features, ck->header->autoclear_features & ~Q2S_AUTOCLEAR_BITMAPS);
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L1, AT_AUTOCLEAR_FEATURES, features,
			       sizeof(features), round->diag);
}

static bool
is_bitmap_case(const struct q2si_case *found)
{
	return found->id == Q2SI_FOUND_EXTENSION_BITMAPS_BAD ||
	       (found->id == Q2SI_FOUND_OVERLAP_METADATA && found->kind &&
		strstr(found->kind, "bitmap")) ||
	       (found->id >= Q2SI_FOUND_BITMAP_DIRECTORY_PAST_END &&
		found->id <= Q2SI_FOUND_BITMAP_DATA_PAST_END &&
		found->id != Q2SI_FOUND_BITMAP_IN_USE && found->id != Q2SI_FOUND_BITMAP_EXTRA);
}

/* Is something wrong with the record itself? */
static bool
has_case_in(const struct q2si_round *round, uint64_t at, uint64_t len)
{
	for (size_t i = 0; i < round->count; i++) {
		const struct q2si_case *found = &round->cases[i];

		if (is_bitmap_case(found) && found->host >= at && found->host - at < len)
			return true;
	}
	return false;
}

/* Does the table lead to clusters of the file alone? */
static enum q2s_err
table_is_good(struct q2si_round *round, const struct q2s_bitmap *bitmap, bool *good)
{
	const struct q2si_checker *ck = round->ck;
	const uint64_t len = (uint64_t)bitmap->table_entries * Q2S_BITMAP_TABLE_ENTRY_SIZE;
	const uint64_t at = bitmap->table_offset.v;
	uint8_t raw[4096];

	*good = !q2si_past_end(ck, at, len);
	for (uint64_t done = 0; *good && done < len; done += sizeof(raw)) {
		const size_t n = (size_t)q2si_min(len - done, sizeof(raw));

		Q2SI_TRY(q2si_round_read(round, at + done, raw, n));
		for (size_t i = 0; *good && i < n; i += Q2S_BITMAP_TABLE_ENTRY_SIZE) {
			struct q2s_bitmap_table_entry entry;

			*good = q2s_bitmap_table_decode(ck->geom, raw + i, Q2S_NOWHERE, &entry,
							NULL) == Q2S_OK &&
				!(entry.cluster.v && q2si_past_end(ck, entry.cluster.v,
								   ck->geom->cluster_size));
		}
	}
	return Q2S_OK;
}

/* Of the directory at @dir, in @buf, keep the records that are good: they move together. */
static enum q2s_err
sort_bitmaps(struct q2si_round *round, const struct q2s_ext_bitmaps *dir, uint8_t *buf,
	     struct q2s_ext_bitmaps *out)
{
	const struct q2si_checker *ck = round->ck;
	size_t pos = 0;

	*out = (struct q2s_ext_bitmaps){ 0 };
	for (uint32_t i = 0; i < dir->count && pos < dir->directory_size; i++) {
		const q2s_host at = { dir->directory_offset.v + pos };
		const size_t left = (size_t)dir->directory_size - pos;
		struct q2s_bitmap bitmap;
		size_t used;
		enum q2s_err err = q2s_bitmap_decode(ck->geom, buf + pos, left, at, &bitmap, &used,
						     NULL);
		bool good = false;

		used = q2si_min_size(used, left);
		if (err == Q2S_OK && !has_case_in(round, at.v, used))
			Q2SI_TRY(table_is_good(round, &bitmap, &good));
		if (good) {
			memmove(buf + out->directory_size, buf + pos, used);
			out->directory_size += used;
			out->count++;
		}
		if (err == Q2S_E_SHORT)
			break;
		pos += used;
	}
	return Q2S_OK;
}

static enum q2s_err
keep_bitmaps(struct q2si_round *round, const struct q2s_ext *ext, struct q2s_ext_bitmaps *kept,
	     const uint8_t *buf)
{
	const uint64_t size = round->ck->geom->cluster_size;
	const uint64_t clusters = q2si_div_up(kept->directory_size, size);
	uint8_t raw[Q2S_EXT_BITMAPS_SIZE];

	Q2SI_TRY(q2si_round_alloc(round, clusters, &kept->directory_offset.v));
	Q2SI_TRY(q2si_step_zero(round->repair, kept->directory_offset.v, clusters * size,
				round->diag));
	Q2SI_TRY(q2si_step_bytes(round->repair, Q2SI_STAGE_FILL, kept->directory_offset.v, buf,
				 kept->directory_size, round->diag));
	q2s_ext_bitmaps_encode(kept, raw);
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L1, ext->at.v + Q2S_EXT_HEAD_SIZE, raw,
			       sizeof(raw), round->diag);
}

static enum q2s_err
mend_bitmaps(struct q2si_round *round, const struct q2si_case *found)
{
	const struct q2si_checker *ck = round->ck;
	const struct q2s_ext_bitmaps *dir = q2s_image_bitmaps(ck->image);
	const bool readable = dir && found->id != Q2SI_FOUND_OVERLAP_METADATA &&
			      !q2si_past_end(ck, dir->directory_offset.v, dir->directory_size);
	Q2SI_AUTO_FREE uint8_t *buf = malloc(readable ? q2si_size(dir->directory_size) : 1);
	struct q2s_ext_bitmaps kept = { 0 };
	struct q2s_ext ext;
	uint64_t next;

	if (!buf)
		return q2si_fail_nomem(round->diag, "bitmap directory");
	/* Once: what is wrong with those that were kept then is no case for this. */
	if (!find_extension(ck, &ext, &next) || round->repair->bitmaps_done)
		return Q2S_OK;
	round->repair->bitmaps_done = true;
	if (readable) {
		Q2SI_TRY(q2si_round_read(round, dir->directory_offset.v, buf, dir->directory_size));
		Q2SI_TRY(sort_bitmaps(round, dir, buf, &kept));
	}
	Q2SI_TRY(q2si_round_step(round, found, Q2S_SURE_CERTAIN,
				 kept.count ? "bitmaps that are malformed are given up; the others "
					      "go into a new directory"
					    : "the bitmaps are given up, as none of them can be used",
				 "these bitmaps: the next incremental backup has to be a full one"));
	round->changed = true;
	round->fixed += found->times;
	return kept.count ? keep_bitmaps(round, &ext, &kept, buf)
			  : remove_extension(round, &ext, next);
}

/* ---- which of them ------------------------------------------------------------------------- */

static bool
is_snapshot_case(const struct q2si_case *found)
{
	return found->id >= Q2SI_FOUND_SNAPSHOT_TABLE_OFFSET &&
	       found->id <= Q2SI_FOUND_SNAPSHOT_L1_PAST_END && found->id != Q2SI_FOUND_SNAPSHOT_ID &&
	       found->id != Q2SI_FOUND_SNAPSHOT_L1_SHORT;
}

enum q2s_err
q2si_repair_records(struct q2si_round *round)
{
	const bool snapshots = round->repair->flags & Q2S_REPAIR_DROP_SNAPSHOTS;
	const bool bitmaps = round->repair->flags & Q2S_REPAIR_DROP_BITMAPS;
	bool snapshots_done = false, bitmaps_done = false;

	for (size_t i = 0; i < round->count; i++) {
		const struct q2si_case *found = &round->cases[i];

		if (is_snapshot_case(found) && !snapshots)
			round->drop |= Q2S_REPAIR_DROP_SNAPSHOTS;
		if (is_bitmap_case(found) && !bitmaps)
			round->drop |= Q2S_REPAIR_DROP_BITMAPS;
		if (!snapshots_done && is_snapshot_case(found) &&
		    (snapshots || found->id == Q2SI_FOUND_SNAPSHOT_EXTRA ||
		     found->id == Q2SI_FOUND_SNAPSHOT_COUNT ||
		     (found->id == Q2SI_FOUND_SNAPSHOT_TABLE_OFFSET &&
		      round->ck->header->nb_snapshots > Q2S_SNAPSHOTS_MAX))) {
			snapshots_done = true;
			Q2SI_TRY(mend_snapshots(round, found, snapshots));
		}
		if (found->id == Q2SI_FOUND_OVERLAP_METADATA && found->kind &&
		    strcmp(found->kind, "snapshot L1 table") == 0 && !snapshots_done)
			Q2SI_TRY(separate_snapshots(round, found));
		if (bitmaps && !bitmaps_done && is_bitmap_case(found)) {
			bitmaps_done = true;
			Q2SI_TRY(mend_bitmaps(round, found));
		}
	}
	return Q2S_OK;
}
