/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `report`: what was gathered as JSON. Offsets are strings of hexadecimal digits, as a script's
 * numbers do not hold 64 bits; counts are numbers. Cells and samples, of which there are many, are
 * arrays; the page has the order of their items (report.html).
 */
#include "inspect/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "inspect/extensions.h"
#include "inspect/fields.h"

#define HEX 20

static json_t *
hex(uint64_t value)
{
	char text[HEX];

	snprintf(text, sizeof(text), "%" PRIx64, value);
	return json_string(text);
}

static json_t *
fault_json(const struct q2s_diag *fault)
{
	char text[512];

	if (fault->err == Q2S_OK)
		return json_null();
	q2s_diag_format(fault, text, sizeof(text));
	return json_text(text);
}

/* ---- header ------------------------------------------------------------------------------ */

static json_t *
field_list(const struct subject *subject)
{
	static const char *const kinds[] = {
		[FIELD_COUNT] = "count",
		[FIELD_BYTES] = "bytes",
		[FIELD_OFFSET] = "offset",
		[FIELD_MASK] = "mask",
	};
	json_t *const list = json_array();

	for (size_t i = 0; i < header_field_count; i++) {
		const struct header_field *const field = &header_fields[i];

		if (!header_field_present(field, subject->header.header_length))
			continue;
		json_array_append_new(
			list, json_pack("{s:i, s:s, s:s, s:o, s:s}", "at", (int)field->at, "name",
					field->name, "kind", kinds[field->kind], "value",
					hex(header_field_get(field, subject->head)), "meaning",
					field->meaning));
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

static json_t *
extension_list(const struct subject *subject)
{
	struct extension_walk walk =
		extension_walk_begin(&subject->header, subject->head, subject->head_size);
	struct q2s_diag fault = { 0 };
	json_t *const list = json_array();
	struct q2s_ext ext;

	while (subject->has_geom && extension_walk_next(&walk, &ext, &fault)) {
		char *const text = extension_text(&subject->geom, &ext);

		json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "at", hex(ext.at.v),
						      "name", extension_name(ext.type), "text",
						      json_text(text ? text : "")));
		free(text);
	}
	if (fault.err != Q2S_OK)
		json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "at", hex(fault.at.v),
						      "name", "malformed", "text",
						      fault_json(&fault)));
	return list;
}

static json_t *
backing_name(const struct subject *subject)
{
	const uint64_t at = subject->header.backing_file_offset.v;
	const uint64_t len = subject->header.backing_file_size;

	if (at == 0 || at > subject->head_size || len > subject->head_size - at)
		return json_null();
	return json_bytes(subject->head + at, len);
}

/* ---- cells ------------------------------------------------------------------------------- */

/* [kind, count, kind, count ...] of what is there. */
static json_t *
counts_json(const uint64_t *counts, size_t kinds)
{
	json_t *const list = json_array();

	for (size_t i = 0; i < kinds; i++) {
		if (counts[i] == 0)
			continue;
		json_array_append_new(list, json_integer((json_int_t)i));
		json_array_append_new(list, json_u64(counts[i]));
	}
	return list;
}

static json_t *
host_cell_json(const struct host_cell *cell)
{
	json_t *const samples = json_array();

	for (uint32_t i = 0; i < cell->samples; i++) {
		const struct host_sample *const it = &cell->sample[i];
		json_t *const sample = json_pack("[i, o]", (int)it->kind, hex(it->at.v));

		if (it->has_guest)
			json_array_append_new(sample, hex(it->guest.v));
		json_array_append_new(samples, sample);
	}
	return json_pack("[o, o, o]", counts_json(cell->counts, HOST_KINDS), samples,
			 json_u64(cell->findings));
}

/* [cluster, kind, at, raw, host, compressed bytes, COPIED, bitmap, error] */
static json_t *
guest_sample_json(const struct q2s_geom *geom, const struct guest_sample *it)
{
	const struct q2s_l2_entry *const entry = &it->entry;
	json_t *const sample = json_pack("[o, i, o, o]", json_u64(it->cluster), (int)it->kind,
					 hex(it->at.v), hex(it->raw));
	const bool has_host = entry->compressed || entry->has_host;

	json_array_append_new(
		sample, has_host ? hex(entry->compressed ? entry->comp_at.v : entry->host.v) :
				   json_null());
	json_array_append_new(sample, json_integer(entry->compressed ? entry->comp_bytes : 0));
	json_array_append_new(sample, json_integer(entry->copied));
	if (geom->extended || it->fault != Q2S_OK)
		json_array_append_new(sample, geom->extended ? hex(it->bitmap) : json_null());
	if (it->fault != Q2S_OK)
		json_array_append_new(sample, json_string(q2s_err_name(it->fault)));
	return sample;
}

static json_t *
guest_cell_json(const struct q2s_geom *geom, const struct guest_cell *cell)
{
	json_t *const samples = json_array();

	for (uint32_t i = 0; i < cell->samples; i++)
		json_array_append_new(samples, guest_sample_json(geom, &cell->sample[i]));
	return json_pack("[o, o, o]", counts_json(cell->counts, GUEST_KINDS), samples,
			 json_u64(cell->findings));
}

/* The item behind the last of the host cells stands for what lies past the end of the file. */
static json_t *
host_json(const struct report *report)
{
	const struct host_map *const map = &report->host;
	json_t *const cells = json_array();

	for (uint32_t i = 0; i <= map->count; i++)
		json_array_append_new(cells, host_cell_json(&map->cells[i]));
	return json_pack("{s:i, s:b, s:o}", "bits", (int)map->cell_bits, "exact",
			 map->granule_bits == report->geom->cluster_bits, "cells", cells);
}

static json_t *
guest_json(const struct report *report)
{
	const struct guest_map *const map = &report->guest;
	json_t *const cells = json_array();

	for (uint32_t i = 0; i < map->count; i++)
		json_array_append_new(cells, guest_cell_json(report->geom, &map->cells[i]));
	return json_pack("{s:i, s:o}", "bits",
			 (int)(map->cell_bits + report->geom->cluster_bits), "cells", cells);
}

/* ---- check ------------------------------------------------------------------------------- */

json_t *
report_finding_json(const struct q2s_finding *finding)
{
	static const char *const severities[] = {
		[Q2S_SEVERITY_CORRUPTION] = "corruption",
		[Q2S_SEVERITY_LEAK] = "leak",
		[Q2S_SEVERITY_NOTE] = "note",
		[Q2S_SEVERITY_UNREADABLE] = "unreadable",
	};
	json_t *const object =
		json_pack("{s:s, s:s, s:s, s:o}", "id", finding->id, "severity",
			  severities[finding->severity], "structure", finding->structure, "text",
			  json_text(finding->text));

	if (finding->host.v != Q2S_NOWHERE.v)
		json_object_set_new(object, "host", hex(finding->host.v));
	if (finding->has_guest)
		json_object_set_new(object, "guest", hex(finding->guest.v));
	if (finding->has_values) {
		json_object_set_new(object, "found", hex(finding->found));
		json_object_set_new(object, "expected", hex(finding->expected));
	}
	return object;
}

static json_t *
check_json(const struct report *report)
{
	const struct q2s_check_result *const it = &report->check;

	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O}", "complete",
			 report->checked && it->check_errors == 0, "fault",
			 fault_json(&report->check_fault), "corruptions", json_u64(it->corruptions),
			 "leaks", json_u64(it->leaks), "notes", json_u64(it->notes), "check-errors",
			 json_u64(it->check_errors), "total-clusters",
			 json_u64(it->total_clusters), "allocated-clusters",
			 json_u64(it->allocated_clusters), "fragmented-clusters",
			 json_u64(it->fragmented_clusters), "compressed-clusters",
			 json_u64(it->compressed_clusters), "findings", json_u64(report->findings),
			 "list", report->listed);
}

/* ---- all --------------------------------------------------------------------------------- */

static json_t *
geom_json(const struct q2s_geom *geom)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:b, s:b, s:o, s:o}", "cluster-bits",
			 (int)geom->cluster_bits, "l2-bits", (int)geom->l2_bits, "l2-entry-size",
			 (int)geom->l2_entry_size, "subclusters", (int)geom->sub_count, "extended",
			 geom->extended, "data-file", geom->data_file, "size", hex(geom->size),
			 "clusters", json_u64(geom->clusters));
}

json_t *
report_json(const struct report *report)
{
	const struct subject *const subject = report->subject;
	json_t *const all = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "filename",
		json_text(subject->name), "file-size", json_u64(q2s_file_size(subject->file)),
		"allocated", json_u64(q2s_file_allocated(subject->file)), "fault",
		fault_json(&subject->fault), "header", field_list(subject), "features",
		feature_list(&subject->header), "extensions", extension_list(subject), "backing",
		backing_name(subject), "cut", report->cut);

	if (report->troubles)
		json_object_set_new(all, "trouble", fault_json(&report->trouble));
	if (!report->geom)
		return all;
	json_object_set_new(all, "geometry", geom_json(report->geom));
	json_object_set_new(all, "host", host_json(report));
	json_object_set_new(all, "guest", guest_json(report));
	json_object_set_new(all, "check", check_json(report));
	return all;
}
