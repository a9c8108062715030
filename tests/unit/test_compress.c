/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compression of chosen clusters: those, no others, and the disk reads back the same. */
#include <q2s/emit.h>

#include "files.h"
#include "geoms.h"

static const uint32_t kinds[] = { 12, 14 | 1u << 8 }; /* cluster bits; extended L2 */

/* Every third cluster, of those that have data. */
static bool
choose(void *opaque, uint64_t cluster)
{
	const struct q2s_geom *geom = opaque;

	ck_assert_uint_lt(cluster, geom->clusters);
	return cluster % 3 == 0;
}

/* Data everywhere but in the second quarter, which is zero. */
static struct q2s_alloc *
plain_alloc(const struct q2s_geom *geom)
{
	const struct q2s_slot data = { .host = true, .alloc = geom->sub_mask };
	const struct q2s_slot zero = { .zero = geom->sub_mask };
	struct q2s_alloc *alloc = NULL;

	assert_ok(q2s_alloc_new(geom, &alloc, &diag));
	assert_ok(q2s_alloc_add(alloc, &data, geom->clusters / 4, &diag));
	assert_ok(q2s_alloc_add(alloc, &zero, geom->clusters / 4, &diag));
	assert_ok(q2s_alloc_add(alloc, &data, geom->clusters / 2, &diag));
	return alloc;
}

static void
write_image(const struct q2s_geom *geom, struct q2s_disk *disk, struct q2s_alloc *alloc,
	    struct q2s_spool *spool)
{
	const struct q2s_spec spec = { .geom = *geom };
	const struct q2s_emit_options options = { .size = sizeof(options), .until = Q2S_TO_END,
						  .spool = spool };
	struct q2s_plan *plan = NULL;
	struct q2s_sink *sink = NULL;

	assert_ok(q2s_plan_new(&spec, alloc, &plan, &diag));
	assert_ok(q2s_sink_open(path_of("image"), 0, 0, &sink, &diag));
	assert_ok(q2s_emit(plan, disk, sink, &options, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	q2s_plan_free(plan);
}

static void
assert_mapping(const struct q2s_geom *geom)
{
	struct q2s_store *file = NULL;
	struct q2s_image *image = NULL;
	struct q2s_map *map = NULL;

	assert_ok(q2s_store_open(path_of("image"), &file, &diag));
	assert_ok(q2s_image_open(file, 0, &image, &diag));
	const struct q2s_l1_table l1 = q2s_image_active_l1(image);

	assert_ok(q2s_map_open(image, &l1, &map, &diag));
	for (uint64_t c = 0; c < geom->clusters; c++) {
		const bool zero = c >= geom->clusters / 4 && c < geom->clusters / 2;
		struct q2s_run run;

		assert_ok(q2s_map_run(map, (q2s_guest){ c << geom->cluster_bits },
				      geom->cluster_size, &run, &diag));
		ck_assert_int_eq(run.state, zero ? Q2S_ZERO : Q2S_DATA);
		ck_assert_int_eq(run.compressed, !zero && c % 3 == 0);
	}
	q2s_map_close(map);
	q2s_image_close(image);
	q2s_store_unref(file);
}

static void
assert_reads_as(struct q2s_disk *want, uint64_t from, uint64_t until)
{
	static uint8_t a[1 << 16], b[1 << 16];
	const struct q2s_disk_qcow2_options options = { .size = sizeof(options) };
	struct q2s_store *file = NULL;
	struct q2s_disk *image = NULL;
	struct q2s_cursor *of_want = NULL, *of_image = NULL;

	assert_ok(q2s_store_open(path_of("image"), &file, &diag));
	assert_ok(q2s_disk_qcow2(file, &options, &image, &diag));
	assert_ok(q2s_cursor_open(want, &of_want, &diag));
	assert_ok(q2s_cursor_open(image, &of_image, &diag));
	for (uint64_t at = from; at < until; at += sizeof(a)) {
		assert_ok(q2s_cursor_read(of_want, (q2s_guest){ at }, a, sizeof(a), &diag));
		assert_ok(q2s_cursor_read(of_image, (q2s_guest){ at }, b, sizeof(b), &diag));
		ck_assert(memcmp(a, b, sizeof(a)) == 0);
	}
	q2s_cursor_close(of_want);
	q2s_cursor_close(of_image);
	q2s_disk_close(image);
	q2s_store_unref(file);
}

START_TEST(only_what_is_wanted_is_compressed)
{
	struct q2s_geom geom = geom_v3(kinds[_i] & 0xff, kinds[_i] >> 8, false);
	const struct q2s_pattern all = { .len = geom.size, .state = Q2S_DATA, .seeded = true,
					 .half = geom.cluster_size };
	struct q2s_compress_options how = { .size = sizeof(how),
					    .threads = 2, .wanted = choose, .opaque = &geom };
	struct q2s_alloc *plain = plain_alloc(&geom), *alloc = NULL;
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_disk_pattern(geom.size, &all, 1, &disk, &diag));
	assert_ok(q2s_spool_new(NULL, 1 << 20, &how.spool, &diag));
	assert_ok(q2s_compress(disk, plain, &how, &alloc, &diag));
	write_image(&geom, disk, alloc, how.spool);
	assert_mapping(&geom);
	assert_reads_as(disk, 0, geom.size / 4);
	assert_reads_as(disk, geom.size / 2, geom.size);
	q2s_spool_free(how.spool);
	q2s_alloc_free(plain);
	q2s_disk_close(disk);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("compress");

	tcase_add_checked_fixture(tcase, files_setup, files_teardown);
	tcase_add_loop_test(tcase, only_what_is_wanted_is_compressed, 0, COUNT(kinds));
	return unit_run_case("compress", tcase, NULL, 0);
}
