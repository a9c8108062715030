/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `report`: what was gathered as JSON. Offsets are strings of hexadecimal digits, counts are
 * numbers. Cells and samples, of which there are many, are arrays: a cell is [counts, samples,
 * number of findings].
 */
#include "inspect/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"

#define HEX 20

json_t *
report_hex(uint64_t value)
{
	char text[HEX];

	snprintf(text, sizeof(text), "%" PRIx64, value);
	return json_string(text);
}

json_t *
report_fault_json(const struct q2s_diag *fault)
{
	char text[512];

	if (fault->err == Q2S_OK)
		return json_null();
	q2s_diag_format(fault, text, sizeof(text));
	return text_json(text);
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
		json_array_append_new(list, u64_json(counts[i]));
	}
	return list;
}

/* The names of kinds, by number. */
static json_t *
names_json(const char *const *names, size_t kinds)
{
	json_t *const list = json_array();

	for (size_t i = 0; i < kinds; i++)
		json_array_append_new(list, json_string(names[i]));
	return list;
}

/* null where there is none */
static json_t *
hex_if(bool there, uint64_t value)
{
	return there ? report_hex(value) : json_null();
}

/* [kind, at, guest, refcount, first that it counts]; what is null at the end is left out. */
static json_t *
host_sample_json(const struct host_sample *it)
{
	json_t *const sample = json_pack("[i, o]", (int)it->kind, report_hex(it->at.v));

	if (it->has_guest || it->has_refcount || it->has_counts)
		json_array_append_new(sample, hex_if(it->has_guest, it->guest.v));
	if (it->has_refcount || it->has_counts)
		json_array_append_new(sample,
				      it->has_refcount ? u64_json(it->refcount) : json_null());
	if (it->has_counts)
		json_array_append_new(sample, report_hex(it->counts.v));
	return sample;
}

static json_t *
host_cell_json(const struct host_cell *cell)
{
	json_t *const samples = json_array();

	for (uint32_t i = 0; i < cell->samples; i++)
		json_array_append_new(samples, host_sample_json(&cell->sample[i]));
	return json_pack("[o, o, o]", counts_json(cell->counts, HOST_KINDS), samples,
			 u64_json(cell->findings));
}

/* [cluster, kind, at, raw, host, compressed bytes, COPIED, bitmap, error] */
static json_t *
guest_sample_json(const struct q2s_geom *geom, const struct guest_sample *it)
{
	const struct q2s_l2_entry *const entry = &it->entry;
	json_t *const sample = json_pack("[o, i, o, o]", u64_json(it->cluster), (int)it->kind,
					 report_hex(it->at.v), report_hex(it->raw));
	const bool has_host = entry->compressed || entry->has_host;

	json_array_append_new(
		sample, has_host ? report_hex(entry->compressed ? entry->comp_at.v : entry->host.v)
				 : json_null());
	json_array_append_new(sample, json_integer(entry->compressed ? entry->comp_bytes : 0));
	json_array_append_new(sample, json_integer(entry->copied));
	if (geom->extended || it->fault != Q2S_OK)
		json_array_append_new(sample,
				      geom->extended ? report_hex(it->bitmap) : json_null());
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
			 u64_json(cell->findings));
}

/* The item behind the last of the host cells stands for what lies past the end of the file. */
static json_t *
host_json(const struct report *report)
{
	static const char *const names[HOST_KINDS] = {
		[HOST_FREE] = "free",
		[HOST_HEADER] = "header",
		[HOST_REFTABLE] = "refcount table",
		[HOST_REFBLOCK] = "refcount block",
		[HOST_L1] = "L1 table",
		[HOST_L2] = "L2 table",
		[HOST_DATA] = "data",
		[HOST_COMPRESSED] = "compressed data",
		[HOST_SNAPSHOT] = "snapshot table, its L1 and L2",
		[HOST_SNAPSHOT_DATA] = "data of snapshots only",
		[HOST_BITMAP] = "bitmaps",
		[HOST_CRYPTO] = "encryption header",
		[HOST_LEAKED] = "leaked",
		[HOST_PAST] = "past the end of the file",
	};
	const struct host_map *const map = &report->host;
	json_t *const cells = json_array();

	for (uint32_t i = 0; i <= map->count; i++)
		json_array_append_new(cells, host_cell_json(&map->cells[i]));
	return json_pack("{s:o, s:i, s:b, s:o}", "kinds", names_json(names, HOST_KINDS), "bits",
			 (int)map->cell_bits, "exact",
			 map->granule_bits == report->geom->cluster_bits, "cells", cells);
}

static json_t *
guest_json(const struct report *report)
{
	static const char *const names[GUEST_KINDS] = {
		[GUEST_UNALLOCATED] = "unallocated",
		[GUEST_UNALLOCATED_ALLOC] = "unallocated, preallocated",
		[GUEST_ZERO] = "zero",
		[GUEST_ZERO_ALLOC] = "zero, preallocated",
		[GUEST_DATA] = "data",
		[GUEST_COMPRESSED] = "compressed",
		[GUEST_MIXED] = "mixed",
		[GUEST_INVALID] = "invalid",
		[GUEST_UNSEEN] = "not looked at",
	};
	const struct guest_map *const map = &report->guest;
	json_t *const cells = json_array();

	for (uint32_t i = 0; i < map->count; i++)
		json_array_append_new(cells, guest_cell_json(report->geom, &map->cells[i]));
	return json_pack("{s:o, s:i, s:o}", "kinds", names_json(names, GUEST_KINDS), "bits",
			 (int)(map->cell_bits + report->geom->cluster_bits), "cells", cells);
}

/* ---- check ------------------------------------------------------------------------------- */

static json_t *
check_json(const struct report *report)
{
	const struct q2s_check_result *const it = &report->check;

	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O}", "complete",
			 report->checked && it->check_errors == 0, "fault",
			 report_fault_json(&report->check_fault), "corruptions",
			 u64_json(it->corruptions), "leaks", u64_json(it->leaks), "notes",
			 u64_json(it->notes), "check-errors", u64_json(it->check_errors),
			 "total-clusters", u64_json(it->total_clusters), "allocated-clusters",
			 u64_json(it->allocated_clusters), "fragmented-clusters",
			 u64_json(it->fragmented_clusters), "compressed-clusters",
			 u64_json(it->compressed_clusters), "findings", u64_json(report->findings),
			 "list", report->listed);
}

/* ---- all --------------------------------------------------------------------------------- */

static json_t *
geom_json(const struct report *report)
{
	const struct q2s_geom *const geom = report->geom;

	return json_pack("{s:i, s:i, s:i, s:i, s:b, s:b, s:o, s:o, s:o}", "cluster-bits",
			 (int)geom->cluster_bits, "l2-bits", (int)geom->l2_bits, "l2-entry-size",
			 (int)geom->l2_entry_size, "subclusters", (int)geom->sub_count, "extended",
			 geom->extended, "data-file", geom->data_file, "size",
			 report_hex(geom->size), "clusters", u64_json(geom->clusters), "l1",
			 report_hex(report->subject->header->l1_table_offset.v));
}

json_t *
report_json(const struct report *report)
{
	const struct subject *const subject = report->subject;
	json_t *const all =
		json_pack("{s:o, s:o, s:o, s:o, s:b}", "filename", text_json(subject->name),
			  "file-size", u64_json(q2s_store_size(subject->file)), "allocated",
			  u64_json(q2s_store_allocated(subject->file)), "fault",
			  report_fault_json(&subject->fault), "cut", report->cut);

	report_header_json(subject, all);
	if (report->troubles)
		json_object_set_new(all, "trouble", report_fault_json(&report->trouble));
	if (report->changes)
		json_object_set(all, "changes", report->changes);
	if (!report->geom)
		return all;
	json_object_set_new(all, "geometry", geom_json(report));
	json_object_set_new(all, "host", host_json(report));
	json_object_set_new(all, "guest", guest_json(report));
	json_object_set_new(all, "check", check_json(report));
	return all;
}
