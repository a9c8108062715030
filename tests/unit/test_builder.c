/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The builder: the bytes of the steps done by hand, in one piece or in parts, to any sink. */
#include <q2s/builder.h>

#include "files.h"
#include "geoms.h"

#define SIZE (8u << 20)

/* Data that compresses, the same data again, random data, and nothing. */
static const struct q2s_pattern regions[] = {
	{ .start = { 0 }, .len = 1 << 20, .state = Q2S_DATA, .fill = 7 },
	{ .start = { 2 << 20 }, .len = 300000, .state = Q2S_DATA, .seeded = true, .seed = 1 },
	{ .start = { 4 << 20 }, .len = 1 << 20, .state = Q2S_DATA, .seeded = true, .seed = 5,
	  .half = 65536 },
};

static struct q2s_disk *
make_disk(size_t count)
{
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_disk_pattern(SIZE, regions, count, &disk, &diag));
	return disk;
}

/* A sink's bytes, by way of a file. */
struct bytes {
	uint8_t *at;
	size_t len;
};

static struct bytes
take_file(const char *path)
{
	struct bytes out = { 0 };
	struct q2s_store *file = NULL;

	assert_ok(q2s_store_open(path, &file, &diag));
	out.len = (size_t)q2s_store_size(file);
	out.at = malloc(out.len + 1);
	assert_ok(q2s_store_read(file, 0, out.at, out.len, &diag));
	q2s_store_unref(file);
	ck_assert_int_eq(unlink(path), 0);
	return out;
}

static void
assert_same(struct bytes a, struct bytes b)
{
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_mem_eq(a.at, b.at, a.len);
	free(a.at);
	free(b.at);
}

static struct bytes
commit(struct q2s_disk *disk, const struct q2s_builder_options *options)
{
	struct q2s_builder *builder = NULL;

	assert_ok(q2s_builder_new(disk, options, &builder, &diag));
	assert_ok(q2s_builder_commit(builder, path_of("built"), 0, &diag));
	q2s_builder_free(builder);
	return take_file(path_of("built"));
}

/* Scan, share, compress, plan and emit, one after the other. */
static struct bytes
by_hand(struct q2s_disk *disk, const struct q2s_spec *spec, bool dedup,
	const struct q2s_compression *how)
{
	const struct q2s_scan_options scan = { .size = sizeof(scan), .read_again = true };
	struct q2s_compress_options compress = { .size = sizeof(compress) };
	struct q2s_emit_options emit = { .size = sizeof(emit), .until = Q2S_TO_END,
					 .how = how };
	struct q2s_alloc *alloc = NULL, *made = NULL;
	struct q2s_plan *plan = NULL;
	struct q2s_sink *sink = NULL;

	assert_ok(q2s_scan(disk, &spec->geom, &scan, &alloc, &diag));
	if (dedup) {
		assert_ok(q2s_share(disk, alloc, NULL, &made, &diag));
		q2s_alloc_free(alloc);
		alloc = made;
	}
	if (how) {
		compress.how = *how;
		assert_ok(q2s_compress(disk, alloc, &compress, &made, &diag));
		q2s_alloc_free(alloc);
		alloc = made;
	}
	assert_ok(q2s_plan_new(spec, alloc, &plan, &diag));
	assert_ok(q2s_sink_open(path_of("hand"), 0, 0, &sink, &diag));
	assert_ok(q2s_emit(plan, disk, sink, &emit, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	q2s_plan_free(plan);
	return take_file(path_of("hand"));
}

START_TEST(bytes_are_those_of_the_steps)
{
	const struct q2s_compression zstd = { .type = Q2S_COMPRESSION_ZSTD };
	struct q2s_disk *disk = make_disk(COUNT(regions));

	for (unsigned kind = 0; kind < 4; kind++) {
		struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
		struct q2s_spec spec;

		assert_ok(q2s_spec_init(&spec, SIZE, &diag));
		options.dedup = kind & 1;
		options.compression = kind & 2 ? &zstd : NULL;
		spec.compression_type = kind & 2 ? zstd.type : Q2S_COMPRESSION_ZLIB;
		assert_same(commit(disk, &options),
			    by_hand(disk, &spec, options.dedup, options.compression));
	}
	assert_same(commit(disk, NULL), commit(disk, &(struct q2s_builder_options)
						     Q2S_BUILDER_OPTIONS_INIT));
	q2s_disk_close(disk);
}
END_TEST

/* Any cut of the image, and an empty part of it, by a spool or without one. */
START_TEST(parts_make_the_whole)
{
	const struct q2s_compression zlib = { .type = Q2S_COMPRESSION_ZLIB };
	struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_disk *disk = make_disk(COUNT(regions));
	struct bytes whole;

	options.compression = &zlib;
	whole = commit(disk, &options);
	for (unsigned spool = 0; spool < 2; spool++) {
		const uint64_t cuts[] = { 0, 0, 1, 65536, 100001, 700000, Q2S_TO_END, Q2S_TO_END };
		struct q2s_builder *builder = NULL;
		struct q2s_sink *sink = NULL;
		struct bytes parts;

		options.no_spool = spool == 0;
		options.part_only = true;
		assert_ok(q2s_builder_new(disk, &options, &builder, &diag));
		ck_assert_uint_eq(q2s_builder_measure(builder)->length, whole.len);
		assert_ok(q2s_sink_open(path_of("parts"), 0, 0, &sink, &diag));
		for (size_t i = 0; i + 1 < COUNT(cuts); i++) {
			const uint64_t from = cuts[i] == Q2S_TO_END ? whole.len : cuts[i];

			assert_ok(q2s_builder_emit(builder, sink, from, cuts[i + 1], &diag));
		}
		ck_assert_int_eq(q2s_builder_emit(builder, sink, 1, whole.len + 1, NULL),
				 Q2S_E_USAGE);
		ck_assert_int_eq(q2s_builder_emit(builder, sink, 2, 1, NULL), Q2S_E_USAGE);
		assert_ok(q2s_sink_commit(sink, &diag));
		q2s_builder_free(builder);
		parts = take_file(path_of("parts"));
		ck_assert_uint_eq(parts.len, whole.len);
		ck_assert_mem_eq(parts.at, whole.at, whole.len);
		free(parts.at);
	}
	free(whole.at);
	q2s_disk_close(disk);
}
END_TEST

/* What does not differ is left out, also for zeros that hide data below. */
START_TEST(a_base_is_left_out)
{
	struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_disk *base = make_disk(2), *disk = make_disk(COUNT(regions));
	struct q2s_builder *builder = NULL;
	uint64_t alone, over;

	assert_ok(q2s_builder_new(disk, NULL, &builder, &diag));
	alone = q2s_plan_layout(q2s_builder_plan(builder))->data_clusters;
	q2s_builder_free(builder);
	options.base = base;
	assert_ok(q2s_builder_new(disk, &options, &builder, &diag));
	q2s_disk_close(base); /* the builder has its own reference */
	over = q2s_plan_layout(q2s_builder_plan(builder))->data_clusters;
	q2s_builder_free(builder);
	ck_assert_uint_eq(alone, 16 + 5 + 16);
	ck_assert_uint_eq(over, 16);
	/* only where it changed: nowhere */
	options.base = NULL;
	assert_ok(q2s_disk_empty(SIZE, &options.changed, &diag));
	assert_ok(q2s_builder_new(disk, &options, &builder, &diag));
	ck_assert_uint_eq(q2s_plan_layout(q2s_builder_plan(builder))->data_clusters, 0);
	q2s_builder_free(builder);
	q2s_disk_close(options.changed);
	q2s_disk_close(disk);
}
END_TEST

START_TEST(a_raw_image_has_the_size_that_is_asked_for)
{
	struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_disk *disk = make_disk(COUNT(regions));
	struct q2s_builder *builder = NULL;
	struct bytes bytes;

	options.raw = true;
	options.raw_size = SIZE + 100;
	bytes = commit(disk, &options);
	ck_assert_uint_eq(bytes.len, SIZE + 512);
	ck_assert_uint_eq(bytes.at[0], 7);
	free(bytes.at);
	options.raw_size = SIZE - 1;
	ck_assert_int_eq(q2s_builder_new(disk, &options, &builder, NULL), Q2S_E_USAGE);
	q2s_disk_close(disk);
}
END_TEST

/* The last cluster, and no other; nothing is read to find out. */
static enum q2s_err
allocate_last(void *opaque, struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = opaque;
	const struct q2s_slot none = { 0 }, data = { .host = true, .alloc = 1 };
	const enum q2s_err err = q2s_alloc_add(alloc, &none, geom->clusters - 1, diag);

	return err == Q2S_OK ? q2s_alloc_add(alloc, &data, 1, diag) : err;
}

START_TEST(a_caller_may_say_what_is_allocated)
{
	struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_disk *disk = make_disk(COUNT(regions));
	struct q2s_builder *builder = NULL;
	struct q2s_spec spec;

	assert_ok(q2s_spec_init(&spec, SIZE, &diag));
	options.spec = &spec;
	options.allocate = allocate_last;
	options.opaque = &spec.geom;
	assert_ok(q2s_builder_new(disk, &options, &builder, &diag));
	ck_assert_uint_eq(q2s_plan_layout(q2s_builder_plan(builder))->data_clusters, 1);
	q2s_builder_free(builder);
	q2s_disk_close(disk);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_disk *disk = make_disk(COUNT(regions));
	struct q2s_builder *builder = NULL;
	struct q2s_spec spec;

	options.measure_only = true;
	assert_ok(q2s_builder_new(disk, &options, &builder, &diag));
	ck_assert_int_eq(q2s_builder_commit(builder, path_of("none"), 0, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(access(path_of("none"), F_OK), -1);
	q2s_builder_free(builder);

	assert_ok(q2s_spec_init(&spec, SIZE / 2, &diag));
	options.spec = &spec;
	ck_assert_int_eq(q2s_builder_new(disk, &options, &builder, NULL), Q2S_E_USAGE);
	options.spec = NULL;
	options.size = 0;
	ck_assert_int_eq(q2s_builder_new(disk, &options, &builder, NULL), Q2S_E_USAGE);
	options.size = sizeof(options) + 1;
	ck_assert_int_eq(q2s_builder_new(disk, &options, &builder, NULL), Q2S_E_USAGE);
	q2s_disk_close(disk);
}
END_TEST

/* A program that was compiled when there were fewer options gets the defaults of the others. */
START_TEST(shorter_options_are_older_ones)
{
	struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_disk *disk = make_disk(COUNT(regions));

	options.size = offsetof(struct q2s_builder_options, raw);
	options.raw = true; /* beyond what it says that it has */
	assert_same(commit(disk, &options), commit(disk, NULL));
	q2s_disk_close(disk);
}
END_TEST

FILES_MAIN("builder", bytes_are_those_of_the_steps, parts_make_the_whole, a_base_is_left_out,
	  a_raw_image_has_the_size_that_is_asked_for, a_caller_may_say_what_is_allocated,
	  what_cannot_be_is_refused, shorter_options_are_older_ones)
