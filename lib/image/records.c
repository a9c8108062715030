/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Walking over records whose length is known only when they are read. */
#include <q2s/walk.h>

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "image.h"

#define FIRST_LOOK 4096u

/* Decode the record in walk->buf; *@used as the decoder says. */
typedef enum q2s_err (*decode_fn)(const struct q2s_records *walk, void *out, size_t *used,
				  struct q2s_diag *fault);

struct q2s_records
q2s_records_snapshots(const struct q2s_image *image)
{
	return (struct q2s_records){
		.image = image,
		.at = image->header.snapshots_offset,
		.left = (uint32_t)q2si_min(image->header.nb_snapshots, Q2S_SNAPSHOTS_MAX),
		.room = Q2S_SNAPSHOT_TABLE_MAX_BYTES,
		.fixed = Q2S_SNAPSHOT_FIXED_SIZE,
	};
}

struct q2s_records
q2s_records_bitmaps(const struct q2s_image *image, const struct q2s_ext_bitmaps *bitmaps)
{
	return (struct q2s_records){
		.image = image,
		.at = bitmaps->directory_offset,
		.left = bitmaps->count,
		.room = bitmaps->directory_size,
		.fixed = Q2S_BITMAP_FIXED_SIZE,
	};
}

void
q2s_records_end(struct q2s_records *walk)
{
	free(walk->buf);
	*walk = (struct q2s_records){ 0 };
}

/* Have @size bytes of the record in the buffer. */
static enum q2s_err
fill(struct q2s_records *walk, size_t size, struct q2s_diag *diag)
{
	uint8_t *const buf = realloc(walk->buf, size);

	if (!buf)
		return q2si_fail_nomem(diag, "record");
	walk->buf = buf;
	walk->cap = size;
	return q2s_store_read_padded(walk->image->file, walk->at.v, buf, size, NULL, diag);
}

/* Decode, and once more with more bytes when the record is longer than the first look. */
static enum q2s_err
look(struct q2s_records *walk, decode_fn decode, void *out, struct q2s_stored_record *record, size_t *used,
     struct q2s_diag *diag)
{
	size_t size = (size_t)q2si_min(FIRST_LOOK, walk->room);

	for (;;) {
		const enum q2s_err err = fill(walk, size, diag);

		if (err != Q2S_OK)
			return err;
		record->fault = (struct q2s_diag){ 0 };
		if (decode(walk, out, used, &record->fault) != Q2S_E_SHORT || *used <= size ||
		    *used > walk->room)
			return Q2S_OK;
		size = *used;
	}
}

/* A record that was refused for its lengths leaves *used at its fixed part. */
static bool
is_length_known(const struct q2s_records *walk, const struct q2s_stored_record *record, size_t used)
{
	if (used > walk->room || record->fault.err == Q2S_E_SHORT)
		return false;
	return record->fault.err == Q2S_OK || used > walk->fixed;
}

static bool
next(struct q2s_records *walk, decode_fn decode, void *out, struct q2s_stored_record *record,
     enum q2s_err *err, struct q2s_diag *diag)
{
	size_t used = 0;

	*err = Q2S_OK;
	if (walk->left == 0 || walk->room == 0)
		return false;
	*record = (struct q2s_stored_record){ .at = walk->at };
	if (walk->at.v >= q2s_store_size(walk->image->file)) {
		q2si_fail_at(&record->fault, Q2S_E_TRUNCATED, "record", walk->at,
			     "lies past the end of the file");
		walk->left = 0;
		return true;
	}
	*err = look(walk, decode, out, record, &used, diag);
	if (*err != Q2S_OK)
		return false;
	record->raw = walk->buf;
	if (!is_length_known(walk, record, used)) {
		walk->left = 0;
		return true;
	}
	record->bytes = used;
	walk->at.v += used;
	walk->room -= used;
	walk->left--;
	return true;
}

static enum q2s_err
decode_snapshot(const struct q2s_records *walk, void *out, size_t *used, struct q2s_diag *fault)
{
	return q2s_snapshot_decode(&walk->image->geom, walk->buf, walk->cap, walk->at, out, used,
				   fault);
}

static enum q2s_err
decode_bitmap(const struct q2s_records *walk, void *out, size_t *used, struct q2s_diag *fault)
{
	return q2s_bitmap_decode(&walk->image->geom, walk->buf, walk->cap, walk->at, out, used,
				 fault);
}

bool
q2s_records_next_snapshot(struct q2s_records *walk, struct q2s_stored_record *record, struct q2s_snapshot *out,
		   enum q2s_err *err, struct q2s_diag *diag)
{
	return next(walk, decode_snapshot, out, record, err, diag);
}

bool
q2s_records_next_bitmap(struct q2s_records *walk, struct q2s_stored_record *record, struct q2s_bitmap *out,
		 enum q2s_err *err, struct q2s_diag *diag)
{
	return next(walk, decode_bitmap, out, record, err, diag);
}
