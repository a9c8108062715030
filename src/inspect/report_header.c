/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `report`: what the header leads to, as JSON: its fields, features, extensions and names, and the
 * records of snapshots and bitmaps. An image may have any number of some of these, and long names:
 * the page has the first REPORT_RECORDS of each, and the start of a text.
 */
#include "inspect/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "common/json.h"
#include "inspect/extensions.h"
#include "inspect/show.h"

/* A text of the image; of one longer than @limit, at most REPORT_TEXT, the start. */
static json_t *
brief(const void *data, size_t len, size_t limit)
{
	static const char more[] = "\xe2\x80\xa6"; /* an ellipsis */
	const uint8_t *const from = data;
	char text[REPORT_TEXT + sizeof(more)];
	size_t cut = limit;

	if (len <= limit)
		return utf8_json(data, len);
	while (cut > limit - 3 && (from[cut] & 0xc0) == 0x80) /* within a character */
		cut--;
	memcpy(text, data, cut);
	memcpy(text + cut, more, sizeof(more) - 1);
	return utf8_json(text, cut + sizeof(more) - 1);
}

static json_t *
counted(uint64_t count, json_t *list)
{
	return json_pack("{s:o, s:o}", "count", u64_json(count), "list", list);
}

/* ---- fields and features ----------------------------------------------------------------- */

/* Whatever header_length says, a header has the fields of version 2, as far as the file goes. */
static json_t *
field_list(const struct subject *subject)
{
	static const char *const kinds[] = {
		[Q2S_FIELD_COUNT] = "count",
		[Q2S_FIELD_BYTES] = "bytes",
		[Q2S_FIELD_OFFSET] = "offset",
		[Q2S_FIELD_MASK] = "mask",
	};
	const uint64_t length = q2si_max(subject->header->header_length, Q2S_HEADER_V2_SIZE);
	const struct q2s_field *fields;
	const size_t count =
		header_fields(&fields, (uint32_t)q2si_min(length, q2s_store_size(subject->file)));
	json_t *const list = json_array();

	for (size_t i = 0; i < count; i++) {
		const struct q2s_field *const field = &fields[i];

		json_array_append_new(list,
				      json_pack("{s:i, s:i, s:s, s:s, s:o, s:s}", "at",
						(int)field->at, "size", (int)field->size, "name",
						field->name, "kind", kinds[field->kind], "value",
						report_hex(q2s_field_get(field, subject->head)),
						"meaning", field->meaning));
	}
	return list;
}

static void
add_features(json_t *list, unsigned kind, uint64_t bits)
{
	static const char *const words[] = { "incompatible", "compatible", "autoclear" };

	for (unsigned bit = 0; bit < 64; bit++) {
		const char *const name = q2s_feature_name(kind, bit);

		if (bits >> bit & 1)
			json_array_append_new(list, json_pack("{s:s, s:i, s:s}", "kind",
							      words[kind], "bit", (int)bit, "name",
							      name ? name : "unknown"));
	}
}

static json_t *
feature_list(const struct q2s_header *header)
{
	json_t *const list = json_array();

	add_features(list, 0, header->incompatible_features);
	add_features(list, 1, header->compatible_features);
	add_features(list, 2, header->autoclear_features);
	return list;
}

/* ---- snapshots and bitmaps --------------------------------------------------------------- */

static json_t *
record_json(const struct q2s_stored_record *record)
{
	json_t *const object = json_pack("{s:o}", "at", report_hex(record->at.v));

	if (record->fault.err != Q2S_OK)
		json_object_set_new(object, "fault", report_fault_json(&record->fault));
	return object;
}

static json_t *
snapshots_json(const struct subject *subject)
{
	struct q2s_records walk = q2s_records_snapshots(subject->opened);
	json_t *const list = json_array();
	enum q2s_err err = Q2S_OK;
	struct q2s_snapshot it;
	struct q2s_stored_record record;

	while (json_array_size(list) < REPORT_RECORDS &&
	       q2s_records_next_snapshot(&walk, &record, &it, &err, NULL)) {
		json_t *const object = record_json(&record);

		json_array_append_new(list, object);
		if (record.fault.err != Q2S_OK)
			continue;
		json_object_set_new(object, "id", brief(it.id, it.id_len, REPORT_NAME));
		json_object_set_new(object, "name", brief(it.name, it.name_len, REPORT_NAME));
		json_object_set_new(object, "date", u64_json(it.date_sec));
		json_object_set_new(object, "vm-state", u64_json(it.vm_state_size));
		json_object_set_new(object, "l1", report_hex(it.l1_offset.v));
		json_object_set_new(object, "l1-entries", u64_json(it.l1_entries));
		if (it.has_disk_size)
			json_object_set_new(object, "disk-size", report_hex(it.disk_size));
	}
	q2s_records_end(&walk);
	return counted(subject->header->nb_snapshots, list);
}

static json_t *
bitmaps_json(const struct subject *subject, const struct q2s_ext_bitmaps *bitmaps)
{
	struct q2s_records walk = q2s_records_bitmaps(subject->opened, bitmaps);
	json_t *const list = json_array();
	enum q2s_err err = Q2S_OK;
	struct q2s_stored_record record;
	struct q2s_bitmap it;

	while (json_array_size(list) < REPORT_RECORDS &&
	       q2s_records_next_bitmap(&walk, &record, &it, &err, NULL)) {
		json_t *const object = record_json(&record);

		json_array_append_new(list, object);
		if (record.fault.err != Q2S_OK)
			continue;
		json_object_set_new(object, "name", brief(it.name, it.name_len, REPORT_NAME));
		json_object_set_new(object, "granularity", report_hex(1ull << it.granularity_bits));
		json_object_set_new(object, "in-use", json_boolean(it.flags & Q2S_BITMAP_IN_USE));
		json_object_set_new(object, "auto", json_boolean(it.flags & Q2S_BITMAP_AUTO));
		json_object_set_new(object, "table", report_hex(it.table_offset.v));
		json_object_set_new(object, "table-entries", u64_json(it.table_entries));
	}
	q2s_records_end(&walk);
	return counted(bitmaps->count, list);
}

/* ---- extensions -------------------------------------------------------------------------- */

static json_t *
extension_item(q2s_host at, const char *name, json_t *text)
{
	return json_pack("{s:o, s:s, s:o}", "at", report_hex(at.v), "name", name, "text", text);
}

static void
add_extension(const struct subject *subject, const struct q2s_ext *ext, json_t *list, json_t *all)
{
	const struct q2s_geom *const geom = subject->geom;
	char *const text = extension_text(subject->header, geom, ext);
	struct q2s_ext_bitmaps bitmaps;

	json_array_append_new(
		list, extension_item(ext->at, extension_name(ext->type),
				     text ? brief(text, strlen(text), REPORT_TEXT) : json_null()));
	free(text);
	if (ext->type == Q2S_EXT_DATA_FILE)
		json_object_set_new(all, "data-file", brief(ext->data, ext->len, REPORT_TEXT));
	else if (ext->type == Q2S_EXT_BITMAPS &&
		 q2s_ext_bitmaps_decode(geom, ext, &bitmaps, NULL) == Q2S_OK)
		json_object_set_new(all, "bitmaps", bitmaps_json(subject, &bitmaps));
}

static json_t *
extensions_json(const struct subject *subject, json_t *all)
{
	struct q2s_extensions walk =
		q2s_image_extensions(subject->opened);
	struct q2s_diag fault = { 0 };
	json_t *const list = json_array();
	struct q2s_ext ext;
	uint64_t count = 0;

	if (!subject->has_geom || subject->header->header_length < Q2S_HEADER_V2_SIZE)
		return counted(0, list);
	for (; q2s_extensions_next(&walk, &ext, &fault); count++) {
		if (count < REPORT_RECORDS)
			add_extension(subject, &ext, list, all);
	}
	if (fault.err != Q2S_OK) {
		count++;
		json_array_append_new(
			list, extension_item(fault.at, "malformed", report_fault_json(&fault)));
	}
	return counted(count, list);
}

/* ---- all --------------------------------------------------------------------------------- */

static json_t *
backing_name(const struct subject *subject)
{
	const uint64_t at = subject->header->backing_file_offset.v;
	const uint64_t len = subject->header->backing_file_size;

	if (at == 0 || at > subject->head_size || len > subject->head_size - at)
		return json_null();
	return brief(subject->head + at, len, REPORT_TEXT);
}

void
report_header_json(const struct subject *subject, json_t *all)
{
	json_object_set_new(all, "header", field_list(subject));
	json_object_set_new(all, "features", feature_list(subject->header));
	json_object_set_new(all, "backing", backing_name(subject));
	json_object_set_new(all, "extensions", extensions_json(subject, all));
	if (subject->has_geom && subject->header->nb_snapshots)
		json_object_set_new(all, "snapshots", snapshots_json(subject));
}
