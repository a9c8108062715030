/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kept plan gives the same image; a damaged one is refused, or at least harms nobody. */
#include <q2s/plan.h>

#include <zlib.h>

#include "base/bytes.h"
#include "files.h"
#include "geoms.h"
#include "slots.h"

#define PLAN_MAX 65536u

static struct q2s_disk *
empty_disk(uint64_t size)
{
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_disk_empty(size, &disk, &diag));
	return disk;
}

static struct q2s_plan *
random_plan(const struct q2s_geom *geom, uint64_t *seed)
{
	struct q2s_spec spec = { .geom = *geom };
	struct q2s_alloc *alloc = NULL;
	struct q2s_plan *plan = NULL;

	/* some with a mark, and some of these with a parent */
	spec.mark.id.bytes[3] = geom->cluster_bits > 11;
	spec.mark.parent.bytes[7] = geom->cluster_bits > 11 && geom->extended;
	assert_ok(q2s_alloc_new(geom, &alloc, &diag));
	for (uint64_t done = 0; done < geom->clusters;) {
		const struct q2s_slot slot = random_slot(geom, true, seed);
		const uint64_t left = geom->clusters - done;
		const uint64_t n = unit_random(seed) % 40 + 1;

		assert_ok(q2s_alloc_add(alloc, &slot, n < left ? n : left, &diag));
		done += n < left ? n : left;
	}
	assert_ok(q2s_plan_new(&spec, alloc, &plan, &diag));
	return plan;
}

static size_t
save(const struct q2s_plan *plan, struct q2s_disk *disk, uint8_t *raw)
{
	const struct q2s_plan_note note = { .compressed = true, .level = -5, .encoder = "zlib 1" };
	const uint64_t size = q2s_disk_size(disk);
	const struct q2s_pattern dirty[] = {
		{ .start = { 0 }, .len = size / 5, .state = Q2S_DATA },
		{ .start = { size / 3 }, .len = size / 4, .state = Q2S_ZERO },
	};
	struct q2s_plan_look look = Q2S_PLAN_LOOK_INIT;
	struct q2s_sink *sink = NULL;

	assert_ok(q2s_disk_pattern(size, dirty, COUNT(dirty), &look.scope, &diag));

	assert_ok(q2s_sink_open(path_of("plan"), Q2S_SINK_REPLACE, 0, &sink, &diag));
	assert_ok(q2s_plan_save(plan, &note, disk, &look, sink, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	q2s_disk_close(look.scope);
	return get_file(path_of("plan"), raw, PLAN_MAX);
}

static enum q2s_err
load(struct q2s_disk *disk, struct q2s_plan **out, struct q2s_plan_note *note)
{
	struct q2s_store *file = NULL;
	struct q2s_diag diag = { 0 };

	ck_assert_int_eq(q2s_store_open(path_of("plan"), &file, &diag), Q2S_OK);
	const enum q2s_err err = q2s_plan_load(file, disk, out, note, &diag);

	q2s_store_unref(file);
	return err;
}

/* The same pieces, and the same metadata. */
static void
assert_same_plan(const struct q2s_plan *a, const struct q2s_plan *b)
{
	const uint64_t len = q2s_plan_layout(a)->data.v;
	uint8_t *of_a = malloc(len), *of_b = malloc(len);
	struct q2s_pieces *pa = NULL, *pb = NULL;
	struct q2s_piece x = { .len = 1 }, y;

	ck_assert_uint_eq(q2s_plan_layout(a)->length, q2s_plan_layout(b)->length);
	assert_ok(q2s_pieces_open(a, (q2s_host){ 0 }, false, &pa, &diag));
	assert_ok(q2s_pieces_open(b, (q2s_host){ 0 }, false, &pb, &diag));
	assert_ok(q2s_pieces_metadata(pa, (q2s_host){ 0 }, of_a, len, &diag));
	assert_ok(q2s_pieces_metadata(pb, (q2s_host){ 0 }, of_b, len, &diag));
	ck_assert(memcmp(of_a, of_b, len) == 0);
	while (x.len > 0) {
		assert_ok(q2s_pieces_next(pa, &x, &diag));
		assert_ok(q2s_pieces_next(pb, &y, &diag));
		quick_assert(x.kind == y.kind && x.at.v == y.at.v && x.len == y.len &&
			     x.guest.v == y.guest.v && x.stream == y.stream);
	}
	q2s_pieces_close(pa);
	q2s_pieces_close(pb);
	free(of_a);
	free(of_b);
}

START_TEST(what_is_kept_comes_back)
{
	static uint8_t raw[PLAN_MAX];
	uint64_t seed = 5;

	for (unsigned i = 0; i < 6; i++) {
		struct q2s_geom geom = geom_v3(i % 2 ? 14 : 9 + i, i % 2, false);
		struct q2s_disk *disk = empty_disk(geom.size);
		struct q2s_plan *plan = random_plan(&geom, &seed), *again = NULL;
		struct q2s_plan_note note;

		(void)save(plan, disk, raw);
		ck_assert_int_eq(load(disk, &again, &note), Q2S_OK);
		ck_assert(note.compressed && note.level == -5);
		ck_assert_str_eq(note.encoder, "zlib 1");
		assert_same_plan(plan, again);
		q2s_plan_free(plan);
		q2s_plan_free(again);
		q2s_disk_close(disk);
	}
}
END_TEST

/* Put bytes in place with a checksum that fits them: what remains is up to the decoder. */
static void
put_plan(uint8_t *raw, size_t len)
{
	q2si_put_be32(raw + len - 4, (uint32_t)crc32_z(0, raw, len - 4));
	put_file(path_of("plan"), raw, len);
}

START_TEST(every_byte_may_be_wrong)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x1f, 0x7f, 0x80, 0xf8, 0xff };
	static uint8_t raw[PLAN_MAX];
	struct q2s_geom geom = geom_v3(16, true, false);
	struct q2s_disk *disk = empty_disk(geom.size);
	uint64_t seed = 9;
	struct q2s_plan *plan = random_plan(&geom, &seed);
	const size_t len = save(plan, disk, raw);

	q2s_plan_free(plan);
	for (size_t i = 0; i < len - 4; i++) {
		for (size_t k = 0; k < COUNT(values); k++) {
			const uint8_t was = raw[i];
			struct q2s_plan_note note;

			raw[i] = values[k];
			plan = NULL;
			put_plan(raw, len);
			if (load(disk, &plan, &note) == Q2S_OK)
				q2s_plan_free(plan);
			raw[i] = was;
		}
	}
	q2s_disk_close(disk);
}
END_TEST

START_TEST(each_kind_of_damage_has_its_code)
{
	static uint8_t raw[PLAN_MAX];
	struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_disk *disk = empty_disk(geom.size), *other = empty_disk(geom.size - 512);
	uint64_t seed = 3;
	struct q2s_plan *plan = random_plan(&geom, &seed), *again = NULL;
	const size_t len = save(plan, disk, raw);
	struct q2s_plan_note note;

	ck_assert_int_eq(load(other, &again, &note), Q2S_E_CHANGED);
	raw[30] ^= 1;
	put_file(path_of("plan"), raw, len);
	ck_assert_int_eq(load(disk, &again, &note), Q2S_E_DATA);
	raw[30] ^= 1;
	put_file(path_of("plan"), raw, len - 1);
	ck_assert_int_eq(load(disk, &again, &note), Q2S_E_DATA);
	raw[11]++;
	put_plan(raw, len);
	ck_assert_int_eq(load(disk, &again, &note), Q2S_E_UNSUPPORTED);
	raw[0] = 'Q';
	put_plan(raw, len);
	ck_assert_int_eq(load(disk, &again, &note), Q2S_E_MAGIC);
	q2s_plan_free(plan);
	q2s_disk_close(disk);
	q2s_disk_close(other);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("plan_file");

	tcase_add_checked_fixture(tcase, files_setup, files_teardown);
	tcase_add_test(tcase, what_is_kept_comes_back);
	tcase_add_test(tcase, every_byte_may_be_wrong);
	tcase_add_test(tcase, each_kind_of_damage_has_its_code);
	return unit_run_case("plan_file", tcase, NULL, 0);
}
