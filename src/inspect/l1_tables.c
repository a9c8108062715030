/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding all L1 tables of an image. */
#include "inspect/l1_tables.h"

#include "base/arith.h"
#include "base/bytes.h"
#include "inspect/records.h"

#define ENTRIES_MAX (Q2S_L1_MAX_BYTES / Q2S_L1_ENTRY_SIZE)

static uint64_t
disk_entries(const struct q2s_geom *geom, uint64_t size)
{
	return q2si_div_up(size, geom->l2_span);
}

static struct l1_ref
active(const struct subject *subject)
{
	return (struct l1_ref){
		.at = subject->header.l1_table_offset,
		.entries = q2si_min(subject->header.l1_size, ENTRIES_MAX),
		.disk_entries = subject->geom.l1_entries,
	};
}

enum q2s_err
l1_tables(const struct subject *subject, l1_visit visit, void *opaque, struct q2s_diag *diag)
{
	const struct l1_ref first = active(subject);
	struct record_walk walk = snapshot_walk_begin(subject);
	struct q2s_snapshot snapshot;
	struct record record;
	enum q2s_err err = visit(opaque, &first, diag), read = Q2S_OK;
	uint32_t owner = 0;

	while (err == Q2S_OK && snapshot_walk_next(&walk, &record, &snapshot, &read, diag)) {
		owner++;
		if (record.fault.err != Q2S_OK)
			continue;
		err = visit(opaque,
			    &(struct l1_ref){
				    .owner = owner,
				    .at = snapshot.l1_offset,
				    .entries = snapshot.l1_entries,
				    .disk_entries = disk_entries(&subject->geom,
								 snapshot.has_disk_size
									 ? snapshot.disk_size
									 : subject->geom.size),
			    },
			    diag);
	}
	record_walk_end(&walk);
	return err != Q2S_OK ? err : read;
}

struct l1_range
l1_range(const struct l1_ref *ref, const struct q2s_geom *geom, uint64_t guest, uint64_t end)
{
	return (struct l1_range){
		.first = q2si_min(guest / geom->l2_span, ref->entries),
		.end = q2si_min(q2si_div_up(end, geom->l2_span), ref->entries),
	};
}

bool
l1_target(const struct q2s_geom *geom, const uint8_t *raw, q2s_host *out)
{
	out->v = q2si_get_be64(raw) & Q2S_ENTRY_HOST_MASK;
	return out->v != 0 && q2si_is_aligned(out->v, geom->cluster_size);
}

enum q2s_err
l1_is_shared(const struct subject *subject, const struct l1_ref *ref, uint64_t index, q2s_host l2,
	     bool *shared, struct q2s_diag *diag)
{
	const struct l1_ref mine = active(subject);
	const q2s_host at = { mine.at.v + index * Q2S_L1_ENTRY_SIZE };
	uint8_t raw[Q2S_L1_ENTRY_SIZE];
	q2s_host other;
	enum q2s_err err;

	*shared = false;
	if (ref->owner == 0 || index >= mine.entries || mine.at.v >= q2s_file_size(subject->file))
		return Q2S_OK;
	err = q2s_file_read_padded(subject->file, at.v, raw, sizeof(raw), NULL, diag);
	if (err != Q2S_OK)
		return err;
	*shared = l1_target(&subject->geom, raw, &other) && other.v == l2.v;
	return Q2S_OK;
}
