/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host bytes of guest data, entry by entry. */
#include "inspect/regions.h"
#include "inspect/table.h"

/** A walk over L2 tables in progress. */
struct walk {
	const struct subject *subject;
	data_visit visit;
	void *opaque;
};

/* The host bytes of an entry; false when it has none, or makes no sense. */
static bool
entry_range(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at, struct data_range *out)
{
	struct q2s_l2_entry entry;
	struct q2s_comp_range sectors;

	if (q2s_l2_decode_lenient(geom, raw, at, &entry, NULL) != Q2S_OK)
		return false;
	out->where = at;
	out->compressed = entry.compressed;
	if (!entry.compressed) {
		out->at = entry.host;
		out->len = geom->cluster_size;
		return entry.has_host;
	}
	sectors = q2s_comp_sectors(entry.comp_at, entry.comp_bytes);
	out->at = sectors.first;
	out->len = sectors.bytes;
	return true;
}

static enum q2s_err
visit_table(const struct walk *walk, const struct region *l2, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &walk->subject->geom;
	struct data_range range = { .owner = l2->owner };
	struct table table = { 0 };
	const uint8_t *raw;
	uint64_t index = 0;
	enum q2s_err err = table_open(walk->subject->file, l2->at, geom->l2_entries,
				      geom->l2_entry_size, "L2 table", &table, diag);

	for (; err == Q2S_OK; index++) {
		err = table_next(&table, index, &index, diag);
		if (err != Q2S_OK || index >= table.count)
			break;
		err = table_get(&table, index, &raw, diag);
		if (err != Q2S_OK || !entry_range(geom, raw, table_at(&table, index), &range))
			continue;
		range.guest = l2->index * geom->l2_span + (index << geom->cluster_bits);
		err = walk->visit(walk->opaque, &range, diag);
	}
	table_close(&table);
	return err;
}

static enum q2s_err
visit_region(void *opaque, const struct region *region, struct q2s_diag *diag)
{
	const struct walk *const walk = opaque;

	if (region->kind != REGION_L2 || region->at.v >= q2s_file_size(walk->subject->file))
		return Q2S_OK;
	return visit_table(walk, region, diag);
}

enum q2s_err
regions_visit_data(const struct subject *subject, data_visit visit, void *opaque,
		   struct q2s_diag *diag)
{
	struct walk walk = { .subject = subject, .visit = visit, .opaque = opaque };

	if (subject->geom.data_file)
		return Q2S_OK;
	return regions_visit(subject, visit_region, &walk, diag);
}
