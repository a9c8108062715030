/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of disks share: disks made by chance, a disk that tells on its readers, and bytes. */
#ifndef Q2S_TESTS_DISK_MODEL_H
#define Q2S_TESTS_DISK_MODEL_H

#include "disk/disk.h"
#include "unit.h"

/* ---- disks made by chance ---------------------------------------------------------------- */

#define MODEL_REGIONS 64

/* Regions of all kinds, data that is zero among them; starts and ends are multiples of @grain. */
static inline size_t
model_regions(uint64_t *chance, uint64_t size, uint64_t grain, struct q2s_pattern *regions)
{
	uint64_t at = 0;
	size_t count = 0;

	while (count < MODEL_REGIONS && at < size) {
		const uint64_t gap = unit_random(chance) % 5 * grain;
		const uint64_t len = (1 + unit_random_log(chance) % 400) * grain;
		const uint64_t kind = unit_random(chance) % 4;

		at += gap;
		if (at >= size)
			break;
		regions[count++] = (struct q2s_pattern){
			.start = { at },
			.len = len < size - at ? len : size - at,
			.state = kind == 0 ? Q2S_ZERO : Q2S_DATA,
			.seeded = kind == 1,
			.seed = unit_random(chance) % 3,
			.fill = (uint8_t)(kind == 2 ? 0 : 1 + unit_random(chance) % 2),
		};
		at += len;
	}
	return count;
}

/* The same regions, with another content here and there. */
static inline void
model_change(uint64_t *chance, struct q2s_pattern *regions, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (unit_random(chance) % 3 == 0)
			regions[i].seed++;
		if (unit_random(chance) % 4 == 0)
			regions[i].fill = (uint8_t)(unit_random(chance) % 3);
		if (unit_random(chance) % 5 == 0)
			regions[i].state = Q2S_ZERO;
	}
}

/* ---- bytes ------------------------------------------------------------------------------- */

/* What the disk shows in [0, @size), zeros behind its end; free() it. */
static inline uint8_t *
model_bytes(struct q2s_disk *disk, uint64_t size)
{
	uint8_t *const bytes = malloc(size + 1);
	struct q2s_cursor *cursor;

	ck_assert_ptr_nonnull(bytes);
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	assert_ok(q2s_cursor_read(cursor, (q2s_guest){ 0 }, bytes, size, &diag));
	q2s_cursor_close(cursor);
	return bytes;
}

static inline bool
model_is_zero(const uint8_t *bytes, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* ---- a disk that tells on its readers ---------------------------------------------------- */

/* Shows @inner from @shift on, counts what is read, and cannot be read from @broken_at on. */
struct watched_disk {
	struct q2s_disk disk;
	struct q2s_disk *inner;
	uint64_t shift;
	uint64_t bytes_read;
	uint64_t broken_at;
};

struct watched_cursor {
	struct q2s_cursor cursor;
	struct q2s_cursor *inner;
};

static inline struct watched_disk *
watched_of(struct q2s_cursor *cursor)
{
	return (struct watched_disk *)cursor->disk;
}

static inline enum q2s_err
watched_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	struct watched_cursor *cursor = calloc(1, sizeof(*cursor));

	ck_assert_ptr_nonnull(cursor);
	*out = &cursor->cursor;
	return q2s_cursor_open(((struct watched_disk *)disk)->inner, &cursor->inner, diag);
}

static inline void
watched_cursor_close(struct q2s_cursor *cursor)
{
	q2s_cursor_close(((struct watched_cursor *)cursor)->inner);
	free(cursor);
}

static inline enum q2s_err
watched_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	       struct q2s_diag *diag)
{
	guest.v += watched_of(cursor)->shift;
	return q2s_cursor_extent(((struct watched_cursor *)cursor)->inner, guest, max, out, diag);
}

static inline enum q2s_err
watched_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
	     struct q2s_diag *diag)
{
	struct watched_disk *watched = watched_of(cursor);

	if (guest.v + len > watched->broken_at)
		return q2si_fail(diag, Q2S_E_IO, "test", Q2S_NOWHERE, guest.v, "broken");
	watched->bytes_read += len;
	guest.v += watched->shift;
	return q2s_cursor_read(((struct watched_cursor *)cursor)->inner, guest, buf, len, diag);
}

static inline void
watched_close(struct q2s_disk *disk)
{
	q2s_disk_close(((struct watched_disk *)disk)->inner);
	free(disk);
}

/* Takes @inner over. A shift must leave all of it on the disk. */
static inline struct watched_disk *
watch(struct q2s_disk *inner)
{
	static const struct q2si_disk_ops ops = {
		.cursor_open = watched_cursor_open,
		.cursor_close = watched_cursor_close,
		.extent = watched_extent,
		.read = watched_read,
		.close = watched_close,
	};
	struct watched_disk *watched = calloc(1, sizeof(*watched));

	ck_assert_ptr_nonnull(watched);
	assert_ok(q2si_disk_init(&watched->disk, &ops, "watched", q2s_disk_size(inner), &diag));
	watched->inner = inner;
	watched->broken_at = UINT64_MAX;
	return watched;
}

#endif
