/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding all L1 tables of an image. */
#include "inspect/l1_tables.h"

#include "base/arith.h"
#include "base/bytes.h"
#include "inspect/records.h"
#include "inspect/seen.h"

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

static struct l1_ref
of_snapshot(const struct subject *subject, uint32_t owner, const struct q2s_snapshot *snapshot)
{
	return (struct l1_ref){
		.owner = owner,
		.at = snapshot->l1_offset,
		.entries = snapshot->l1_entries,
		.disk_entries =
			disk_entries(&subject->geom, snapshot->has_disk_size ? snapshot->disk_size
									     : subject->geom.size),
	};
}

/** A visit in progress. */
struct visit {
	const struct subject *subject;
	l1_visit visit;
	void *opaque;
	struct seen seen;
};

static enum q2s_err
visit_one(struct visit *visit, struct l1_ref ref, struct q2s_diag *diag)
{
	const struct seen_table table = { .at = ref.at,
					  .count = ref.entries,
					  .entry_size = Q2S_L1_ENTRY_SIZE };
	const enum q2s_err err = seen_add_table(&visit->seen, visit->subject->file,
						&visit->subject->geom, &table, &ref.fresh, diag);

	return err == Q2S_OK ? visit->visit(visit->opaque, &ref, diag) : err;
}

enum q2s_err
l1_tables(const struct subject *subject, l1_visit visit, void *opaque, struct q2s_diag *diag)
{
	struct visit all = { .subject = subject, .visit = visit, .opaque = opaque };
	struct record_walk walk = snapshot_walk_begin(subject);
	struct q2s_snapshot snapshot;
	struct record record;
	enum q2s_err err = visit_one(&all, active(subject), diag), read = Q2S_OK;
	uint32_t owner = 0;

	while (err == Q2S_OK && snapshot_walk_next(&walk, &record, &snapshot, &read, diag)) {
		owner++;
		if (record.fault.err == Q2S_OK)
			err = visit_one(&all, of_snapshot(subject, owner, &snapshot), diag);
	}
	record_walk_end(&walk);
	seen_free(&all.seen);
	return err != Q2S_OK ? err : read;
}

struct l1_range
l1_range(const struct l1_ref *ref, const struct q2s_geom *geom, uint64_t guest, uint64_t end)
{
	return (struct l1_range){
		.first = q2si_min(guest / geom->l2_span, ref->fresh),
		.end = q2si_min(q2si_div_up(end, geom->l2_span), ref->fresh),
	};
}

bool
l1_target(const struct q2s_geom *geom, const uint8_t *raw, q2s_host *out)
{
	out->v = q2si_get_be64(raw) & Q2S_ENTRY_HOST_MASK;
	return out->v != 0 && q2si_is_aligned(out->v, geom->cluster_size);
}
