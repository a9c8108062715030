/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sharing clusters that are the same: each content is stored as seldom as refcounts allow, the
 * checker agrees with every count and flag, and the image reads as the disk.
 */
#include <q2s/check.h>
#include <q2s/emit.h>

#include <zlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "files.h"
#include "geoms.h"

enum { CLUSTERS = 60, KINDS = 8 };

/* What a cluster of the disk is: @fill 0: absent. @parts: 32nd parts that are data, from its start. */
struct kind {
	uint8_t fill;
	uint8_t parts;
};

static const struct kind kinds[KINDS] = { { 1, 32 }, { 2, 32 }, { 1, 8 },  { 0, 0 },
					  { 3, 32 }, { 3, 8 },	{ 2, 32 }, { 4, 32 } };

struct made {
	struct q2s_geom geom;
	struct kind clusters[CLUSTERS];
	struct q2s_disk *disk;
};

/* A disk of CLUSTERS clusters; false where there is no such image, or it would be large. */
static bool
make(struct made *m, unsigned index, uint64_t *seed)
{
	struct q2s_geom_params params = geom_params(index, 0);
	struct q2s_pattern regions[CLUSTERS];
	size_t count = 0;

	if (params.cluster_bits > 15 || params.refcount_order == 0 || params.data_file)
		return false;
	params.size = (uint64_t)CLUSTERS << params.cluster_bits;
	if (q2s_geom_init(&params, &m->geom, NULL) != Q2S_OK)
		return false;
	for (uint64_t i = 0; i < CLUSTERS; i++) {
		const struct kind kind = kinds[unit_random(seed) % KINDS];

		m->clusters[i] = kind;
		if (kind.fill)
			regions[count++] = (struct q2s_pattern){
				.start = { i << m->geom.cluster_bits },
				.len = (uint64_t)m->geom.cluster_size / 32 * kind.parts,
				.state = Q2S_DATA,
				.fill = kind.fill,
			};
	}
	assert_ok(q2s_disk_pattern(params.size, regions, count, &m->disk, &diag));
	return true;
}

/* Scan, share, compress if @how, plan. */
static struct q2s_plan *
plan_of(struct q2s_disk *disk, const struct q2s_geom *geom, const struct q2s_share_options *options,
	const struct q2s_compression *how)
{
	const struct q2s_scan_options scan = { .size = sizeof(scan), .threads = 1 };
	const struct q2s_compress_options compress = { .size = sizeof(compress),
						       .how = { 0 }, .threads = 2 };
	const struct q2s_spec spec = { .geom = *geom };
	struct q2s_alloc *plain = NULL, *shared = NULL, *out = NULL;
	struct q2s_plan *plan = NULL;

	assert_ok(q2s_scan(disk, geom, &scan, &plain, &diag));
	assert_ok(q2s_share(disk, plain, options, &shared, &diag));
	q2s_alloc_free(plain);
	if (how) {
		assert_ok(q2s_compress(disk, shared, &compress, &out, &diag));
		q2s_alloc_free(shared);
		shared = out;
	}
	assert_ok(q2s_plan_new(&spec, shared, &plan, &diag));
	return plan;
}

static void
emit(const struct q2s_plan *plan, struct q2s_disk *disk, const struct q2s_compression *how)
{
	const struct q2s_emit_options options = { .size = sizeof(options), .until = Q2S_TO_END,
						  .how = how, .threads = 1 };
	struct q2s_sink *sink = NULL;

	assert_ok(q2s_sink_open(path_of("image"), Q2S_SINK_REPLACE, 0, &sink, &diag));
	assert_ok(q2s_emit(plan, disk, sink, &options, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
}

static void
assert_checks_clean(struct q2s_image *image)
{
	struct q2s_check_result result = { 0 };

	assert_ok(q2s_check(image, NULL, &result, &diag));
	ck_assert_uint_eq(result.corruptions, 0);
	ck_assert_uint_eq(result.leaks, 0);
	ck_assert_uint_eq(result.notes, 0);
	ck_assert_uint_eq(result.check_errors, 0);
}

/* Clusters with equal content lie in as few places as counts allow, and those with another do not. */
static void
assert_places(const struct made *m, struct q2s_image *image)
{
	const uint64_t most = m->geom.refcount_max < Q2S_SHARERS_MAX ? m->geom.refcount_max :
								       Q2S_SHARERS_MAX;
	const struct q2s_l1_table l1 = q2s_image_active_l1(image);
	uint64_t hosts[CLUSTERS];
	struct q2s_map *map = NULL;

	assert_ok(q2s_map_open(image, &l1, &map, &diag));
	for (uint64_t i = 0; i < CLUSTERS; i++) {
		struct q2s_run run;

		assert_ok(q2s_map_run(map, (q2s_guest){ i << m->geom.cluster_bits },
				      m->geom.sub_size, &run, &diag));
		ck_assert_int_eq(run.has_host, m->clusters[i].fill != 0);
		hosts[i] = run.host.v;
	}
	for (unsigned i = 0; i < CLUSTERS; i++) {
		unsigned alike = 0, places = 0;

		for (unsigned k = 0; m->clusters[i].fill && k < CLUSTERS; k++) {
			const bool same = m->clusters[k].fill == m->clusters[i].fill &&
					  m->clusters[k].parts == m->clusters[i].parts;
			unsigned first = 0;

			quick_assert(same || !m->clusters[k].fill || hosts[k] != hosts[i]);
			while (hosts[first] != hosts[k])
				first++;
			alike += same;
			places += same && first == k;
		}
		quick_assert(places == (alike + most - 1) / most);
	}
	q2s_map_close(map);
}

static void
assert_reads_as(const struct made *m, struct q2s_store *file)
{
	static uint8_t a[1 << 15], b[1 << 15];
	struct q2s_disk *image = NULL;
	struct q2s_cursor *of_disk = NULL, *of_image = NULL;

	assert_ok(q2s_disk_qcow2(file, NULL, &image, &diag));
	assert_ok(q2s_cursor_open(m->disk, &of_disk, &diag));
	assert_ok(q2s_cursor_open(image, &of_image, &diag));
	for (uint64_t i = 0; i < CLUSTERS; i++) {
		const q2s_guest at = { i << m->geom.cluster_bits };

		assert_ok(q2s_cursor_read(of_disk, at, a, m->geom.cluster_size, &diag));
		assert_ok(q2s_cursor_read(of_image, at, b, m->geom.cluster_size, &diag));
		quick_assert(memcmp(a, b, m->geom.cluster_size) == 0);
	}
	q2s_cursor_close(of_disk);
	q2s_cursor_close(of_image);
	q2s_disk_close(image);
}

static void
judge(const struct made *m)
{
	struct q2s_store *file = NULL;
	struct q2s_image *image = NULL;

	assert_ok(q2s_store_open(path_of("image"), &file, &diag));
	assert_ok(q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, &diag));
	assert_checks_clean(image);
	assert_places(m, image);
	q2s_image_close(image);
	assert_reads_as(m, file);
	q2s_store_unref(file);
}

START_TEST(each_content_is_stored_once)
{
	const struct q2s_compression zlib = { 0 };
	const struct q2s_compression *how = _i ? &zlib : NULL;
	uint64_t seed = 17;
	unsigned tried = 0;

	for (unsigned index = 0; index < GEOMS; index++) {
		struct made m;

		if (!make(&m, index, &seed))
			continue;
		struct q2s_plan *plan = plan_of(m.disk, &m.geom, NULL, how);

		emit(plan, m.disk, how);
		judge(&m);
		q2s_plan_free(plan);
		q2s_disk_close(m.disk);
		tried++;
	}
	ck_assert_uint_gt(tried, 50);
}
END_TEST

/* ---- what it does not depend on -------------------------------------------------------------- */

static size_t
keep(const struct q2s_plan *plan, struct q2s_disk *disk, uint8_t *raw, size_t cap)
{
	const struct q2s_plan_note note = { 0 };
	const struct q2s_plan_look look = Q2S_PLAN_LOOK_INIT;
	struct q2s_sink *sink = NULL;

	assert_ok(q2s_sink_open(path_of("plan"), Q2S_SINK_REPLACE, 0, &sink, &diag));
	assert_ok(q2s_plan_save(plan, &note, disk, &look, sink, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	return get_file(path_of("plan"), raw, cap);
}

static enum q2s_err
load(struct q2s_disk *disk, struct q2s_plan **out)
{
	struct q2s_plan_note note;
	struct q2s_store *file = NULL;

	assert_ok(q2s_store_open(path_of("plan"), &file, &diag));
	const enum q2s_err err = q2s_plan_load(file, disk, out, &note, NULL);

	q2s_store_unref(file);
	return err;
}

START_TEST(threads_make_no_difference)
{
	static uint8_t one[1 << 16], many[1 << 16];
	const struct q2s_share_options alone = { .size = sizeof(alone), .threads = 1 },
				       crowd = { .size = sizeof(crowd), .threads = 9 };
	const struct q2s_geom geom = geom_v3(9, false, false);
	struct q2s_pattern regions[1000];
	struct q2s_disk *disk = NULL;
	uint64_t seed = 3;
	struct q2s_plan *plan;

	for (uint64_t i = 0; i < COUNT(regions); i++)
		regions[i] = (struct q2s_pattern){ .start = { i * 1024 }, .len = 512 + i % 513,
						   .state = Q2S_DATA,
						   .fill = (uint8_t)(1 + unit_random(&seed) % 250) };
	assert_ok(q2s_disk_pattern(geom.size, regions, COUNT(regions), &disk, &diag));
	plan = plan_of(disk, &geom, &alone, NULL);
	const size_t len = keep(plan, disk, one, sizeof(one));

	q2s_plan_free(plan);
	for (unsigned i = 0; i < 5; i++) {
		plan = plan_of(disk, &geom, &crowd, NULL);
		ck_assert_uint_eq(keep(plan, disk, many, sizeof(many)), len);
		ck_assert(memcmp(one, many, len) == 0);
		q2s_plan_free(plan);
	}
	q2s_disk_close(disk);
}
END_TEST

/* With a checksum that fits: what remains is up to the decoder. */
static void
put_plan(const char *path, uint8_t *raw, size_t len)
{
	q2si_put_be32(raw + len - 4, (uint32_t)crc32_z(0, raw, len - 4));
	put_file(path, raw, len);
}

/* A kept plan with compressed clusters gives the same image; a damaged one never harms. */
START_TEST(a_kept_plan_knows_who_shares)
{
	static uint8_t raw[1 << 16], image[1 << 20], again[1 << 20];
	static const uint8_t values[] = { 0, 1, 2, 0x07, 0x0f, 0x7f, 0x80, 0xff };
	const struct q2s_compression zlib = { 0 };
	uint64_t seed = 4;
	struct q2s_plan *plan;
	unsigned index = 0;
	struct made m;

	while (!make(&m, index, &seed))
		index++;
	plan = plan_of(m.disk, &m.geom, NULL, &zlib);
	const size_t len = keep(plan, m.disk, raw, sizeof(raw));

	emit(plan, m.disk, &zlib);
	const size_t size = get_file(path_of("image"), image, sizeof(image));

	q2s_plan_free(plan);
	ck_assert_int_eq(load(m.disk, &plan), Q2S_OK);
	emit(plan, m.disk, &zlib);
	ck_assert_uint_eq(get_file(path_of("image"), again, sizeof(again)), size);
	ck_assert(memcmp(image, again, size) == 0);
	q2s_plan_free(plan);
	for (size_t i = 24; i < len - 4; i++) {
		for (size_t k = 0; k < COUNT(values); k++) {
			const uint8_t was = raw[i];

			raw[i] = values[k];
			put_plan(path_of("plan"), raw, len);
			if (load(m.disk, &plan) == Q2S_OK) {
				struct q2s_pieces *pieces = NULL;
				const uint64_t data = q2s_plan_layout(plan)->data.v;

				/* what was let in must hold for those who make bytes of it */
				if (data <= sizeof(again)) {
					assert_ok(q2s_pieces_open(plan, (q2s_host){ 0 }, false, &pieces,
								  &diag));
					(void)q2s_pieces_metadata(pieces, (q2s_host){ 0 }, again,
								  data, NULL);
				}
				q2s_pieces_close(pieces);
				q2s_plan_free(plan);
			}
			raw[i] = was;
		}
	}
	q2s_disk_close(m.disk);
}
END_TEST

/* ---- limits ---------------------------------------------------------------------------------- */

static uint64_t
length_with(struct q2s_disk *disk, const struct q2s_geom *geom, uint32_t candidates)
{
	const struct q2s_share_options options = { .size = sizeof(options),
						   .candidates = candidates };
	struct q2s_plan *plan = plan_of(disk, geom, &options, NULL);
	const uint64_t clusters = q2s_plan_layout(plan)->data_clusters;

	q2s_plan_free(plan);
	return clusters;
}

/* Only the first so many different clusters are known; the others are stored as often as they come. */
START_TEST(memory_is_bounded)
{
	const struct q2s_geom geom = geom_v3(12, false, false);
	struct q2s_pattern regions[100];
	struct q2s_disk *disk = NULL;

	for (uint64_t i = 0; i < COUNT(regions); i++)
		regions[i] = (struct q2s_pattern){ .start = { i << 12 }, .len = 1 << 12,
						   .state = Q2S_DATA,
						   .fill = (uint8_t)(1 + i % 10) };
	assert_ok(q2s_disk_pattern(geom.size, regions, COUNT(regions), &disk, &diag));
	for (uint32_t max = 1; max <= 10; max++)
		ck_assert_uint_eq(length_with(disk, &geom, max), max + 10 * (10 - max));
	ck_assert_uint_eq(length_with(disk, &geom, 0), 10);
	q2s_disk_close(disk);
}
END_TEST

static void
numbered_block(uint64_t number, uint8_t *block)
{
	for (size_t i = 0; i < 512; i++)
		block[i] = (uint8_t)(number >> i % 8 * 8) ^ (uint8_t)(i + 1);
}

struct tagged {
	uint32_t tag;
	uint32_t number;
};

static int
by_tag(const void *a, const void *b)
{
	const struct tagged *x = a, *y = b;

	return (x->tag > y->tag) - (x->tag < y->tag);
}

/* Two blocks that differ, with the same tag, by trying many. */
static void
find_collision(uint8_t *a, uint8_t *b)
{
	enum { TRIES = 400000 };
	struct tagged *all = calloc(TRIES, sizeof(*all));
	size_t i = 1;

	for (uint32_t k = 0; k < TRIES; k++) {
		numbered_block(k, a);
		all[k] = (struct tagged){ (uint32_t)(q2si_hash(a, 512, 1) >> 32), k };
	}
	qsort(all, TRIES, sizeof(*all), by_tag);
	while (i < TRIES && all[i].tag != all[i - 1].tag)
		i++;
	ck_assert_uint_lt(i, TRIES);
	numbered_block(all[i - 1].number, a);
	numbered_block(all[i].number, b);
	free(all);
}

/* Bytes decide: what only a hash calls the same is not shared. */
START_TEST(a_hash_alone_proves_nothing)
{
	static const char order[] = "abbaabab";
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = 9,
						.refcount_order = 4, .size = 8 * 512 };
	uint8_t a[512], b[512], raw[8 * 512];
	struct q2s_geom geom;
	struct q2s_store *file = NULL;
	struct made m = { 0 };
	struct q2s_plan *plan;

	find_collision(a, b);
	ck_assert(memcmp(a, b, 512) != 0);
	for (size_t i = 0; i < 8; i++)
		memcpy(raw + i * 512, order[i] == 'a' ? a : b, 512);
	put_file(path_of("raw"), raw, sizeof(raw));
	assert_ok(q2s_geom_init(&params, &geom, &diag));
	assert_ok(q2s_store_open(path_of("raw"), &file, &diag));
	assert_ok(q2s_disk_raw(file, &m.disk, &diag));
	plan = plan_of(m.disk, &geom, NULL, NULL);
	ck_assert_uint_eq(q2s_plan_layout(plan)->data_clusters, 2);
	emit(plan, m.disk, NULL);
	q2s_plan_free(plan);
	q2s_store_unref(file);
	assert_ok(q2s_store_open(path_of("image"), &file, &diag));
	struct q2s_disk *image = NULL;
	struct q2s_cursor *cursor = NULL;
	uint8_t got[8 * 512];

	assert_ok(q2s_disk_qcow2(file, NULL, &image, &diag));
	assert_ok(q2s_cursor_open(image, &cursor, &diag));
	assert_ok(q2s_cursor_read(cursor, (q2s_guest){ 0 }, got, sizeof(got), &diag));
	ck_assert(memcmp(got, raw, sizeof(raw)) == 0);
	q2s_cursor_close(cursor);
	q2s_disk_close(image);
	q2s_disk_close(m.disk);
	q2s_store_unref(file);
}
END_TEST

/* ---- what cannot be -------------------------------------------------------------------------- */

static void
assert_not_shared(enum q2s_err want, const struct q2s_geom_params *params,
		  const struct q2s_slot *slot)
{
	struct q2s_alloc *alloc = NULL, *out = NULL;
	struct q2s_disk *disk = NULL;
	struct q2s_geom geom;

	assert_ok(q2s_geom_init(params, &geom, &diag));
	assert_ok(q2s_disk_empty(geom.size, &disk, &diag));
	assert_ok(q2s_alloc_new(&geom, &alloc, &diag));
	assert_ok(q2s_alloc_add(alloc, slot, 1, &diag));
	ck_assert_int_eq(q2s_share(disk, alloc, NULL, &out, NULL), want);
	ck_assert_ptr_null(out);
	q2s_alloc_free(alloc);
	q2s_disk_close(disk);
}

START_TEST(what_cannot_share_is_refused)
{
	const struct q2s_slot data = { .host = true, .alloc = 1 }, small = { .comp_bytes = 9 };
	struct q2s_geom_params params = { .version = 3, .cluster_bits = 16, .refcount_order = 4,
					  .size = 1 << 20 };

	assert_not_shared(Q2S_E_USAGE, &params, &small);
	params.refcount_order = 0;
	assert_not_shared(Q2S_E_CONFLICT, &params, &data);
	params.refcount_order = 4;
	params.data_file = true;
	assert_not_shared(Q2S_E_CONFLICT, &params, &data);
}
END_TEST

static bool
stop(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	ck_assert_int_eq(phase, Q2S_PHASE_SHARE);
	ck_assert_uint_le(done, total);
	return ++*(unsigned *)opaque < 2;
}

START_TEST(it_can_be_stopped)
{
	unsigned calls = 0;
	const struct q2s_observer observer = { .step = stop, .opaque = &calls };
	const struct q2s_share_options options = { .size = sizeof(options),
						   .threads = 1, .observer = &observer };
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = 16,
						.refcount_order = 4, .size = 16 << 20 };
	const struct q2s_pattern all = { .len = 16 << 20, .state = Q2S_DATA, .fill = 1 };
	const struct q2s_slot data = { .host = true, .alloc = 1 };
	struct q2s_alloc *alloc = NULL, *out = NULL;
	struct q2s_disk *disk = NULL;
	struct q2s_geom geom;

	assert_ok(q2s_geom_init(&params, &geom, &diag));
	assert_ok(q2s_disk_pattern(geom.size, &all, 1, &disk, &diag));
	assert_ok(q2s_alloc_new(&geom, &alloc, &diag));
	assert_ok(q2s_alloc_add(alloc, &data, geom.clusters, &diag));
	ck_assert_int_eq(q2s_share(disk, alloc, &options, &out, NULL), Q2S_E_CANCELLED);
	ck_assert_uint_eq(calls, 2);
	q2s_alloc_free(alloc);
	q2s_disk_close(disk);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("share");

	tcase_add_checked_fixture(tcase, files_setup, files_teardown);
	tcase_add_loop_test(tcase, each_content_is_stored_once, 0, 2);
	tcase_add_test(tcase, threads_make_no_difference);
	tcase_add_test(tcase, a_kept_plan_knows_who_shares);
	tcase_add_test(tcase, memory_is_bounded);
	tcase_add_test(tcase, a_hash_alone_proves_nothing);
	tcase_add_test(tcase, what_cannot_share_is_refused);
	tcase_add_test(tcase, it_can_be_stopped);
	return unit_run_case("share", tcase, NULL, 0);
}
