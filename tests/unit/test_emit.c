/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emission: what was planned is what comes out, and a source that changed is never passed off. */
#include <q2s/emit.h>

#include "files.h"
#include "geoms.h"
#include "patterns.h"

/* Plan @disk as an image of this geometry. */
static struct q2s_plan *
plan_for(struct q2s_disk *disk, const struct q2s_geom *geom)
{
	const struct q2s_scan_options options = { .size = sizeof(options), .threads = 2 };
	struct q2s_spec spec = { .geom = *geom };
	struct q2s_alloc *alloc = NULL;
	struct q2s_plan *plan = NULL;

	assert_ok(q2s_scan(disk, geom, &options, &alloc, &diag));
	assert_ok(q2s_plan_new(&spec, alloc, &plan, &diag));
	return plan;
}

/* @flags as for q2s_sink_open() */
static enum q2s_err
emit_with(unsigned flags, const char *path, const struct q2s_plan *plan, struct q2s_disk *disk,
	  const struct q2s_observer *observer, struct q2s_diag *diag)
{
	const struct q2s_emit_options options = { .size = sizeof(options), .until = Q2S_TO_END,
						  .observer = observer };
	struct q2s_sink *sink = NULL;
	enum q2s_err err = q2s_sink_open(path, flags | Q2S_SINK_REPLACE, 0, &sink, diag);

	ck_assert_int_eq(err, Q2S_OK);
	err = plan ? q2s_emit(plan, disk, sink, &options, diag) :
		     q2s_emit_raw(disk, sink, &options, diag);
	if (err == Q2S_OK)
		return q2s_sink_commit(sink, diag);
	q2s_sink_abort(sink);
	return err;
}

static enum q2s_err
emit_to(const char *path, const struct q2s_plan *plan, struct q2s_disk *disk,
	const struct q2s_observer *observer, struct q2s_diag *diag)
{
	return emit_with(0, path, plan, disk, observer, diag);
}

static struct q2s_disk *
open_disk(const char *path, bool qcow2)
{
	const struct q2s_disk_qcow2_options options = { .size = sizeof(options) };
	struct q2s_store *file = NULL;
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_store_open(path, &file, &diag));
	if (qcow2)
		assert_ok(q2s_disk_qcow2(file, &options, &disk, &diag));
	else
		assert_ok(q2s_disk_raw(file, &disk, &diag));
	q2s_store_unref(file);
	return disk;
}

/* Both disks read the same over @size bytes, what lies past an end being zero. */
static void
assert_same_content(struct q2s_disk *a, struct q2s_disk *b, uint64_t size)
{
	static uint8_t bytes_a[1 << 16], bytes_b[1 << 16];
	struct q2s_cursor *cursor_a = NULL, *cursor_b = NULL;

	assert_ok(q2s_cursor_open(a, &cursor_a, &diag));
	assert_ok(q2s_cursor_open(b, &cursor_b, &diag));
	for (uint64_t at = 0; at < size; at += sizeof(bytes_a)) {
		const size_t n = size - at < sizeof(bytes_a) ? (size_t)(size - at) : sizeof(bytes_a);

		assert_ok(q2s_cursor_read(cursor_a, (q2s_guest){ at }, bytes_a, n, &diag));
		assert_ok(q2s_cursor_read(cursor_b, (q2s_guest){ at }, bytes_b, n, &diag));
		if (memcmp(bytes_a, bytes_b, n) != 0)
			ck_abort_msg("they differ near %" PRIu64, at);
	}
	q2s_cursor_close(cursor_a);
	q2s_cursor_close(cursor_b);
}

static uint64_t
size_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

/* Where zeros are not skipped, clusters are not cut at their subclusters. The bytes are the same. */
static void
assert_same_bytes_in_full(const char *path, const struct q2s_plan *plan, struct q2s_disk *disk)
{
	const char *full = path_of("full");

	assert_ok(emit_with(Q2S_SINK_FULL, full, plan, disk, NULL, &diag));
	ck_assert_uint_eq(size_of(full), size_of(path));

	struct q2s_disk *a = open_disk(path, false), *b = open_disk(full, false);

	assert_same_content(a, b, size_of(path));
	q2s_disk_close(a);
	q2s_disk_close(b);
}

/* Emit @disk as an image of @geom, and read that back. */
static void
assert_round_trip(struct q2s_disk *disk, const struct q2s_geom *geom)
{
	struct q2s_plan *plan = plan_for(disk, geom);

	assert_ok(emit_to(path_of("image"), plan, disk, NULL, &diag));
	ck_assert_uint_eq(size_of(path_of("image")), q2s_plan_layout(plan)->length);
	assert_same_bytes_in_full(path_of("image"), plan, disk);

	struct q2s_disk *image = open_disk(path_of("image"), true);

	ck_assert_uint_eq(q2s_disk_size(image), geom->size);
	assert_same_content(disk, image, geom->size);
	q2s_disk_close(image);
	q2s_plan_free(plan);
}

/* A disk shorter than its image, as long, or longer: what is not there is zero, the rest is cut. */
START_TEST(images_read_back_as_the_disk)
{
	uint64_t seed = 51;

	for (unsigned index = 0; index < GEOMS; index++) {
		struct q2s_geom_params params = geom_params(index, 0);
		struct pattern pattern;
		struct q2s_geom geom;

		if (params.data_file || q2s_geom_init(&params, &geom, NULL) != Q2S_OK)
			continue;
		const uint64_t unit = 1u << params.cluster_bits;
		const uint64_t most = unit * (params.cluster_bits < 17 ? 60 : 5);
		const uint64_t size = pattern_distance(unit, most, &seed);

		pattern_make(&pattern, size, unit, &seed);
		params.size = size;
		if (index % 4)
			params.size = pattern_distance(unit, 2 * most, &seed);
		assert_ok(q2s_geom_init(&params, &geom, &diag));
		assert_round_trip(pattern.disk, &geom);
		pattern_free(&pattern);
	}
}
END_TEST

START_TEST(raw_output_is_the_disk_in_whole_sectors)
{
	uint64_t seed = 52;

	for (unsigned i = 0; i < 100; i++) {
		const uint64_t size = unit_random_log(&seed) % (4 << 20);
		struct pattern pattern;

		pattern_make(&pattern, size, 4096, &seed);
		assert_ok(emit_to(path_of("raw"), NULL, pattern.disk, NULL, &diag));
		ck_assert_uint_eq(size_of(path_of("raw")), (size + 511) / 512 * 512);
		struct q2s_disk *raw = open_disk(path_of("raw"), false);

		assert_same_content(pattern.disk, raw, (size + 511) / 512 * 512);
		q2s_disk_close(raw);
		pattern_free(&pattern);
	}
}
END_TEST

/* ---- files as sources: fragments, and change ----------------------------------------------- */

#define FILE_SIZE (20u << 20)

/* Blocks of data of all small sizes between holes; and one long stretch. */
static void
make_source(void)
{
	static uint8_t block[1 << 20];
	uint64_t seed = 53;
	const int fd = open(path_of("source"), O_RDWR | O_CREAT | O_TRUNC, 0666);

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(unit_random(&seed) >> 56);
	ck_assert_int_eq(ftruncate(fd, FILE_SIZE), 0);
	for (uint64_t at = 0; at < FILE_SIZE - (3 << 20);) {
		const size_t n = 1 + unit_random_log(&seed) % 100000;

		ck_assert_int_eq(pwrite(fd, block, n, (off_t)at), (ssize_t)n);
		at += n + unit_random_log(&seed) % 200000;
	}
	ck_assert_int_eq(pwrite(fd, block, sizeof(block), FILE_SIZE - (2 << 20)), sizeof(block));
	close(fd);
}

static struct q2s_geom
geom_of_file(uint32_t bits, bool extended)
{
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = bits,
						.refcount_order = 4, .extended = extended,
						.size = FILE_SIZE };
	struct q2s_geom geom;

	assert_ok(q2s_geom_init(&params, &geom, &diag));
	return geom;
}

START_TEST(files_with_holes_read_back)
{
	make_source();
	for (uint32_t bits = 9; bits <= 21; bits++) {
		for (unsigned extended = 0; extended <= (bits >= 14); extended++) {
			const struct q2s_geom geom = geom_of_file(bits, extended);
			struct q2s_disk *disk = open_disk(path_of("source"), false);

			assert_round_trip(disk, &geom);
			q2s_disk_close(disk);
		}
	}
}
END_TEST

static void
write_at(uint64_t at, const char *bytes)
{
	const int fd = open(path_of("source"), O_WRONLY);

	ck_assert_int_eq(pwrite(fd, bytes, strlen(bytes), (off_t)at), (ssize_t)strlen(bytes));
	close(fd);
}

static void
cut_to(uint64_t size)
{
	ck_assert_int_eq(truncate(path_of("source"), (off_t)size), 0);
}

static void
change_nothing(void)
{
}

static void
cut_a_byte(void)
{
	cut_to(FILE_SIZE - 1);
}

static void
cut_in_data(void)
{
	cut_to(FILE_SIZE - (2 << 20) + 5000);
}

static void
cut_all(void)
{
	cut_to(0);
}

static void
grow(void)
{
	cut_to(FILE_SIZE + 1);
}

static void
fill_a_hole(void)
{
	write_at(FILE_SIZE - 100, "not a hole any more");
}

static void
overwrite_data(void)
{
	write_at(FILE_SIZE - (2 << 20) + 100, "other data");
}

/* Each happens after the scan. Of the first, nothing may be noticed. */
static void (*const changes[])(void) = { change_nothing, cut_a_byte, cut_in_data,   cut_all,
					 grow,		 fill_a_hole, overwrite_data };

START_TEST(a_source_that_changes_is_not_passed_off)
{
	const struct q2s_geom geom = geom_of_file(_i % 2 ? 16 : 12, false);

	for (size_t i = 0; i < COUNT(changes); i++) {
		struct q2s_diag why = { 0 };

		make_source();
		struct q2s_disk *disk = open_disk(path_of("source"), false);
		struct q2s_plan *plan = _i < 2 ? plan_for(disk, &geom) : NULL;

		changes[i]();
		ck_assert_int_eq(emit_to(path_of("image"), plan, disk, NULL, &why),
				 i ? Q2S_E_CHANGED : Q2S_OK);
		if (i)
			ck_assert_str_eq(why.file, path_of("source"));
		ck_assert_int_eq(file_exists(path_of("image")), i == 0);
		(void)remove(path_of("image"));
		q2s_plan_free(plan);
		q2s_disk_close(disk);
	}
}
END_TEST

/* ---- who watches --------------------------------------------------------------------------- */

struct watcher {
	uint64_t last, total;
	unsigned looks, stop_at;
};

static bool
watch(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	struct watcher *watcher = opaque;

	if (phase != Q2S_PHASE_WRITE || done < watcher->last || done > total ||
	    (watcher->total && watcher->total != total))
		abort();
	watcher->last = done;
	watcher->total = total;
	return ++watcher->looks != watcher->stop_at;
}

/* Progress grows up to the end, also when all of the output is small fragments. */
START_TEST(an_observer_sees_it_all)
{
	const struct q2s_geom geom = geom_of_file(16, false);

	make_source();
	struct q2s_disk *disk = open_disk(path_of("source"), false);
	struct q2s_plan *plan = plan_for(disk, &geom);
	struct watcher watcher = { 0 };
	const struct q2s_observer observer = { watch, &watcher };

	assert_ok(emit_to(path_of("image"), plan, disk, &observer, &diag));
	ck_assert_uint_eq(watcher.total, q2s_plan_layout(plan)->length);
	ck_assert_uint_eq(watcher.last, watcher.total);
	ck_assert_uint_gt(watcher.looks, 10);
	q2s_plan_free(plan);
	q2s_disk_close(disk);
}
END_TEST

START_TEST(an_observer_can_stop_it)
{
	const struct q2s_geom geom = geom_of_file(16, false);

	make_source();
	struct q2s_disk *disk = open_disk(path_of("source"), false);
	struct q2s_plan *plan = plan_for(disk, &geom);

	for (unsigned stop_at = 1; stop_at < 6; stop_at++) {
		struct watcher watcher = { .stop_at = stop_at };
		const struct q2s_observer observer = { watch, &watcher };

		ck_assert_int_eq(emit_to(path_of("image"), stop_at % 2 ? plan : NULL, disk,
					 &observer, NULL),
				 Q2S_E_CANCELLED);
		ck_assert_uint_eq(watcher.looks, stop_at);
		ck_assert(!file_exists(path_of("image")));
	}
	q2s_plan_free(plan);
	q2s_disk_close(disk);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("emit");

	tcase_add_checked_fixture(tcase, files_setup, files_teardown);
	tcase_add_test(tcase, images_read_back_as_the_disk);
	tcase_add_test(tcase, raw_output_is_the_disk_in_whole_sectors);
	tcase_add_test(tcase, files_with_holes_read_back);
	tcase_add_loop_test(tcase, a_source_that_changes_is_not_passed_off, 0, 3);
	tcase_add_test(tcase, an_observer_sees_it_all);
	tcase_add_test(tcase, an_observer_can_stop_it);
	return unit_run_case("emit", tcase, NULL, 0);
}
