/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for the bytes of snapshot records, of the bitmap directory, and of the LUKS header. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arith.h"
#include "format/luks.h"
#include "inspect/extensions.h"
#include "inspect/records.h"
#include "inspect/spans.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- snapshots --------------------------------------------------------------------------- */

static const struct span_field snapshot_fixed[] = {
	{ 8, "L1 table offset" }, { 4, "L1 entries" },    { 2, "ID length" },
	{ 2, "name length" },     { 4, "date, s" },       { 4, "date, ns" },
	{ 8, "VM clock, ns" },    { 4, "VM state size" }, { 4, "extra data size" },
};
static const struct span_field snapshot_extra[] = {
	{ 8, "VM state size, 64 bits" },
	{ 8, "disk size" },
	{ 8, "icount" },
};

/* As many of the known extra fields as are there, then what nobody knows. */
static enum q2s_err
put_snapshot_extra(struct spans *spans, const char *title, const struct q2s_snapshot *it,
		   struct q2s_diag *diag)
{
	const uint64_t end = spans->at + it->extra_size;
	const size_t known = q2si_min(it->extra_size / 8, COUNT(snapshot_extra));
	enum q2s_err err = span_put_fields(spans, title, snapshot_extra, known, it->extra, diag);

	return err == Q2S_OK ? span_put_until(spans, end, diag, "extra data that is not known")
			     : err;
}

static enum q2s_err
put_snapshot(struct spans *spans, uint32_t number, const struct record *record,
	     const struct q2s_snapshot *it, struct q2s_diag *diag)
{
	char title[32];
	enum q2s_err err;

	snprintf(title, sizeof(title), "snapshot %" PRIu32, number);
	err = span_put_fields(spans, title, snapshot_fixed, COUNT(snapshot_fixed), record->raw,
			      diag);
	if (err == Q2S_OK)
		err = put_snapshot_extra(spans, title, it, diag);
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
	struct record_walk walk = snapshot_walk_begin(spans->subject);
	struct q2s_snapshot snapshot;
	struct record record;
	enum q2s_err err = Q2S_OK, read = Q2S_OK;

	for (uint32_t i = 0;
	     err == Q2S_OK && snapshot_walk_next(&walk, &record, &snapshot, &read, diag); i++) {
		const uint64_t end = record.at.v + record.bytes;

		if (record.fault.err == Q2S_OK)
			err = put_snapshot(spans, i, &record, &snapshot, diag);
		if (err == Q2S_OK)
			err = span_put_until(spans, end, diag,
					     record.fault.err == Q2S_OK
						     ? "padding of the snapshot"
						     : "malformed snapshot record");
	}
	record_walk_end(&walk);
	return err != Q2S_OK ? err : read;
}

/* ---- bitmap directory -------------------------------------------------------------------- */

static const struct span_field bitmap_fixed[] = {
	{ 8, "table offset" },     { 4, "table entries" }, { 4, "flags" },           { 1, "type" },
	{ 1, "granularity bits" }, { 2, "name length" },   { 4, "extra data size" },
};

static enum q2s_err
put_bitmap(struct spans *spans, uint32_t number, const struct record *record,
	   const struct q2s_bitmap *it, struct q2s_diag *diag)
{
	char title[32];
	enum q2s_err err;

	snprintf(title, sizeof(title), "bitmap %" PRIu32, number);
	err = span_put_fields(spans, title, bitmap_fixed, COUNT(bitmap_fixed), record->raw, diag);
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
		.directory_offset = spans->region->at,
		.directory_size = spans->region->len,
	};
	struct record_walk walk = bitmap_walk_begin(spans->subject, &directory);
	struct q2s_bitmap bitmap;
	struct record record;
	enum q2s_err err = Q2S_OK, read = Q2S_OK;

	for (uint32_t i = 0;
	     err == Q2S_OK && bitmap_walk_next(&walk, &record, &bitmap, &read, diag); i++) {
		const uint64_t end = record.at.v + record.bytes;

		if (record.fault.err == Q2S_OK)
			err = put_bitmap(spans, i, &record, &bitmap, diag);
		if (err == Q2S_OK)
			err = span_put_until(spans, end, diag,
					     record.fault.err == Q2S_OK
						     ? "padding of the bitmap"
						     : "malformed bitmap record");
	}
	record_walk_end(&walk);
	return err != Q2S_OK ? err : read;
}

/* ---- LUKS -------------------------------------------------------------------------------- */

/* Of the header up to its key slots, and of one slot; without gaps. */
static const struct span_field luks_fields[] = {
	{ AT_LUKS_VERSION, "magic" },
	{ AT_LUKS_CIPHER_NAME - AT_LUKS_VERSION, "version" },
	{ AT_LUKS_CIPHER_MODE - AT_LUKS_CIPHER_NAME, "cipher-name" },
	{ AT_LUKS_HASH - AT_LUKS_CIPHER_MODE, "cipher-mode" },
	{ AT_LUKS_PAYLOAD - AT_LUKS_HASH, "hash-spec" },
	{ AT_LUKS_KEY_BYTES - AT_LUKS_PAYLOAD, "payload-offset" },
	{ AT_LUKS_MASTER_DIGEST - AT_LUKS_KEY_BYTES, "key-bytes" },
	{ AT_LUKS_MASTER_SALT - AT_LUKS_MASTER_DIGEST, "mk-digest" },
	{ AT_LUKS_MASTER_ITERATIONS - AT_LUKS_MASTER_SALT, "mk-digest-salt" },
	{ AT_LUKS_UUID - AT_LUKS_MASTER_ITERATIONS, "mk-digest-iter" },
	{ AT_LUKS_SLOTS - AT_LUKS_UUID, "uuid" },
};

static const struct span_field luks_slot_fields[] = {
	{ AT_SLOT_ITERATIONS, "active" },
	{ AT_SLOT_SALT - AT_SLOT_ITERATIONS, "iterations" },
	{ AT_SLOT_KEY - AT_SLOT_SALT, "salt" },
	{ AT_SLOT_STRIPES - AT_SLOT_KEY, "key-material-offset" },
	{ Q2S_LUKS_SLOT_SIZE - AT_SLOT_STRIPES, "stripes" },
};

static enum q2s_err
put_luks_fields(struct spans *spans, const char *title, const struct span_field *fields,
		size_t count, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; i < count && err == Q2S_OK; i++) {
		char name[SPAN_NAME];

		snprintf(name, sizeof(name), "%s %s", title, fields[i].name);
		err = span_put(spans, fields[i].size, diag, name, "%s", "");
	}
	return err;
}

/* The key material of the slots, which lies behind the header in the order of the slots. */
static enum q2s_err
put_key_material(struct spans *spans, const struct q2s_luks *luks, struct q2s_diag *diag)
{
	const uint64_t start = spans->region->at.v;
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
	enum q2s_err err = q2s_file_read_padded(spans->subject->file, spans->region->at.v, raw,
						sizeof(raw), NULL, diag);

	if (err != Q2S_OK || q2s_luks_decode(raw, spans->region->at, &luks, NULL) != Q2S_OK)
		return err;
	err = put_luks_fields(spans, "LUKS", luks_fields, COUNT(luks_fields), diag);
	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS && err == Q2S_OK; i++) {
		char title[32];

		snprintf(title, sizeof(title), "LUKS slot %" PRIu32, i);
		err = put_luks_fields(spans, title, luks_slot_fields, COUNT(luks_slot_fields),
				      diag);
	}
	return err == Q2S_OK ? put_key_material(spans, &luks, diag) : err;
}
