/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images in memory that tests of the write engine change, beside what they have to show. */
#ifndef Q2S_TESTS_EDITED_H
#define Q2S_TESTS_EDITED_H

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <q2s/check.h>
#include <q2s/edit.h>
#include <q2s/emit.h>

#include "base/arith.h"
#include "slots.h"
#include "unit.h"

/** How the image is filled at first. */
enum filled {
	FILLED_NOT,      /* empty */
	FILLED_MIXED,    /* every state that a cluster may have, without compression */
	FILLED_SHARED,   /* data, in part the same, which shares host clusters */
	FILLED_ZLIB,     /* compressed data */
	FILLED_ZSTD,
};

struct kind {
	const char *name;
	uint32_t version, cluster_bits, refcount_order;
	bool extended;
	enum filled filled;
	uint64_t size;      /* of the disk */
	uint64_t base_size; /* 0: no base */
	bool data_file, raw;
	bool luks;
	size_t cache;
};

/** @shown  what the guest sees; @base, @data, @key as the edit's options have them */
struct edited {
	const struct kind *kind;
	struct q2s_geom geom;
	struct q2s_store *store, *data;
	struct q2s_disk *base;
	uint8_t *base_bytes;
	uint8_t *shown;
	struct q2s_edit *edit;
};

static const uint8_t edited_key[] = "secret";

/* ---- making -------------------------------------------------------------------------------- */

/* All of a sink's bytes as a writable store. */
static inline struct q2s_store *
edited_store(int fd)
{
	const size_t len = (size_t)lseek(fd, 0, SEEK_END);
	uint8_t *bytes = malloc(len + 1);
	struct q2s_store *store = NULL;

	ck_assert_int_eq(pread(fd, bytes, len, 0), (ssize_t)len);
	assert_ok(q2s_store_memory(bytes, len, "image", &store, &diag));
	free(bytes);
	close(fd);
	return store;
}

/* Data with a seed; in pairs of equal clusters when they are to be shared. */
static inline struct q2s_disk *
edited_source(const struct edited *e, uint64_t *seed)
{
	const uint64_t unit = e->geom.cluster_size;
	const uint64_t count = e->kind->filled == FILLED_SHARED ? e->geom.size / unit : 1;
	struct q2s_pattern *regions = calloc(count + 1, sizeof(*regions));
	struct q2s_disk *disk = NULL;

	regions[0] = (struct q2s_pattern){ { 0 }, e->geom.size, Q2S_DATA, true,
					   unit_random(seed), 0, 0 };
	if (e->kind->filled == FILLED_ZLIB || e->kind->filled == FILLED_ZSTD)
		regions[0].half = (uint32_t)unit;
	if (e->kind->filled == FILLED_SHARED)
		for (uint64_t i = 0; i < count; i++)
			regions[i] = (struct q2s_pattern){ .start = { i * unit }, .len = unit,
							   .state = Q2S_DATA,
							   .fill = (uint8_t)(1 + i / 3) };
	assert_ok(q2s_disk_pattern(e->geom.size, regions, count, &disk, &diag));
	free(regions);
	return disk;
}

static inline void
edited_read_disk(struct q2s_disk *disk, uint64_t size, uint8_t *bytes)
{
	struct q2s_cursor *cursor = NULL;

	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	if (size > 0)
		assert_ok(q2s_cursor_read(cursor, (q2s_guest){ 0 }, bytes, size, &diag));
	q2s_cursor_close(cursor);
}

/* Random states; what is no data shows zeros or the base. */
static inline struct q2s_alloc *
edited_mix(struct edited *e, uint64_t *seed)
{
	struct q2s_alloc *alloc = NULL;

	assert_ok(q2s_alloc_new(&e->geom, &alloc, &diag));
	for (uint64_t i = 0; i < e->geom.clusters; i++) {
		const struct q2s_slot slot = random_slot(&e->geom, false, seed);

		assert_ok(q2s_alloc_add(alloc, &slot, 1, &diag));
		for (uint32_t s = 0; s < e->geom.sub_count; s++) {
			const uint64_t at = (i << e->geom.cluster_bits) +
					    ((uint64_t)s << e->geom.sub_bits);
			const uint64_t n = at < e->geom.size ?
						   q2si_min(e->geom.sub_size, e->geom.size - at) :
						   0;

			if (n == 0 || slot.alloc >> s & 1)
				continue;
			if (slot.zero >> s & 1)
				memset(e->shown + at, 0, n);
			else
				memcpy(e->shown + at, e->base_bytes + at, n);
		}
	}
	return alloc;
}

static inline struct q2s_alloc *
edited_alloc(struct edited *e, struct q2s_disk *source, struct q2s_spool *spool, uint64_t *seed)
{
	const struct q2s_scan_options scan = { .size = sizeof(scan), .threads = 1 };
	struct q2s_alloc *plain = NULL, *alloc = NULL;

	if (e->kind->filled == FILLED_MIXED)
		return edited_mix(e, seed);
	if (e->kind->filled == FILLED_NOT) {
		memcpy(e->shown, e->base_bytes, e->geom.size);
		assert_ok(q2s_alloc_new(&e->geom, &alloc, &diag));
		return alloc;
	}
	assert_ok(q2s_scan(source, &e->geom, &scan, &plain, &diag));
	if (e->kind->filled == FILLED_SHARED) {
		const struct q2s_share_options share = { .size = sizeof(share), .threads = 1 };

		assert_ok(q2s_share(source, plain, &share, &alloc, &diag));
	} else {
		const struct q2s_compress_options compress = {
			.size = sizeof(compress),
			.how = { .type = e->kind->filled == FILLED_ZSTD },
			.threads = 1,
			.spool = spool,
		};

		assert_ok(q2s_compress(source, plain, &compress, &alloc, &diag));
	}
	q2s_alloc_free(plain);
	return alloc;
}

static inline void
edited_encrypt(struct q2s_spec *spec, struct q2s_crypt **crypt, uint8_t **area)
{
	const struct q2s_luks_params params = { "aes", "xts-plain64", "sha256", 64, 1 };
	size_t len;

	assert_ok(q2s_luks_create(&params, edited_key, sizeof(edited_key) - 1, crypt, area, &len,
				  &diag));
	spec->luks = (struct q2s_bytes){ *area, len };
}

static inline void
edited_emit(struct edited *e, uint64_t *seed)
{
	const int fd = memfd_create("image", 0), data_fd = memfd_create("data", 0);
	struct q2s_spec spec = { .geom = e->geom, .data_file_raw = e->kind->raw,
				 .compression_type = e->kind->filled == FILLED_ZSTD };
	struct q2s_emit_options options = { .size = sizeof(options), .until = Q2S_TO_END,
					    .threads = 1 };
	const struct q2s_compression how = { .type = spec.compression_type };
	struct q2s_disk *source = edited_source(e, seed);
	struct q2s_crypt *crypt = NULL;
	struct q2s_spool *spool = NULL;
	struct q2s_sink *sink = NULL;
	struct q2s_plan *plan = NULL;
	uint8_t *area = NULL;

	assert_ok(q2s_spool_new(NULL, 64 << 20, &spool, &diag));
	edited_read_disk(source, e->geom.size, e->shown);
	if (e->kind->data_file)
		spec.data_file_name = (struct q2s_bytes){ (const uint8_t *)"data", 4 };
	if (e->base)
		spec.backing_name = (struct q2s_bytes){ (const uint8_t *)"base", 4 };
	if (e->base)
		spec.backing_format = (struct q2s_bytes){ (const uint8_t *)"raw", 3 };
	if (e->kind->luks)
		edited_encrypt(&spec, &crypt, &area);
	assert_ok(q2s_plan_new(&spec, edited_alloc(e, source, spool, seed), &plan, &diag));
	options.crypt = crypt;
	options.spool = spool;
	options.how = &how;
	assert_ok(q2s_sink_from_fd(fd, "image", 0, &sink, &diag));
	assert_ok(q2s_emit(plan, source, sink, &options, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	e->store = edited_store(fd);
	if (e->kind->data_file)
		assert_ok(q2s_store_memory(e->shown, e->geom.size, "data", &e->data, &diag));
	close(data_fd);
	q2s_plan_free(plan);
	q2s_disk_close(source);
	q2s_spool_free(spool);
	q2s_crypt_close(crypt);
	free(area);
}

static inline void
edited_base(struct edited *e, uint64_t *seed)
{
	const uint64_t size = e->kind->base_size, half = size / 2 / 512 * 512;
	const struct q2s_pattern regions[] = {
		{ { 0 }, half, Q2S_DATA, true, unit_random(seed), 0, 0 },
		{ { half + 4096 }, size - half - 4096, Q2S_DATA, true, unit_random(seed), 0, 0 },
	};

	e->base_bytes = calloc(1, q2si_max(size, e->geom.size));
	if (size == 0)
		return;
	assert_ok(q2s_disk_pattern(size, regions, 2, &e->base, &diag));
	edited_read_disk(e->base, size, e->base_bytes);
}

static inline void
edited_open(struct edited *e)
{
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;

	options.base = e->base;
	options.data = e->data;
	options.cache = e->kind->cache;
	if (e->kind->luks) {
		options.key = edited_key;
		options.key_len = sizeof(edited_key) - 1;
	}
	assert_ok(q2s_edit_open(e->store, &options, &e->edit, &diag));
}

static inline struct edited
edited_make(const struct kind *kind, uint64_t *seed)
{
	const struct q2s_geom_params params = {
		.version = kind->version,
		.cluster_bits = kind->cluster_bits,
		.refcount_order = kind->refcount_order,
		.extended = kind->extended,
		.data_file = kind->data_file,
		.size = kind->size,
	};
	struct edited e = { .kind = kind };

	assert_ok(q2s_geom_init(&params, &e.geom, &diag));
	e.shown = calloc(1, e.geom.size);
	edited_base(&e, seed);
	edited_emit(&e, seed);
	edited_open(&e);
	return e;
}

static inline void
edited_free(struct edited *e)
{
	q2s_edit_unref(e->edit);
	q2s_store_unref(e->store);
	q2s_store_unref(e->data);
	q2s_disk_close(e->base);
	free(e->base_bytes);
	free(e->shown);
}

/* ---- judging ------------------------------------------------------------------------------- */

/*
 * @forgiven: of two guest clusters on one host cluster one was moved away. Nothing tells the other,
 * whose COPIED flag stays clear, here as in QEMU: no data is wrong.
 */
struct edited_judged {
	char text[256];
	uint64_t forgiven;
};

static inline void
edited_finding(void *opaque, const struct q2s_finding *finding)
{
	struct edited_judged *judged = opaque;
	char *text = judged->text;

	if (strcmp(finding->id, "l2-copied-clear") == 0 ||
	    strcmp(finding->id, "l1-copied-clear") == 0) {
		judged->forgiven++;
		return;
	}
	if (text[0] == '\0' && finding->severity != Q2S_SEVERITY_NOTE)
		snprintf(text, sizeof(judged->text), "%s: %s (at 0x%" PRIx64 ", found 0x%" PRIx64 ")", finding->id,
			 finding->text, finding->host.v, finding->found);
}

/* The image has no error, and, unless @leaks are fine, no leak. */
static inline void
edited_check(const struct edited *e, bool leaks)
{
	struct edited_judged judged = { 0 };
	const struct q2s_check_options options = { .size = sizeof(options),
						   .finding = edited_finding, .opaque = &judged };
	struct q2s_check_result result = { 0 };
	struct q2s_image *image = NULL;

	assert_ok(q2s_image_open(e->store, Q2S_IMAGE_DAMAGED, &image, &diag));
	assert_ok(q2s_check(image, &options, &result, &diag));
	q2s_image_close(image);
	if (e->kind->filled != FILLED_SHARED)
		ck_assert_uint_eq(judged.forgiven, 0);
	if (result.corruptions != judged.forgiven || result.check_errors ||
	    (!leaks && result.leaks))
		ck_abort_msg("%s: %" PRIu64 " errors, %" PRIu64 " leaks: %s", e->kind->name,
			     result.corruptions, result.leaks, judged.text);
}

static inline void
edited_compare(const struct edited *e, uint64_t at, uint64_t len)
{
	uint8_t *bytes = malloc(len + 1);

	assert_ok(q2s_edit_read(e->edit, (q2s_guest){ at }, bytes, len, &diag));
	for (uint64_t i = 0; i < len; i++)
		if (bytes[i] != e->shown[at + i])
			ck_abort_msg("%s: byte 0x%" PRIx64 " is %02x, not %02x (read 0x%" PRIx64
				     "+0x%" PRIx64 ")",
				     e->kind->name, at + i, bytes[i], e->shown[at + i], at, len);
	free(bytes);
}

#endif
