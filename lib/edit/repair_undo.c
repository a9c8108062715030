/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The undo of a plan: the old and the new bytes of all that it writes below the old end of the
 * file. Numbers are big-endian u64: a head (magic, version, old and new length, digest, cluster
 * bits, refcount order), records (offset, length, old bytes, new bytes), a record of length 0, and
 * a hash of all before it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/hash.h"
#include "edit/draft.h"
#include "edit/repair_view.h"

/* Without the zero behind it. */
static const char magic[8] = { 'q', '2', 's', '-', 'u', 'n', 'd', 'o' };

#define UNDO_VERSION 1u
#define HEAD (8 * 5)
#define RECORD_HEAD 16u
#define PIECE (UINT64_C(1) << 20)

/* ---- writing ------------------------------------------------------------------------------- */

struct undo_writer {
	enum q2s_err (*put)(void *opaque, const void *data, size_t len);
	void *opaque;
	uint64_t hash;
};

static enum q2s_err
put(struct undo_writer *writer, const void *data, size_t len)
{
	writer->hash = q2si_hash(data, len, writer->hash);
	return writer->put(writer->opaque, data, len);
}

static enum q2s_err
put_head(struct undo_writer *writer, const struct q2s_repair *repair)
{
	uint8_t raw[HEAD];

	memcpy(raw, magic, sizeof(magic));
	q2si_put_be64(raw + 8, UNDO_VERSION);
	q2si_put_be64(raw + 16, repair->old_length);
	q2si_put_be64(raw + 24, repair->new_length);
	q2si_put_be64(raw + 32, repair->digest);
	return put(writer, raw, sizeof(raw));
}

/* A range in records of moderate size. */
static enum q2s_err
put_range(struct undo_writer *writer, struct q2s_store *before, struct q2s_store *after,
	  uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *buf = malloc(RECORD_HEAD + 2 * q2si_min_size(len, PIECE));

	if (!buf)
		return q2si_fail_nomem(diag, "undo");
	while (len > 0) {
		const size_t n = (size_t)q2si_min(len, PIECE);

		q2si_put_be64(buf, at);
		q2si_put_be64(buf + 8, n);
		Q2SI_TRY(q2s_store_read_padded(before, at, buf + RECORD_HEAD, n, NULL, diag));
		Q2SI_TRY(q2s_store_read_padded(after, at, buf + RECORD_HEAD + n, n, NULL, diag));
		Q2SI_TRY(put(writer, buf, RECORD_HEAD + 2 * n));
		at += n;
		len -= n;
	}
	return Q2S_OK;
}

static enum q2s_err
put_records(struct undo_writer *writer, const struct q2s_repair *repair, struct q2s_store *before,
	    struct q2s_store *after, struct q2s_diag *diag)
{
	uint8_t raw[RECORD_HEAD] = { 0 };

	for (size_t i = 0; i < repair->change_count; i++) {
		uint64_t at, len;

		q2si_change_range(repair, &repair->changes[i], &at, &len);
		if (at >= repair->old_length)
			continue;
		len = q2si_min(len, repair->old_length - at);
		Q2SI_TRY(put_range(writer, before, after, at, len, diag));
	}
	Q2SI_TRY(put(writer, raw, sizeof(raw)));
	q2si_put_be64(raw, writer->hash);
	return writer->put(writer->opaque, raw, 8);
}

enum q2s_err
q2s_repair_undo(const struct q2s_repair *repair, struct q2s_store *file,
		enum q2s_err (*take)(void *opaque, const void *data, size_t len), void *opaque,
		struct q2s_diag *diag)
{
	struct undo_writer writer = { .put = take, .opaque = opaque };
	struct q2s_store *before, *after = NULL;
	enum q2s_err err;

	Q2SI_TRY(q2si_view_before(repair, file, &before, NULL, diag));
	err = q2si_view_after(repair, before, &after, diag);
	if (err == Q2S_OK)
		err = put_head(&writer, repair);
	if (err == Q2S_OK)
		err = put_records(&writer, repair, before, after, diag);
	q2s_store_unref(after);
	q2s_store_unref(before);
	return err;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* @at: of the next record. */
struct undo_reader {
	struct q2s_store *undo;
	struct q2s_diag *diag;
	uint64_t old_length, new_length, digest;
	uint64_t at, end, hash;
	uint8_t *record;
};

static enum q2s_err
no_undo(struct undo_reader *reader, const char *why)
{
	return q2si_fail_at(reader->diag, Q2S_E_PLAN, "undo file", (q2s_host){ reader->at }, "%s",
			    why);
}

static enum q2s_err
read_head(struct undo_reader *reader)
{
	const uint64_t size = q2s_store_size(reader->undo);
	uint8_t raw[HEAD];

	reader->at = 0;
	if (size < HEAD + RECORD_HEAD + 8)
		return no_undo(reader, "it is too short");
	Q2SI_TRY(q2s_store_read(reader->undo, 0, raw, sizeof(raw), reader->diag));
	if (memcmp(raw, magic, sizeof(magic)) != 0)
		return no_undo(reader, "it does not begin as one");
	if (q2si_get_be64(raw + 8) != UNDO_VERSION)
		return no_undo(reader, "it is of another version");
	reader->old_length = q2si_get_be64(raw + 16);
	reader->new_length = q2si_get_be64(raw + 24);
	reader->digest = q2si_get_be64(raw + 32);
	reader->at = HEAD;
	reader->end = size - 8;
	reader->hash = q2si_hash(raw, sizeof(raw), 0);
	return Q2S_OK;
}

/* *@len is 0 at the end. Old bytes are at @record + RECORD_HEAD, the new ones behind them. */
static enum q2s_err
read_record(struct undo_reader *reader, uint64_t *at, uint64_t *len)
{
	uint8_t *const raw = reader->record;
	uint64_t size;

	if (reader->end - reader->at < RECORD_HEAD)
		return no_undo(reader, "it ends within a record");
	Q2SI_TRY(q2s_store_read(reader->undo, reader->at, raw, RECORD_HEAD, reader->diag));
	*at = q2si_get_be64(raw);
	*len = q2si_get_be64(raw + 8);
	size = RECORD_HEAD + 2 * *len;
	if (*len > PIECE || size > reader->end - reader->at || *at > reader->old_length ||
	    *len > reader->old_length - *at)
		return no_undo(reader, "a record is malformed");
	Q2SI_TRY(q2s_store_read(reader->undo, reader->at + RECORD_HEAD, raw + RECORD_HEAD,
				size - RECORD_HEAD, reader->diag));
	reader->hash = q2si_hash(raw, size, reader->hash);
	reader->at += size;
	return Q2S_OK;
}

static enum q2s_err
check_hash(struct undo_reader *reader)
{
	uint8_t raw[8];

	if (reader->at != reader->end)
		return no_undo(reader, "there is something behind the last record");
	Q2SI_TRY(q2s_store_read(reader->undo, reader->end, raw, sizeof(raw), reader->diag));
	if (q2si_get_be64(raw) != reader->hash)
		return no_undo(reader, "it is damaged: its hash is another one");
	return Q2S_OK;
}

/* Do something with each record. @store: where the old bytes go; @file: where they are looked for. */
static enum q2s_err
each_record(struct undo_reader *reader, struct q2s_store *file, struct q2s_store *store)
{
	uint64_t at = 0, len = 0;

	Q2SI_TRY(read_head(reader));
	for (;;) {
		Q2SI_TRY(read_record(reader, &at, &len));
		if (len == 0)
			return check_hash(reader);
		if (file) {
			const uint8_t *old = reader->record + RECORD_HEAD, *fresh = old + len;
			Q2SI_AUTO_FREE uint8_t *now = malloc(q2si_size(len));

			if (!now)
				return q2si_fail_nomem(reader->diag, "undo");
			Q2SI_TRY(q2s_store_read_padded(file, at, now, len, NULL, reader->diag));
			for (uint64_t i = 0; i < len; i++)
				if (now[i] != old[i] && now[i] != fresh[i])
					return q2si_fail_at(reader->diag, Q2S_E_CHANGED, "image",
							    (q2s_host){ at + i },
							    "something else was written there "
							    "since the repair");
		}
		if (store)
			Q2SI_TRY(q2s_store_write(store, at, reader->record + RECORD_HEAD, len,
						 reader->diag));
	}
}

/* ---- reverting ----------------------------------------------------------------------------- */

static enum q2s_err
check_image(struct undo_reader *reader, struct q2s_store *file)
{
	const uint64_t length = q2s_store_size(file);
	struct q2s_store *before;
	uint64_t digest;
	enum q2s_err err;

	if (length < reader->old_length || length > reader->new_length)
		return q2si_fail(reader->diag, Q2S_E_CHANGED, "image", Q2S_NOWHERE, length,
				 "its length is neither that before the repair nor that behind it");
	Q2SI_TRY(q2si_draft_open(file, &before, reader->diag));
	err = each_record(reader, file, before);
	if (err == Q2S_OK)
		err = q2s_store_set_length(before, reader->old_length, reader->diag);
	if (err == Q2S_OK)
		err = q2si_metadata_digest(before, &digest, reader->diag);
	if (err == Q2S_OK && digest != reader->digest)
		err = q2si_fail(reader->diag, Q2S_E_CHANGED, "image", Q2S_NOWHERE, digest,
				"its metadata was changed by something else than this repair");
	q2s_store_unref(before);
	return err;
}

static enum q2s_err
revert(struct undo_reader *reader, struct q2s_store *file)
{
	Q2SI_TRY(each_record(reader, NULL, NULL)); /* sound to the end, before anything is believed */
	Q2SI_TRY(check_image(reader, file));
	Q2SI_TRY(each_record(reader, NULL, file));
	Q2SI_TRY(q2s_store_flush(file, reader->diag));
	if (q2s_store_size(file) == reader->old_length)
		return Q2S_OK;
	Q2SI_TRY(q2s_store_set_length(file, reader->old_length, reader->diag));
	return q2s_store_flush(file, reader->diag);
}

enum q2s_err
q2s_repair_revert(struct q2s_store *undo, struct q2s_store *file, struct q2s_diag *diag)
{
	struct undo_reader reader = { .undo = undo, .diag = diag };
	enum q2s_err err;

	if (!q2s_store_is_writable(file))
		return q2si_fail_at(diag, Q2S_E_USAGE, "image", Q2S_NOWHERE,
				    "it is not open for writing");
	reader.record = malloc(RECORD_HEAD + 2 * PIECE);
	if (!reader.record)
		return q2si_fail_nomem(diag, "undo");
	err = revert(&reader, file);
	free(reader.record);
	return err;
}
