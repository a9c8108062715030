/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/scope.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/disk.h"

/* ---- a bitmap in memory as a map ----------------------------------------------------------- */

struct map_disk {
	struct q2s_disk disk;
	const struct q2s_bits *bits;
};

static enum q2s_err
map_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	(void)disk;
	*out = calloc(1, sizeof(**out));
	return *out ? Q2S_OK : q2si_fail_nomem(diag, "cursor");
}

static void
map_cursor_close(struct q2s_cursor *cursor)
{
	free(cursor);
}

static enum q2s_err
map_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	   struct q2s_diag *diag)
{
	const struct q2s_bits *bits = ((const struct map_disk *)cursor->disk)->bits;
	const uint64_t granule = guest.v >> bits->granularity_bits;
	uint64_t start, end;
	const bool more = q2si_bits_next(bits, granule, &start, &end);
	const bool dirty = more && start == granule;
	const uint64_t until = (dirty ? end : start) << bits->granularity_bits;

	(void)diag;
	*out = (struct q2s_extent){
		.len = q2si_min(max, q2si_min(until, cursor->disk->size) - guest.v),
		.state = dirty ? Q2S_DATA : Q2S_ABSENT,
	};
	return Q2S_OK;
}

static enum q2s_err
map_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len, struct q2s_diag *diag)
{
	(void)cursor;
	(void)guest;
	(void)buf;
	(void)len;
	return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "plan", Q2S_NOWHERE,
			    "a map has no content that could be read");
}

static void
map_close(struct q2s_disk *disk)
{
	free(disk);
}

static const struct q2si_disk_ops map_ops = {
	.cursor_open = map_cursor_open,
	.cursor_close = map_cursor_close,
	.extent = map_extent,
	.read = map_read,
	.close = map_close,
};

static enum q2s_err
map_open(const struct q2s_bits *bits, const struct q2s_disk *like, struct q2s_disk **out,
	 struct q2s_diag *diag)
{
	struct map_disk *map = calloc(1, sizeof(*map));
	enum q2s_err err;

	if (!map)
		return q2si_fail_nomem(diag, "disk");
	map->bits = bits;
	err = q2si_disk_init(&map->disk, &map_ops, q2s_disk_name(like), q2s_disk_size(like), diag);
	if (err != Q2S_OK) {
		free(map);
		return err;
	}
	*out = &map->disk;
	return Q2S_OK;
}

/* ---- scopes -------------------------------------------------------------------------------- */

static enum q2s_err
collect(struct q2s_cursor *cursor, uint64_t size, struct q2s_bits *bits, struct q2s_diag *diag)
{
	struct q2s_extent extent;

	for (uint64_t at = 0; at < size; at += extent.len) {
		Q2SI_TRY(q2s_cursor_extent(cursor, (q2s_guest){ at }, size - at, &extent, diag));
		if (extent.state != Q2S_ABSENT)
			Q2SI_TRY(q2s_bits_set(bits, (q2s_guest){ at }, extent.len, diag));
	}
	return Q2S_OK;
}

enum q2s_err
q2si_scope_take(struct q2s_disk *where, uint32_t unit, struct q2s_bits **out,
		struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(where);
	uint32_t granularity_bits = (uint32_t)__builtin_ctz(unit);
	struct q2s_cursor *cursor;
	struct q2s_bits *bits;
	enum q2s_err err;

	while (size >> granularity_bits >= 8 * Q2S_BITMAP_MAX_BYTES &&
	       granularity_bits < Q2S_BITMAP_GRANULARITY_BITS_MAX)
		granularity_bits++;
	Q2SI_TRY(q2s_bits_new(size, granularity_bits, &bits, diag));
	err = q2s_cursor_open(where, &cursor, diag);
	if (err == Q2S_OK) {
		err = collect(cursor, size, bits, diag);
		q2s_cursor_close(cursor);
	}
	if (err != Q2S_OK) {
		q2s_bits_unref(bits);
		return err;
	}
	*out = bits;
	return Q2S_OK;
}

enum q2s_err
q2si_scoped_open(struct q2si_scoped *scoped, struct q2s_disk *disk, const struct q2s_bits *scope,
		 struct q2s_diag *diag)
{
	const struct q2s_changed_options how = {
		.size = sizeof(how),
		.unit = Q2S_SECTOR,
		.counts = UINT64_MAX,
		.absent_is_same = true,
	};

	Q2SI_TRY(map_open(scope, disk, &scoped->map, diag));
	return q2s_disk_changed(disk, scoped->map, &how, &scoped->disk, diag);
}

void
q2si_scoped_close(struct q2si_scoped *scoped)
{
	q2s_disk_close(scoped->disk);
	q2s_disk_close(scoped->map);
	*scoped = (struct q2si_scoped){ 0 };
}
