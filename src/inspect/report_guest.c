/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `report`: the L1 and L2 tables, what they map, and the guest map that follows from it. */
#include "inspect/report.h"

#include "base/arith.h"
#include "base/bytes.h"

/** One L2 table that is walked. @active: it shows the guest disk, not only a snapshot's. */
struct l2_walk {
	struct report *report;
	bool active;
	uint64_t l1_index;
	struct q2s_table table;
};

static enum guest_kind
kind_of(const struct q2s_geom *geom, const struct q2s_l2_entry *entry)
{
	if (entry->compressed)
		return GUEST_COMPRESSED;
	if (entry->alloc == geom->sub_mask)
		return GUEST_DATA;
	if (entry->zero == geom->sub_mask)
		return entry->has_host ? GUEST_ZERO_ALLOC : GUEST_ZERO;
	if (entry->alloc | entry->zero)
		return GUEST_MIXED;
	return entry->has_host ? GUEST_UNALLOCATED_ALLOC : GUEST_UNALLOCATED;
}

/* A compressed stream may reach into the next clusters. */
static void
mark_mapped(struct l2_walk *walk, const struct q2s_l2_entry *entry, q2s_guest guest)
{
	struct report *const report = walk->report;
	const q2s_guest *const shown = walk->active ? &guest : NULL;
	const uint32_t bits = report->geom->cluster_bits;

	if (entry->compressed) {
		const uint64_t end = entry->comp_at.v + q2si_max(entry->comp_bytes, 1);
		const enum host_kind kind = walk->active ? HOST_COMPRESSED : HOST_SNAPSHOT_DATA;

		for (uint64_t i = entry->comp_at.v >> bits; i <= (end - 1) >> bits; i++)
			report_mark(report, (q2s_host){ i << bits }, kind, shown);
	} else if (entry->has_host && !report->geom->data_file) {
		report_mark(report, entry->host, walk->active ? HOST_DATA : HOST_SNAPSHOT_DATA,
			    shown);
	}
}

static void
visit_entry(struct l2_walk *walk, uint32_t index, const uint8_t *raw)
{
	struct report *const report = walk->report;
	const struct q2s_geom *const geom = report->geom;
	struct guest_sample sample = {
		.cluster = (walk->l1_index << geom->l2_bits) + index,
		.kind = GUEST_INVALID,
		.at = q2s_table_at(&walk->table, index),
		.raw = q2si_get_be64(raw),
		.bitmap = geom->extended ? q2si_get_be64(raw + 8) : 0,
	};

	sample.fault = q2s_l2_decode_lenient(geom, raw, sample.at, &sample.entry, NULL);
	if (sample.fault == Q2S_OK) {
		sample.kind = kind_of(geom, &sample.entry);
		mark_mapped(walk, &sample.entry,
			    (q2s_guest){ sample.cluster << geom->cluster_bits });
	}
	if (walk->active && sample.cluster < geom->clusters)
		report_guest(report, &sample);
}

/* All clusters that the table maps, where it could not be read. */
static void
all_clusters(struct report *report, uint64_t l1_index, enum guest_kind kind)
{
	const struct q2s_geom *const geom = report->geom;
	const uint64_t first = l1_index << geom->l2_bits;
	struct guest_map *const map = &report->guest;

	if (first >= geom->clusters)
		return;
	for (uint64_t at = first, n, end = q2si_min(first + geom->l2_entries, geom->clusters);
	     at < end; at += n) {
		struct guest_cell *const cell = &map->cells[at >> map->cell_bits];
		const uint64_t next = ((at >> map->cell_bits) + 1) << map->cell_bits;

		n = q2si_min(next, end) - at;
		cell->counts[GUEST_UNALLOCATED] -= n;
		cell->counts[kind] += n;
	}
}

static void
walk_table(struct l2_walk *walk, q2s_host at)
{
	struct report *const report = walk->report;
	const struct q2s_geom *const geom = report->geom;
	struct q2s_diag diag = { 0 };
	const uint8_t *raw;
	enum q2s_err err = q2s_table_open(report->subject->file, at, geom->l2_entries,
				      geom->l2_entry_size, "L2 table", &walk->table, &diag);
	uint64_t i = 0;

	if (err == Q2S_E_TRUNCATED && walk->active)
		all_clusters(report, walk->l1_index, GUEST_INVALID);
	for (; err == Q2S_OK; i++) {
		err = q2s_table_next(&walk->table, &i, &raw, &diag);
		if (err != Q2S_OK || i == walk->table.count)
			break;
		visit_entry(walk, (uint32_t)i, raw);
	}
	if (err != Q2S_OK && err != Q2S_E_TRUNCATED) /* findings tell of the latter */
		report_trouble(report, &diag);
	q2s_table_close(&walk->table);
}

/* Each table once; again only as long as there is work left. */
static bool
may_read(struct report *report, q2s_host at, bool seen, uint64_t entries)
{
	const bool exact = report->host.granule_bits == report->geom->cluster_bits;

	if (report_is_hole(report, at))
		return false;
	return (exact && !seen) || report_work(report, entries);
}

/* In a snapshot, a table that was seen before is the active one, or another snapshot's. */
static void
visit_table(struct report *report, const struct q2s_structure *ref, uint64_t index, q2s_host l2)
{
	const struct q2s_geom *const geom = report->geom;
	const enum host_kind kind = ref->owner ? HOST_SNAPSHOT : HOST_L2;
	const enum host_kind was = report_host_kind(report, l2);
	const bool shown = ref->owner == 0 && index < ref->disk_entries;
	const q2s_guest guest = { index * geom->l2_span };
	struct l2_walk walk = { .report = report, .active = shown, .l1_index = index };
	const bool cut = report->cut;

	report_mark(report, l2, kind, shown ? &guest : NULL);
	if (ref->owner && (was == HOST_L2 || was == HOST_SNAPSHOT))
		return;
	if (may_read(report, l2, was != HOST_FREE, geom->l2_entries))
		walk_table(&walk, l2);
	else if (shown && (cut || report->cut) && !report_is_hole(report, l2))
		all_clusters(report, index, GUEST_UNSEEN);
}

static bool
first_visit(const struct report *report, const struct q2s_structure *ref)
{
	return ref->owner == 0 || report_host_kind(report, ref->at) == HOST_FREE;
}

static enum q2s_err
visit_l1(void *opaque, const struct q2s_structure *ref, struct q2s_diag *diag)
{
	struct report *const report = opaque;
	const bool fresh = first_visit(report, ref);
	struct q2s_diag fault = { 0 };
	struct q2s_table table = { 0 };
	const uint8_t *raw;
	enum q2s_err err;
	q2s_host l2;

	(void)diag;
	report_mark_range(report, ref->at, ref->entries * Q2S_L1_ENTRY_SIZE,
			  ref->owner ? HOST_SNAPSHOT : HOST_L1);
	if (!fresh && !report_work(report, ref->entries))
		return Q2S_OK;
	err = q2s_table_open(report->subject->file, ref->at, ref->entries, Q2S_L1_ENTRY_SIZE,
			 "L1 table", &table, &fault);
	for (uint64_t i = 0; err == Q2S_OK; i++) {
		err = q2s_table_next(&table, &i, &raw, &fault);
		if (err != Q2S_OK || i == table.count)
			break;
		if (q2s_l1_target(report->geom, raw, &l2))
			visit_table(report, ref, i, l2);
		else if (ref->owner == 0 && l2.v && i < ref->disk_entries)
			all_clusters(report, i, GUEST_INVALID);
	}
	if (err != Q2S_OK)
		report_trouble(report, &fault);
	q2s_table_close(&table);
	return Q2S_OK;
}

void
report_tables(struct report *report)
{
	const struct q2s_walk_options how = { .size = sizeof(how),
					      .kinds = Q2S_WALK_KIND(Q2S_STRUCTURE_L1),
					      .all = true,
					      .structure = visit_l1,
					      .opaque = report };
	struct q2s_diag diag = { 0 };

	if (q2s_walk(report->subject->opened, &how, &diag) != Q2S_OK)
		report_trouble(report, &diag);
}
