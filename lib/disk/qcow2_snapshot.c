/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An internal snapshot as the source: which one, and how much of it is disk. */
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/qcow2.h"

static bool
is_equal(const char *wanted, const uint8_t *bytes, size_t len)
{
	return strlen(wanted) == len && memcmp(wanted, bytes, len) == 0;
}

/* IDs come first, because every snapshot has one of its own; names may repeat, or be an ID. */
static uint32_t
snapshot_index(const struct q2s_snapshots *all, const char *wanted)
{
	for (uint32_t i = 0; i < all->count; i++)
		if (is_equal(wanted, all->list[i].id, all->list[i].id_len))
			return i;
	for (uint32_t i = 0; i < all->count; i++)
		if (is_equal(wanted, all->list[i].name, all->list[i].name_len))
			return i;
	return all->count;
}

/*
 * The VM state lies behind the disk in the same table: the disk size of the snapshot ends what is
 * shown. Old records have none, and then the image has never been resized since.
 */
static enum q2s_err
snapshot_table(const struct q2s_image *image, const struct q2s_snapshot *snapshot, q2s_host at,
	       struct q2s_l1_table *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = q2s_image_geom(image);
	uint64_t size = geom->size;

	if (geom->data_file)
		return q2si_fail_at(diag, Q2S_E_SNAPSHOT, "snapshot", at,
				    "an image with a data file cannot have one");
	if (snapshot->has_disk_size)
		size = q2si_round_down(snapshot->disk_size, Q2S_SECTOR);
	if (size >= Q2S_SIZE_LIMIT)
		return q2si_fail(diag, Q2S_E_LIMIT, "snapshot disk size", at, size,
				 "2^63 bytes or more");
	if (snapshot->has_disk_size && q2si_div_up(size, geom->l2_span) > snapshot->l1_entries)
		return q2si_fail(diag, Q2S_E_SNAPSHOT, "snapshot disk size", at, size,
				 "its L1 table of %u entries is too small", snapshot->l1_entries);
	*out = (struct q2s_l1_table){ .at = snapshot->l1_offset,
				      .entries = snapshot->l1_entries,
				      .size = size };
	return Q2S_OK;
}

enum q2s_err
q2si_snapshot_find(const struct q2s_image *image, const char *wanted, struct q2s_l1_table *out,
		   struct q2s_diag *diag)
{
	struct q2s_snapshots all;
	enum q2s_err err;
	uint32_t i;

	Q2SI_TRY(q2s_image_snapshots(image, &all, diag));
	i = snapshot_index(&all, wanted);
	if (i == all.count)
		err = q2si_fail_at(diag, Q2S_E_USAGE, "snapshot", Q2S_NOWHERE,
				   "none has the ID or name '%.200s'", wanted);
	else
		err = snapshot_table(image, &all.list[i], all.at[i], out, diag);
	q2s_snapshots_free(&all);
	return err;
}
