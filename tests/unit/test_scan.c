/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scan against a plain account of the same disk, for one thread and for many. */
#include "disk/disk.h"
#include "plan/alloc.h"
#include "plan/scan.h"

#include "files.h"
#include "patterns.h"
#include "slots.h"

static struct q2s_alloc *
scan(struct q2s_disk *disk, const struct q2s_geom *geom, struct q2s_scan_options options,
     unsigned threads)
{
	struct q2s_alloc *alloc = NULL;

	options.threads = threads;
	assert_ok(q2s_scan(disk, geom, &options, &alloc, &diag));
	assert_ok(q2si_alloc_finish(alloc, &diag));
	return alloc;
}

/* All slots of the map, cluster by cluster. */
static struct q2s_slot *
slots_of(const struct q2s_alloc *alloc)
{
	const struct q2s_geom *geom = &alloc->geom;
	struct q2s_slot *slots = calloc(geom->clusters + 1, sizeof(*slots));

	ck_assert_ptr_nonnull(slots);
	for (size_t rank = 0; rank < alloc->table_count; rank++) {
		const uint64_t first = (uint64_t)alloc->tables[rank].index << geom->l2_bits;
		struct q2si_slot_walk walk;
		struct q2si_placed_run run;

		q2si_slot_walk_start(&walk, alloc, rank);
		while (q2si_slot_walk_next(&walk, &run))
			for (uint64_t i = 0; i < run.count; i++)
				slots[first + run.entry + i] = run.slot;
	}
	return slots;
}

static void
assert_finds(const struct pattern *pattern, const struct q2s_alloc *alloc,
	     const struct q2s_scan_options *options)
{
	struct q2s_slot *got = slots_of(alloc);

	for (uint64_t i = 0; i < alloc->geom.clusters; i++) {
		const struct q2s_slot want = pattern_slot(pattern, &alloc->geom, options, i);

		if (!slots_equal(&got[i], &want))
			ck_abort_msg("cluster %" PRIu64 " of %u bits: %d %x %x instead of %d %x %x", i,
				     alloc->geom.cluster_bits, got[i].host, got[i].alloc, got[i].zero,
				     want.host, want.alloc, want.zero);
	}
	free(got);
}

/* Equal to the last bit, and so whatever is planned from them. */
static void
assert_same_alloc(const struct q2s_alloc *a, const struct q2s_alloc *b)
{
	ck_assert_uint_eq(a->table_count, b->table_count);
	ck_assert_uint_eq(a->clusters, b->clusters);
	ck_assert_uint_eq(a->store.len, b->store.len);
	for (uint64_t i = 0; i < a->store.len; i++)
		if (q2si_store_get(&a->store, i) != q2si_store_get(&b->store, i))
			ck_abort_msg("code byte %" PRIu64, i);
	for (size_t i = 0; i < a->table_count; i++) {
		ck_assert_uint_eq(a->tables[i].index, b->tables[i].index);
		ck_assert_uint_eq(a->tables[i].code, b->tables[i].code);
		ck_assert_uint_eq(a->tables[i].clusters, b->tables[i].clusters);
	}
}

static struct q2s_geom
geom_for(uint32_t version, uint32_t bits, bool extended, uint64_t size)
{
	const struct q2s_geom_params params = {
		.version = version,
		.cluster_bits = bits,
		.refcount_order = 4,
		.extended = extended,
		.size = size,
	};
	struct q2s_geom geom;

	assert_ok(q2s_geom_init(&params, &geom, &diag));
	return geom;
}

static void
try_disk(const struct pattern *pattern, const struct q2s_geom *geom,
	 const struct q2s_scan_options *options)
{
	struct q2s_alloc *one = scan(pattern->disk, geom, *options, 1);
	struct q2s_alloc *many = scan(pattern->disk, geom, *options, 8);

	assert_finds(pattern, one, options);
	assert_same_alloc(one, many);
	q2s_alloc_free(one);
	q2s_alloc_free(many);
}

/* One random disk of about @most bytes, in a random kind of image, perhaps larger than the disk. */
static void
try_random(uint32_t bits, uint64_t most, uint64_t *seed)
{
	const uint64_t chance = unit_random(seed);
	const bool extended = bits >= 14 && chance & 1;
	const uint64_t unit = extended ? 1u << (bits - 5) : 1u << bits;
	const uint64_t size = most - pattern_distance(unit, most / 2, seed);
	const uint64_t more = chance & 2 ? pattern_distance(1u << bits, most, seed) : 0;
	const struct q2s_geom geom =
		geom_for(!extended && chance & 4 ? 2 : 3, bits, extended, size + more);
	const struct q2s_scan_options options = {
		.size = sizeof(options),
		.keep_zeros = chance & 8,
		.trust_holes = chance & 16,
		.store_zeros = chance & 32,
	};
	struct pattern pattern;

	pattern_make(&pattern, size, unit, seed);
	try_disk(&pattern, &geom, &options);
	pattern_free(&pattern);
}

START_TEST(small_disks)
{
	uint64_t seed = 21;

	for (uint32_t bits = 9; bits <= 21; bits++)
		for (unsigned i = 0; i < 60; i++)
			try_random(bits, 1 + unit_random_log(&seed) % (20ull << bits), &seed);
}
END_TEST

/* More than one stretch, so that threads meet. */
START_TEST(large_disks)
{
	uint64_t seed = 22;

	for (uint32_t bits = 12; bits <= 21; bits += 1)
		for (unsigned i = 0; i < 4; i++)
			try_random(bits, bits < 16 ? 200 << 20 : 4ull << 30, &seed);
}
END_TEST

START_TEST(nothing_and_very_little)
{
	static const uint64_t sizes[] = { 0, 1, 511, 512, 513 };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		const struct q2s_pattern all = { .len = sizes[i], .state = Q2S_DATA, .fill = 1 };
		const struct q2s_geom geom = geom_for(3, 16, false, sizes[i]);
		const struct q2s_scan_options options = { .size = sizeof(options) };
		struct q2s_disk *disk = NULL;

		assert_ok(q2s_disk_pattern(sizes[i], &all, sizes[i] != 0, &disk, &diag));
		struct q2s_alloc *alloc = scan(disk, &geom, options, 0);

		ck_assert_uint_eq(alloc->clusters, sizes[i] != 0);
		q2s_alloc_free(alloc);
		q2s_disk_close(disk);
	}
}
END_TEST

/* The same content in a file: holes come from the file system, at its own granularity. */
static struct q2s_disk *
write_raw(const struct pattern *pattern)
{
	static uint8_t buf[1 << 20];
	const int fd = open(path_of("disk"), O_RDWR | O_CREAT | O_TRUNC, 0666);
	struct q2s_store *file = NULL;
	struct q2s_disk *disk = NULL;

	ck_assert_int_eq(ftruncate(fd, (off_t)pattern->size), 0);
	for (size_t i = 0; i < pattern->count; i++) {
		const struct q2s_pattern *region = &pattern->regions[i];

		for (uint64_t done = 0; region->state == Q2S_DATA && done < region->len;) {
			const uint64_t left = region->len - done, at = region->start.v + done;
			const size_t n = left < sizeof(buf) ? (size_t)left : sizeof(buf);

			assert_ok(q2s_cursor_read(pattern->cursor, (q2s_guest){ at }, buf, n, &diag));
			ck_assert_int_eq(pwrite(fd, buf, n, (off_t)at), (ssize_t)n);
			done += n;
		}
	}
	close(fd);
	assert_ok(q2s_store_open(path_of("disk"), &file, &diag));
	assert_ok(q2s_disk_raw(file, &disk, &diag));
	q2s_store_unref(file);
	return disk;
}

START_TEST(raw_files)
{
	const struct q2s_scan_options options = { .size = sizeof(options) };
	uint64_t seed = 23;

	for (uint32_t bits = 9; bits <= 21; bits++) {
		for (unsigned extended = 0; extended <= (bits >= 14); extended++) {
			const uint64_t size = (1 << 20) + unit_random(&seed) % (bits < 16 ? 5 << 20 :
											    70 << 20);
			const struct q2s_geom geom = geom_for(3, bits, extended, size);
			struct pattern pattern;

			pattern_make(&pattern, size, 4096, &seed);
			struct q2s_disk *disk = write_raw(&pattern);
			struct q2s_alloc *one = scan(disk, &geom, options, 1);
			struct q2s_alloc *many = scan(disk, &geom, options, 8);

			assert_finds(&pattern, one, &options);
			assert_same_alloc(one, many);
			q2s_alloc_free(one);
			q2s_alloc_free(many);
			q2s_disk_close(disk);
			pattern_free(&pattern);
		}
	}
}
END_TEST

/* ---- what goes wrong ----------------------------------------------------------------------- */

/* All data, and reading past @bad fails. */
static enum q2s_err
bad_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	(void)disk;
	(void)diag;
	*out = calloc(1, sizeof(**out));
	return Q2S_OK;
}

static void
bad_cursor_close(struct q2s_cursor *cursor)
{
	free(cursor);
}

static enum q2s_err
bad_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	   struct q2s_diag *diag)
{
	(void)cursor;
	(void)guest;
	(void)diag;
	*out = (struct q2s_extent){ .len = max, .state = Q2S_DATA };
	return Q2S_OK;
}

#define BAD (300ull << 20)

static enum q2s_err
bad_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len, struct q2s_diag *diag)
{
	(void)cursor;
	memset(buf, 1, len);
	if (guest.v + len <= BAD)
		return Q2S_OK;
	if (diag && diag->err == Q2S_OK)
		*diag = (struct q2s_diag){ .err = Q2S_E_IO, .at = { guest.v }, .what = "bad" };
	return Q2S_E_IO;
}

static void
bad_close(struct q2s_disk *disk)
{
	(void)disk;
}

static const struct q2si_disk_ops bad_ops = {
	.cursor_open = bad_cursor_open,
	.cursor_close = bad_cursor_close,
	.extent = bad_extent,
	.read = bad_read,
	.close = bad_close,
};

START_TEST(the_first_failure_is_reported)
{
	const struct q2s_geom geom = geom_for(3, 16, false, 1 << 30);
	struct q2s_disk disk = { .ops = &bad_ops, .size = 1 << 30 };

	for (unsigned threads = 1; threads <= 16; threads += 5) {
		const struct q2s_scan_options options = { .size = sizeof(options),
							  .threads = threads };
		struct q2s_alloc *alloc = NULL;
		struct q2s_diag why = { 0 };

		ck_assert_int_eq(q2s_scan(&disk, &geom, &options, &alloc, &why), Q2S_E_IO);
		ck_assert_str_eq(why.what, "bad");
		ck_assert_uint_eq(why.at.v, BAD);
		ck_assert_ptr_null(alloc);
		ck_assert_int_eq(q2s_scan(&disk, &geom, &options, &alloc, NULL), Q2S_E_IO);
	}
}
END_TEST

/* Someone who stops the work at the third look, and sees it grow until then. */
struct stopper {
	unsigned looks;
	uint64_t done;
};

static bool
stop_at_three(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	struct stopper *stopper = opaque;

	if (phase != Q2S_PHASE_SCAN || total != 1 << 30 || done < stopper->done)
		stopper->looks = 1000;
	stopper->done = done;
	return ++stopper->looks < 3;
}

START_TEST(an_observer_can_stop_it)
{
	const struct q2s_geom geom = geom_for(3, 16, false, 1 << 30);
	const struct q2s_pattern all = { .len = 1 << 30, .state = Q2S_DATA, .fill = 1 };
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_disk_pattern(1 << 30, &all, 1, &disk, &diag));
	for (unsigned threads = 1; threads <= 8; threads += 7) {
		struct stopper stopper = { 0 };
		const struct q2s_observer observer = { stop_at_three, &stopper };
		const struct q2s_scan_options options = { .size = sizeof(options),
							  .threads = threads,
							  .observer = &observer };
		struct q2s_alloc *alloc = NULL;

		ck_assert_int_eq(q2s_scan(disk, &geom, &options, &alloc, NULL), Q2S_E_CANCELLED);
		ck_assert_uint_eq(stopper.looks, 3);
	}
	q2s_disk_close(disk);
}
END_TEST

FILES_MAIN("scan", small_disks, large_disks, nothing_and_very_little, raw_files,
	   the_first_failure_is_reported, an_observer_can_stop_it)
