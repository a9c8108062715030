/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for the bytes of snapshot records, of the bitmap directory, and of the LUKS header. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arith.h"
#include "inspect/extensions.h"
#include "inspect/spans.h"

/* ---- snapshots --------------------------------------------------------------------------- */

static enum q2s_err
put_snapshot(struct spans *spans, uint32_t number, const struct q2s_stored_record *record,
	     const struct q2s_snapshot *it, struct q2s_diag *diag)
{
	const uint32_t len = Q2S_SNAPSHOT_FIXED_SIZE + it->extra_size;
	const uint64_t end = spans->at + len;
	char title[32];
	enum q2s_err err;

	snprintf(title, sizeof(title), "snapshot %" PRIu32, number);
	err = span_put_fields(spans, title, Q2S_RECORD_SNAPSHOT, len, record->raw, diag);
	if (err == Q2S_OK)
		err = span_put_until(spans, end, diag, "extra data that is not known");
	if (err == Q2S_OK)
		err = span_put_bytes(spans, (struct q2s_bytes){ it->id, it->id_len }, diag,
				     "snapshot ID");
	if (err == Q2S_OK)
		err = span_put_bytes(spans, (struct q2s_bytes){ it->name, it->name_len }, diag,
				     "snapshot name");
	return err;
}

enum q2s_err
spans_snapshots(struct spans *spans, struct q2s_diag *diag)
{
	struct q2s_records walk = q2s_records_snapshots(spans->subject->opened);
	struct q2s_snapshot snapshot;
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK, read = Q2S_OK;

	for (uint32_t i = 0;
	     err == Q2S_OK && q2s_records_next_snapshot(&walk, &record, &snapshot, &read, diag);
	     i++) {
		const uint64_t end = record.at.v + record.bytes;

		if (record.fault.err == Q2S_OK)
			err = put_snapshot(spans, i, &record, &snapshot, diag);
		if (err == Q2S_OK)
			err = span_put_until(spans, end, diag,
					     record.fault.err == Q2S_OK
						     ? "padding of the snapshot"
						     : "malformed snapshot record");
	}
	q2s_records_end(&walk);
	return err != Q2S_OK ? err : read;
}

/* ---- bitmap directory -------------------------------------------------------------------- */

static enum q2s_err
put_bitmap(struct spans *spans, uint32_t number, const struct q2s_stored_record *record,
	   const struct q2s_bitmap *it, struct q2s_diag *diag)
{
	char title[32];
	enum q2s_err err;

	snprintf(title, sizeof(title), "bitmap %" PRIu32, number);
	err = span_put_fields(spans, title, Q2S_RECORD_BITMAP, Q2S_BITMAP_FIXED_SIZE, record->raw, diag);
	if (err == Q2S_OK)
		err = span_put_until(spans, spans->at + it->extra_size, diag, "bitmap extra data");
	if (err == Q2S_OK)
		err = span_put_bytes(spans, (struct q2s_bytes){ it->name, it->name_len }, diag,
				     "bitmap name");
	return err;
}

enum q2s_err
spans_bitmaps(struct spans *spans, struct q2s_diag *diag)
{
	const struct q2s_ext_bitmaps directory = {
		.count = Q2S_BITMAPS_MAX,
		.directory_offset = spans->in->at,
		.directory_size = spans->in->len,
	};
	struct q2s_records walk = q2s_records_bitmaps(spans->subject->opened, &directory);
	struct q2s_bitmap bitmap;
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK, read = Q2S_OK;

	for (uint32_t i = 0;
	     err == Q2S_OK && q2s_records_next_bitmap(&walk, &record, &bitmap, &read, diag); i++) {
		const uint64_t end = record.at.v + record.bytes;

		if (record.fault.err == Q2S_OK)
			err = put_bitmap(spans, i, &record, &bitmap, diag);
		if (err == Q2S_OK)
			err = span_put_until(spans, end, diag,
					     record.fault.err == Q2S_OK
						     ? "padding of the bitmap"
						     : "malformed bitmap record");
	}
	q2s_records_end(&walk);
	return err != Q2S_OK ? err : read;
}

/* ---- LUKS -------------------------------------------------------------------------------- */

/* The key material of the slots, which lies behind the header in the order of the slots. */
static enum q2s_err
put_key_material(struct spans *spans, const struct q2s_luks *luks, struct q2s_diag *diag)
{
	const uint64_t start = spans->in->at.v;
	enum q2s_err err = Q2S_OK;

	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS && err == Q2S_OK; i++) {
		const struct q2s_luks_slot *const slot = &luks->slots[i];
		const uint64_t at = start + slot->key_offset;
		const uint64_t len = (uint64_t)luks->key_bytes * slot->stripes;
		char name[SPAN_NAME];

		if (at < spans->at || at >= spans->end)
			continue;
		snprintf(name, sizeof(name), "key material of slot %" PRIu32, i);
		err = span_put_until(spans, at, diag, "unused");
		if (err == Q2S_OK)
			err = span_put(spans, len, diag, name, "%s",
				       slot->active ? "active" : "not active");
	}
	return err == Q2S_OK ? span_put_until(spans, spans->end, diag, "unused") : err;
}

enum q2s_err
spans_luks(struct spans *spans, struct q2s_diag *diag)
{
	uint8_t raw[Q2S_LUKS_SIZE];
	struct q2s_luks luks;
	enum q2s_err err = q2s_store_read_padded(spans->subject->file, spans->in->at.v, raw,
						 sizeof(raw), NULL, diag);

	if (err != Q2S_OK || q2s_luks_decode(raw, spans->in->at, &luks, NULL) != Q2S_OK)
		return err;
	err = span_put_fields(spans, "LUKS", Q2S_RECORD_LUKS, Q2S_LUKS_SIZE, NULL, diag);
	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS && err == Q2S_OK; i++) {
		char title[32];

		snprintf(title, sizeof(title), "LUKS slot %" PRIu32, i);
		err = span_put_fields(spans, title, Q2S_RECORD_LUKS_SLOT, Q2S_LUKS_SLOT_SIZE, NULL,
				      diag);
	}
	return err == Q2S_OK ? put_key_material(spans, &luks, diag) : err;
}
