/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the content of a persistent bitmap: its table and its data are read piece by piece, so
 * that memory does not depend on the sizes that the file names.
 */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

#define TABLE_PIECE 4096u
#define DATA_PIECE 32768u

/**
 * @table  entries from number @table_first on; @table_count of them, 0: none yet
 * @data   bytes of a data cluster, which lie at @data_at; @data_len of them, 0: none yet
 */
struct q2s_bitmap_reader {
	const struct q2s_image *image;
	struct q2s_bitmap record; /* its name points into @name */
	uint64_t bits;
	uint64_t table_first;
	uint32_t table_count;
	q2s_host data_at;
	size_t data_len;
	uint8_t name[Q2S_BITMAP_NAME_MAX];
	uint8_t table[TABLE_PIECE];
	uint8_t data[DATA_PIECE];
};

/* Bits [@first, @end) of the bitmap: those of @bytes or, without, all equal to @ones. */
struct piece {
	uint64_t first, end;
	const uint8_t *bytes;
	bool ones;
};

/* ---- opening ------------------------------------------------------------------------------- */

static enum q2s_err
unknown(const struct q2s_image *image, struct q2s_bytes name, struct q2s_diag *diag)
{
	if (image->stale_bitmaps)
		return q2si_fail_at(diag, Q2S_E_BITMAP, "bitmaps extension", Q2S_NOWHERE,
				    "a program without support for bitmaps wrote to this image, so "
				    "that none of them can be trusted");
	return q2si_fail_at(diag, Q2S_E_USAGE, "bitmap", Q2S_NOWHERE, "there is none called '%.*s'",
			    (int)q2si_min(name.len, 128), (const char *)name.data);
}

static enum q2s_err
check_usable(const struct q2s_bitmap *record, q2s_host at, struct q2s_diag *diag)
{
	const int shown = record->name_len < 128 ? record->name_len : 128;

	if (record->flags & Q2S_BITMAP_IN_USE)
		return q2si_fail(diag, Q2S_E_BITMAP, "bitmap flags", at, record->flags,
				 "bitmap '%.*s' is in use: a program has the image open, or did not "
				 "close it, so that the bitmap cannot be trusted", shown,
				 (const char *)record->name);
	/* Data that we do not know may be ignored with this flag; QEMU refuses the whole image. */
	return Q2S_OK;
}

static enum q2s_err
find(struct q2s_bitmap_reader *reader, struct q2s_bytes name, const struct q2s_bitmaps *all,
     struct q2s_diag *diag)
{
	for (uint32_t i = 0; i < all->count; i++) {
		const struct q2s_bitmap *record = &all->list[i];

		if (record->name_len != name.len || memcmp(record->name, name.data, name.len) != 0)
			continue;
		Q2SI_TRY(check_usable(record, all->at[i], diag));
		reader->record = *record;
		memcpy(reader->name, name.data, name.len);
		reader->record.name = reader->name;
		reader->record.extra = NULL;
		reader->record.extra_size = 0;
		reader->bits = q2si_div_up(reader->image->geom.size,
					   1ull << record->granularity_bits);
		return Q2S_OK;
	}
	return unknown(reader->image, name, diag);
}

enum q2s_err
q2s_bitmap_reader_open(const struct q2s_image *image, struct q2s_bytes name,
		       struct q2s_bitmap_reader **out, struct q2s_diag *diag)
{
	struct q2s_bitmap_reader *reader;
	struct q2s_bitmaps all;
	enum q2s_err err;

	Q2SI_TRY(q2s_image_bitmap_directory(image, &all, diag));
	reader = calloc(1, sizeof(*reader));
	if (reader) {
		reader->image = image;
		err = find(reader, name, &all, diag);
	} else {
		err = q2si_fail_nomem(diag, "bitmap");
	}
	q2s_bitmaps_free(&all);
	if (err != Q2S_OK) {
		free(reader);
		return q2si_in_file(diag, err, q2s_store_name(image->file));
	}
	*out = reader;
	return Q2S_OK;
}

void
q2s_bitmap_reader_close(struct q2s_bitmap_reader *reader)
{
	free(reader);
}

const struct q2s_bitmap *
q2s_bitmap_reader_record(const struct q2s_bitmap_reader *reader)
{
	return &reader->record;
}

/* ---- pieces -------------------------------------------------------------------------------- */

static enum q2s_err
entry_at(struct q2s_bitmap_reader *reader, uint64_t index, struct q2s_bitmap_table_entry *out,
	 struct q2s_diag *diag)
{
	const uint32_t per = TABLE_PIECE / Q2S_BITMAP_TABLE_ENTRY_SIZE;
	const uint64_t first = q2si_round_down(index, per);
	const uint64_t skip = (index - first) * Q2S_BITMAP_TABLE_ENTRY_SIZE;
	const q2s_host at = { reader->record.table_offset.v +
			      first * Q2S_BITMAP_TABLE_ENTRY_SIZE };

	if (reader->table_count == 0 || reader->table_first != first) {
		const uint64_t left = reader->record.table_entries - first;

		reader->table_count = 0;
		Q2SI_TRY(q2si_image_read(reader->image, at, reader->table,
					 q2si_min(left, per) * Q2S_BITMAP_TABLE_ENTRY_SIZE,
					 "bitmap table", diag));
		reader->table_first = first;
		reader->table_count = (uint32_t)q2si_min(left, per);
	}
	return q2s_bitmap_table_decode(&reader->image->geom, reader->table + skip,
				       (q2s_host){ at.v + skip }, out, diag);
}

/* Bytes of a data cluster from byte @skip on, a multiple of DATA_PIECE. */
static enum q2s_err
load(struct q2s_bitmap_reader *reader, q2s_host cluster, uint32_t skip, struct q2s_diag *diag)
{
	const q2s_host at = { cluster.v + skip };
	const size_t len = q2si_min_size(reader->image->geom.cluster_size - skip, DATA_PIECE);

	if (reader->data_len == len && reader->data_at.v == at.v)
		return Q2S_OK;
	reader->data_len = 0;
	Q2SI_TRY(q2si_image_read(reader->image, at, reader->data, len, "bitmap data", diag));
	reader->data_at = at;
	reader->data_len = len;
	return Q2S_OK;
}

/* The piece that holds @bit. */
static enum q2s_err
piece_at(struct q2s_bitmap_reader *reader, uint64_t bit, struct piece *out, struct q2s_diag *diag)
{
	const uint64_t per = 8ull * reader->image->geom.cluster_size;
	const uint64_t first = q2si_round_down(bit, per);
	struct q2s_bitmap_table_entry entry;

	Q2SI_TRY(entry_at(reader, first / per, &entry, diag));
	*out = (struct piece){ .first = first, .end = first + per, .ones = entry.ones };
	if (entry.cluster.v == 0)
		return Q2S_OK;
	const uint32_t skip = (uint32_t)q2si_round_down((bit - first) / 8, DATA_PIECE);

	Q2SI_TRY(load(reader, entry.cluster, skip, diag));
	out->first = first + 8ull * skip;
	out->end = out->first + 8ull * reader->data_len;
	out->bytes = reader->data;
	return Q2S_OK;
}

static bool
bit_of(const struct piece *piece, uint64_t bit)
{
	if (!piece->bytes)
		return piece->ones;
	return piece->bytes[(bit - piece->first) / 8] >> (bit & 7) & 1;
}

/* Where the bits from @bit on that are all @dirty end; at most @end. */
static uint64_t
equal_until(const struct piece *piece, uint64_t bit, uint64_t end, bool dirty)
{
	const uint8_t same = dirty ? 0xff : 0;

	end = q2si_min(end, piece->end);
	if (!piece->bytes)
		return piece->ones == dirty ? end : bit;
	while (bit < end && bit_of(piece, bit) == dirty) {
		bit++;
		while ((bit & 7) == 0 && bit + 8 <= end &&
		       piece->bytes[(bit - piece->first) / 8] == same)
			bit += 8;
	}
	return bit;
}

enum q2s_err
q2s_bitmap_reader_run(struct q2s_bitmap_reader *reader, q2s_guest guest, uint64_t max,
		      struct q2s_bitmap_run *out, struct q2s_diag *diag)
{
	const uint32_t shift = reader->record.granularity_bits;
	const uint64_t size = reader->image->geom.size;
	const uint64_t wanted = q2si_min(max, size - guest.v);
	const uint64_t end = q2si_div_up(guest.v + wanted, 1ull << shift);
	uint64_t bit = guest.v >> shift;
	struct piece piece;

	Q2SI_TRY(piece_at(reader, bit, &piece, diag));
	const bool dirty = bit_of(&piece, bit);

	for (;;) {
		bit = equal_until(&piece, bit, end, dirty);
		if (bit == end || bit < piece.end)
			break;
		Q2SI_TRY(piece_at(reader, bit, &piece, diag));
		if (bit_of(&piece, bit) != dirty)
			break;
	}
	*out = (struct q2s_bitmap_run){
		.len = q2si_min((bit << shift) - guest.v, wanted),
		.dirty = dirty,
	};
	return Q2S_OK;
}
