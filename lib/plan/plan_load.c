/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a kept plan. The file may come from anywhere: every count is checked, and the allocation
 * is put together by the same calls that a scan uses, which refuse what is illegal.
 */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "disk/disk.h"
#include "plan/bits.h"
#include "plan/plan.h"
#include "plan/plan_body.h"
#include "plan/plan_file.h"

static enum q2s_err
get_mark(struct q2si_body *body, struct q2s_mark *out)
{
	struct q2s_bytes raw;

	Q2SI_TRY(q2si_body_string(body, &raw));
	if (!raw.data)
		return Q2S_OK;
	const struct q2s_ext ext = { .type = Q2S_EXT_MARK, .len = (uint32_t)raw.len,
				     .at = Q2S_NOWHERE, .data = raw.data };

	return q2s_ext_mark_decode(&ext, out, body->diag);
}

static enum q2s_err
get_spec(struct q2si_body *body, struct q2s_spec *out)
{
	uint64_t v[10];

	for (size_t i = 0; i < 10; i++)
		Q2SI_TRY(q2si_body_number(body, i == 5 ? UINT64_MAX : UINT8_MAX, &v[i]));
	const struct q2s_geom_params params = {
		.version = (uint32_t)v[0],
		.cluster_bits = (uint32_t)v[1],
		.refcount_order = (uint32_t)v[2],
		.extended = v[3] != 0,
		.data_file = v[4] != 0,
		.size = v[5],
	};

	*out = (struct q2s_spec){
		.compression_type = (uint8_t)v[6],
		.lazy_refcounts = v[7] != 0,
		.data_file_raw = v[8] != 0,
		.difference = v[9] != 0,
	};
	Q2SI_TRY(q2s_geom_init(&params, &out->geom, body->diag));
	Q2SI_TRY(q2si_body_string(body, &out->backing_name));
	Q2SI_TRY(q2si_body_string(body, &out->backing_format));
	Q2SI_TRY(q2si_body_string(body, &out->data_file_name));
	return get_mark(body, &out->mark);
}

/* Bitmaps, in order; free with free_bitmaps(), also on failure. */
struct bitmaps {
	struct q2s_spec_bitmap *list;
	size_t count;
};

static void
free_bitmaps(struct bitmaps *bitmaps)
{
	for (size_t i = 0; i < bitmaps->count; i++)
		q2s_bits_unref(bitmaps->list[i].bits);
	free(bitmaps->list);
}

static enum q2s_err
get_bits(struct q2si_body *body, struct q2s_bits *bits)
{
	uint64_t count, start, len, end = 0;

	Q2SI_TRY(q2si_body_number(body, UINT64_MAX, &count));
	for (uint64_t i = 0; i < count; i++) {
		Q2SI_TRY(q2si_body_number(body, bits->count, &start));
		Q2SI_TRY(q2si_body_number(body, bits->count - start, &len));
		if (len == 0 || start < end)
			return q2si_plan_damaged(body->diag, "the bits of a bitmap are not in order");
		end = start + len;
		Q2SI_TRY(q2si_bits_set(bits, start, end, body->diag));
	}
	return Q2S_OK;
}

static enum q2s_err
get_bitmap(struct q2si_body *body, uint64_t size, struct q2s_spec_bitmap *out)
{
	uint64_t granularity_bits, enabled;

	Q2SI_TRY(q2si_body_string(body, &out->name));
	Q2SI_TRY(q2si_body_number(body, UINT8_MAX, &granularity_bits));
	Q2SI_TRY(q2si_body_number(body, 1, &enabled));
	out->granularity_bits = (uint32_t)granularity_bits;
	out->enabled = enabled != 0;
	Q2SI_TRY(q2s_bits_new(size, out->granularity_bits, &out->bits, body->diag));
	return get_bits(body, out->bits);
}

static enum q2s_err
get_bitmaps(struct q2si_body *body, struct q2s_spec *spec, struct bitmaps *out)
{
	uint64_t count;

	/* Each takes 32 bytes, so that no number in the file asks for more memory than it has. */
	Q2SI_TRY(q2si_body_number(body, body->left / 32, &count));
	out->list = calloc(q2si_size(count + 1), sizeof(*out->list));
	if (!out->list)
		return q2si_fail_nomem(body->diag, "plan");
	while (out->count < count)
		Q2SI_TRY(get_bitmap(body, spec->geom.size, &out->list[out->count++]));
	spec->bitmaps = out->list;
	spec->bitmap_count = out->count;
	return Q2S_OK;
}

static enum q2s_err
get_note(struct q2si_body *body, struct q2s_plan_note *out)
{
	uint64_t compressed, type, has_level, level;

	Q2SI_TRY(q2si_body_number(body, 1, &compressed));
	Q2SI_TRY(q2si_body_number(body, UINT8_MAX, &type));
	Q2SI_TRY(q2si_body_number(body, 1, &has_level));
	Q2SI_TRY(q2si_body_number(body, UINT64_MAX, &level));
	*out = (struct q2s_plan_note){
		.compressed = compressed != 0,
		.type = (uint8_t)type,
		.has_level = has_level != 0,
		.level = (int32_t)(int64_t)level,
	};
	Q2SI_TRY(q2si_body_text(body, out->encoder, sizeof(out->encoder)));
	return q2si_body_text(body, out->view, sizeof(out->view));
}

/* ---- is it the source that was planned for? ------------------------------------------------ */

static enum q2s_err
changed(struct q2s_diag *diag, const struct q2s_store *file, const char *what)
{
	const enum q2s_err err = q2si_fail_at(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE,
					      "%s is not what it was when the plan was made", what);

	return file ? q2si_in_file(diag, err, q2s_store_name(file)) : err;
}

static enum q2s_err
get_ident(struct q2si_body *body, struct q2s_store_ident *out)
{
	uint64_t v[7];

	for (size_t i = 0; i < 7; i++)
		Q2SI_TRY(q2si_body_number(body, i == 2 || i == 6 ? UINT32_MAX : UINT64_MAX, &v[i]));
	*out = (struct q2s_store_ident){
		.size = v[0],
		.mtime_sec = (int64_t)v[1],
		.mtime_nsec = (uint32_t)v[2],
		.dev = v[3],
		.ino = v[4],
		.ctime_sec = (int64_t)v[5],
		.ctime_nsec = (uint32_t)v[6],
	};
	return Q2S_OK;
}

/*
 * @proved: it is the same file, and its change time says that nobody touched it. A copy, or what
 * another machine has, has a change time of its own. What has no times, as a device, proves
 * nothing.
 */
static enum q2s_err
match_file(struct q2si_body *body, const struct q2s_store *file, bool *proved)
{
	struct q2s_store_ident was = { 0 }, is;

	Q2SI_TRY(get_ident(body, &was));
	if (!file)
		return changed(body->diag, NULL, "the number of its files");
	q2s_store_ident(file, &is);
	if (is.size != was.size)
		return changed(body->diag, file, "its size");
	if (is.mtime_sec != was.mtime_sec || is.mtime_nsec != was.mtime_nsec)
		return changed(body->diag, file, "its modification time");
	*proved = is.dev == was.dev && is.ino == was.ino && (is.ctime_sec || is.ctime_nsec);
	if (*proved && (is.ctime_sec != was.ctime_sec || is.ctime_nsec != was.ctime_nsec))
		return changed(body->diag, file, "its change time");
	return Q2S_OK;
}

/* Which part of the disk the sums are about; none for all of it. */
static enum q2s_err
get_scope(struct q2si_body *body, uint64_t size, struct q2s_bits **out)
{
	uint64_t granularity_bits;

	Q2SI_TRY(q2si_body_number(body, UINT8_MAX, &granularity_bits));
	if (granularity_bits == 0)
		return Q2S_OK;
	Q2SI_TRY(q2s_bits_new(size, (uint32_t)granularity_bits, out, body->diag));
	return get_bits(body, *out);
}

/* @out: what the data was. */
static enum q2s_err
get_sums(struct q2si_body *body, uint64_t size, struct q2si_sums *out)
{
	const uint64_t last = size >> Q2SI_STRETCH_BITS;
	uint64_t count;

	/* Each takes 16 bytes, so that no number in the file asks for more memory than it has. */
	Q2SI_TRY(q2si_body_number(body, body->left / 16, &count));
	out->list = calloc(q2si_size(count + 1), sizeof(*out->list));
	if (!out->list)
		return q2si_fail_nomem(body->diag, "plan");
	for (; out->count < count; out->count++) {
		struct q2si_sum *sum = &out->list[out->count];

		Q2SI_TRY(q2si_body_number(body, last, &sum->stretch));
		Q2SI_TRY(q2si_body_number(body, UINT64_MAX, &sum->hash));
		if (out->count > 0 && sum->stretch <= sum[-1].stretch)
			return q2si_plan_damaged(body->diag, "its sums are not in order");
	}
	return Q2S_OK;
}

/* @proved: of all files; what else decides what they show (hints) has no times. */
static enum q2s_err
match_source(struct q2si_body *body, struct q2s_disk *disk, bool *proved)
{
	uint64_t size, count;

	Q2SI_TRY(q2si_body_number(body, UINT64_MAX, &size));
	Q2SI_TRY(q2si_body_number(body, Q2SI_PLAN_FILES_MAX, &count));
	if (size != q2s_disk_size(disk))
		return changed(body->diag, NULL, "its size");
	*proved = count > 0 && !disk->ops->hinted;
	for (uint64_t i = 0; i < count; i++) {
		bool this = false;

		Q2SI_TRY(match_file(body, q2s_disk_file(disk, i), &this));
		*proved = *proved && this;
	}
	if (q2s_disk_file(disk, count))
		return changed(body->diag, NULL, "the number of its files");
	return Q2S_OK;
}

/* ---- the allocation ------------------------------------------------------------------------ */

/* The runs of one table, decoded from a copy that ends in zeros, at which every number stops. */
static enum q2s_err
get_runs(struct q2si_body *body, struct q2s_bytes code, struct q2s_alloc *alloc)
{
	const uint8_t stop[Q2SI_SLOT_CODE_MAX] = { 0 };
	struct q2si_store store = { 0 };
	struct q2si_slot_run run;
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; err == Q2S_OK && i < code.len; i++)
		err = q2si_store_put(&store, code.data[i], body->diag);
	for (size_t i = 0; err == Q2S_OK && i < sizeof(stop); i++)
		err = q2si_store_put(&store, stop[i], body->diag);
	for (uint64_t pos = 0; err == Q2S_OK && pos < code.len;) {
		q2si_slot_get(&store, &pos, alloc->geom.sub_mask, &run);
		if (pos > code.len || run.count == 0)
			err = q2si_plan_damaged(body->diag, "a run of clusters is cut off");
		else
			err = q2s_alloc_add(alloc, &run.slot, run.count, body->diag);
	}
	q2si_store_free(&store);
	return err;
}

static enum q2s_err
get_table(struct q2si_body *body, struct q2s_alloc *alloc)
{
	const struct q2s_slot absent = { 0 };
	const uint32_t bits = alloc->geom.l2_bits;
	struct q2s_bytes code = { 0 };
	uint64_t index, len;

	Q2SI_TRY(q2si_body_number(body, UINT32_MAX, &index));
	Q2SI_TRY(q2si_body_number(body, UINT64_MAX, &len));
	Q2SI_TRY(q2si_body_bytes(body, len, &code));
	if (index >= alloc->geom.l1_entries || index << bits < alloc->next)
		return q2si_plan_damaged(body->diag, "its tables are not in order");
	Q2SI_TRY(q2s_alloc_add(alloc, &absent, (index << bits) - alloc->next, body->diag));
	Q2SI_TRY(get_runs(body, code, alloc));
	if (alloc->next > (index + 1) << bits)
		return q2si_plan_damaged(body->diag, "a table has too many clusters");
	return Q2S_OK;
}

static enum q2s_err
get_owners(struct q2si_body *body, struct q2s_alloc *alloc)
{
	struct q2si_owners owners = { 0 };
	Q2SI_AUTO_FREE struct q2si_owner *list = NULL;
	uint64_t count, sharers;

	/* Each takes 16 bytes, so that no number in the file asks for more memory than it has. */
	Q2SI_TRY(q2si_body_number(body, body->left / 16, &count));
	list = calloc(q2si_size(count + 1), sizeof(*list));
	if (!list)
		return q2si_fail_nomem(body->diag, "plan");
	for (uint64_t i = 0; i < count; i++) {
		Q2SI_TRY(q2si_body_number(body, UINT64_MAX, &list[i].cluster));
		Q2SI_TRY(q2si_body_number(body, UINT32_MAX, &sharers));
		list[i].sharers = (uint32_t)sharers;
	}
	owners = (struct q2si_owners){ list, count };
	return q2si_alloc_set_owners(alloc, &owners, body->diag);
}

static enum q2s_err
get_alloc(struct q2si_body *body, struct q2s_alloc *alloc)
{
	uint64_t count;

	Q2SI_TRY(get_owners(body, alloc));
	Q2SI_TRY(q2si_body_number(body, alloc->geom.l1_entries, &count));
	for (uint64_t i = 0; i < count; i++)
		Q2SI_TRY(get_table(body, alloc));
	return body->left == 0 ? Q2S_OK : q2si_plan_damaged(body->diag, "it goes on behind its end");
}

/* The allocation, and with it the whole plan. */
static enum q2s_err
make_plan(struct q2si_body *body, const struct q2s_spec *spec, struct q2s_plan **out)
{
	struct q2s_alloc *alloc;
	enum q2s_err err;

	Q2SI_TRY(q2s_alloc_new(&spec->geom, &alloc, body->diag));
	err = get_alloc(body, alloc);
	if (err == Q2S_OK)
		err = q2s_plan_new(spec, alloc, out, body->diag);
	if (err != Q2S_OK)
		q2s_alloc_free(alloc);
	return err;
}

/* What follows the specification. */
static enum q2s_err
get_rest(struct q2si_body *body, const struct q2s_spec *spec, struct q2s_disk *disk,
	 struct q2s_plan **out, struct q2s_plan_note *note)
{
	struct q2si_sums sums = { 0 };
	struct q2s_bits *scope = NULL;
	bool proved = false;
	enum q2s_err err;

	Q2SI_TRY(get_note(body, note));
	Q2SI_TRY(match_source(body, disk, &proved));
	err = get_scope(body, q2s_disk_size(disk), &scope);
	if (err == Q2S_OK)
		err = get_sums(body, q2s_disk_size(disk), &sums);
	if (err == Q2S_OK)
		err = make_plan(body, spec, out);
	if (err != Q2S_OK) {
		q2si_sums_free(&sums);
		q2s_bits_unref(scope);
		return err;
	}
	(*out)->sums = sums;
	(*out)->scope = scope;
	(*out)->doubtful = !proved && !spec->data_file_raw;
	return Q2S_OK;
}

static enum q2s_err
get_plan(struct q2si_body *body, struct q2s_disk *disk, struct q2s_plan **out,
	 struct q2s_plan_note *note)
{
	struct bitmaps bitmaps = { 0 };
	struct q2s_spec spec;
	enum q2s_err err;

	Q2SI_TRY(get_spec(body, &spec));
	err = get_bitmaps(body, &spec, &bitmaps);
	if (err == Q2S_OK)
		err = get_rest(body, &spec, disk, out, note);
	free_bitmaps(&bitmaps);
	return err;
}

/* The head says how long the body is; the checksum covers both. */
static enum q2s_err
check_frame(const uint8_t *raw, uint64_t size, struct q2s_diag *diag)
{
	if (size < Q2SI_PLAN_HEAD_SIZE + Q2SI_PLAN_TAIL_SIZE ||
	    memcmp(raw, Q2SI_PLAN_MAGIC, Q2SI_PLAN_MAGIC_SIZE) != 0)
		return q2si_fail_at(diag, Q2S_E_MAGIC, "plan", Q2S_NOWHERE, "not a kept plan");
	if (q2si_get_be32(raw + 8) != Q2SI_PLAN_VERSION)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "plan", Q2S_NOWHERE,
				 q2si_get_be32(raw + 8), "its version is not %u",
				 Q2SI_PLAN_VERSION);
	const uint64_t rest = size - Q2SI_PLAN_HEAD_SIZE - Q2SI_PLAN_TAIL_SIZE;

	if (q2si_get_be64(raw + 16) != rest)
		return q2si_plan_damaged(diag, "it is not as long as it says");
	const uint8_t *tail = raw + size - Q2SI_PLAN_TAIL_SIZE;

	if (q2si_get_be32(tail) != (uint32_t)crc32_z(0, raw, (z_size_t)(tail - raw)))
		return q2si_plan_damaged(diag, "its checksum is wrong");
	return Q2S_OK;
}

enum q2s_err
q2s_plan_load(struct q2s_store *file, struct q2s_disk *disk, struct q2s_plan **out,
	      struct q2s_plan_note *note, struct q2s_diag *diag)
{
	const uint64_t size = q2s_store_size(file);
	Q2SI_AUTO_FREE uint8_t *raw = NULL;
	struct q2si_body body = { .diag = diag };
	enum q2s_err err;

	if (size > Q2SI_PLAN_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "plan", Q2S_NOWHERE, size, "larger than any");
	raw = malloc(q2si_size(size + 1));
	if (!raw)
		return q2si_fail_nomem(diag, "plan");
	Q2SI_TRY(q2s_store_read(file, 0, raw, size, diag));
	err = check_frame(raw, size, diag);
	if (err == Q2S_OK) {
		body.at = raw + Q2SI_PLAN_HEAD_SIZE;
		body.left = size - Q2SI_PLAN_HEAD_SIZE - Q2SI_PLAN_TAIL_SIZE;
		err = get_plan(&body, disk, out, note);
	}
	/* what is wrong is wrong with the plan, unless it is the source that changed */
	return err == Q2S_E_CHANGED ? err : q2si_in_file(diag, err, q2s_store_name(file));
}
