/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing a plan to be kept. Every number is a big-endian u64, so that there is one kind of field. */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/bytes.h"
#include "base/diag.h"
#include "base/options.h"
#include "plan/bits.h"
#include "plan/plan.h"
#include "plan/plan_file.h"
#include "plan/scope.h"

/* The body while it grows. */
struct body {
	struct q2si_store store;
	struct q2s_diag *diag;
};

static enum q2s_err
put_bytes(struct body *body, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		Q2SI_TRY(q2si_store_put(&body->store, ((const uint8_t *)data)[i], body->diag));
	return Q2S_OK;
}

static enum q2s_err
put_number(struct body *body, uint64_t value)
{
	uint8_t raw[8];

	q2si_put_be64(raw, value);
	return put_bytes(body, raw, sizeof(raw));
}

/* A string that is not there has the length of all ones. */
static enum q2s_err
put_string(struct body *body, struct q2s_bytes string)
{
	Q2SI_TRY(put_number(body, string.data ? string.len : UINT64_MAX));
	return string.data ? put_bytes(body, string.data, string.len) : Q2S_OK;
}

/* The dirty runs, in granules; how many there are comes first. */
static enum q2s_err
put_bits(struct body *body, const struct q2s_bits *bits)
{
	uint64_t count = 0, start, end = 0;

	if (!bits)
		return put_number(body, 0);
	while (q2si_bits_next(bits, end, &start, &end))
		count++;
	Q2SI_TRY(put_number(body, count));
	for (end = 0; q2si_bits_next(bits, end, &start, &end);) {
		Q2SI_TRY(put_number(body, start));
		Q2SI_TRY(put_number(body, end - start));
	}
	return Q2S_OK;
}

static enum q2s_err
put_bitmaps(struct body *body, const struct q2s_spec *spec)
{
	Q2SI_TRY(put_number(body, spec->bitmap_count));
	for (size_t i = 0; i < spec->bitmap_count; i++) {
		const struct q2s_spec_bitmap *bitmap = &spec->bitmaps[i];

		Q2SI_TRY(put_string(body, bitmap->name));
		Q2SI_TRY(put_number(body, bitmap->granularity_bits));
		Q2SI_TRY(put_number(body, bitmap->enabled));
		Q2SI_TRY(put_bits(body, bitmap->bits));
	}
	return Q2S_OK;
}

/* As it stands in the image, or no string. */
static enum q2s_err
put_mark(struct body *body, const struct q2s_mark *mark)
{
	uint8_t raw[Q2S_EXT_MARK_SIZE];
	const bool marked = !q2s_id_is_none(&mark->id);

	q2s_ext_mark_encode(mark, raw);
	return put_string(body, (struct q2s_bytes){ marked ? raw : NULL, sizeof(raw) });
}

static enum q2s_err
put_spec(struct body *body, const struct q2s_spec *spec)
{
	const uint64_t numbers[] = {
		spec->geom.version,  spec->geom.cluster_bits, spec->geom.refcount_order,
		spec->geom.extended, spec->geom.data_file,    spec->geom.size,
		spec->compression_type, spec->lazy_refcounts, spec->data_file_raw,
		spec->difference,
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		Q2SI_TRY(put_number(body, numbers[i]));
	Q2SI_TRY(put_string(body, spec->backing_name));
	Q2SI_TRY(put_string(body, spec->backing_format));
	Q2SI_TRY(put_string(body, spec->data_file_name));
	Q2SI_TRY(put_mark(body, &spec->mark));
	return put_bitmaps(body, spec);
}

static enum q2s_err
put_note(struct body *body, const struct q2s_plan_note *note)
{
	const struct q2s_bytes encoder = { (const uint8_t *)note->encoder,
					   strnlen(note->encoder, sizeof(note->encoder)) };
	const struct q2s_bytes view = { (const uint8_t *)note->view,
					strnlen(note->view, sizeof(note->view)) };

	Q2SI_TRY(put_number(body, note->compressed));
	Q2SI_TRY(put_number(body, note->type));
	Q2SI_TRY(put_number(body, note->has_level));
	Q2SI_TRY(put_number(body, (uint64_t)(int64_t)note->level));
	Q2SI_TRY(put_string(body, encoder));
	return put_string(body, view);
}

static enum q2s_err
put_file(struct body *body, const struct q2s_store *file)
{
	struct q2s_store_ident ident;

	q2s_store_ident(file, &ident);
	const uint64_t numbers[] = {
		ident.size, (uint64_t)ident.mtime_sec, ident.mtime_nsec,
		ident.dev,  ident.ino, (uint64_t)ident.ctime_sec, ident.ctime_nsec,
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		Q2SI_TRY(put_number(body, numbers[i]));
	return Q2S_OK;
}

static enum q2s_err
put_sums(struct body *body, const struct q2si_sums *sums)
{
	Q2SI_TRY(put_number(body, sums->count));
	for (size_t i = 0; i < sums->count; i++) {
		Q2SI_TRY(put_number(body, sums->list[i].stretch));
		Q2SI_TRY(put_number(body, sums->list[i].hash));
	}
	return Q2S_OK;
}

/* The sums of what @disk holds, of all or in @scope. */
static enum q2s_err
put_data(struct body *body, struct q2s_disk *disk, const struct q2s_bits *scope,
	 const struct q2s_plan_look *look)
{
	struct q2si_scoped scoped = { 0 };
	struct q2si_sums sums = { 0 };
	enum q2s_err err = Q2S_OK;

	if (scope)
		err = q2si_scoped_open(&scoped, disk, scope, body->diag);
	if (err == Q2S_OK)
		err = q2si_sums_take(scope ? scoped.disk : disk, look, &sums, body->diag);
	if (err == Q2S_OK)
		err = put_sums(body, &sums);
	q2si_sums_free(&sums);
	q2si_scoped_close(&scoped);
	return err;
}

/* What no times can prove to be the same elsewhere. With a raw data file the image says nothing of it. */
static enum q2s_err
put_content(struct body *body, const struct q2s_spec *spec, struct q2s_disk *disk,
	    const struct q2s_plan_look *look)
{
	static const struct q2si_sums none = { 0 };
	struct q2s_bits *scope = NULL;
	enum q2s_err err = Q2S_OK;

	if (look->scope && !spec->data_file_raw)
		err = q2si_scope_take(look->scope, spec->geom.sub_size, &scope, body->diag);
	if (err == Q2S_OK)
		err = put_number(body, scope ? scope->granularity_bits : 0);
	if (err == Q2S_OK && scope)
		err = put_bits(body, scope);
	if (err == Q2S_OK)
		err = spec->data_file_raw ? put_sums(body, &none) :
					    put_data(body, disk, scope, look);
	q2s_bits_unref(scope);
	return err;
}

static enum q2s_err
put_source(struct body *body, const struct q2s_spec *spec, struct q2s_disk *disk,
	   const struct q2s_plan_look *look)
{
	struct q2s_store *file;
	size_t count = 0;

	while (q2s_disk_file(disk, count))
		count++;
	Q2SI_TRY(put_number(body, q2s_disk_size(disk)));
	Q2SI_TRY(put_number(body, count));
	for (size_t i = 0; (file = q2s_disk_file(disk, i)); i++)
		Q2SI_TRY(put_file(body, file));
	Q2SI_TRY(put_content(body, spec, disk, look));
	/* What was written meanwhile would be remembered as if it had been planned for. */
	return q2s_disk_verify(disk, body->diag);
}

/* Before the allocation, as the places of streams depend on it. */
static enum q2s_err
put_owners(struct body *body, const struct q2si_owners *owners)
{
	Q2SI_TRY(put_number(body, owners->count));
	for (size_t i = 0; i < owners->count; i++) {
		Q2SI_TRY(put_number(body, owners->list[i].cluster));
		Q2SI_TRY(put_number(body, owners->list[i].sharers));
	}
	return Q2S_OK;
}

/* Each table's L1 index, the length of its code, and the code. */
static enum q2s_err
put_alloc(struct body *body, const struct q2s_alloc *alloc)
{
	Q2SI_TRY(put_number(body, alloc->table_count));
	for (size_t i = 0; i < alloc->table_count; i++) {
		const bool last = i + 1 == alloc->table_count;
		const uint64_t end = last ? alloc->store.len : alloc->tables[i + 1].code;

		Q2SI_TRY(put_number(body, alloc->tables[i].index));
		Q2SI_TRY(put_number(body, end - alloc->tables[i].code));
		for (uint64_t pos = alloc->tables[i].code; pos < end; pos++)
			Q2SI_TRY(q2si_store_put(&body->store, q2si_store_get(&alloc->store, pos),
						body->diag));
	}
	return Q2S_OK;
}

static enum q2s_err
write_sum(struct q2s_sink *sink, const void *data, size_t len, uint32_t *sum,
	  struct q2s_diag *diag)
{
	*sum = (uint32_t)crc32_z(*sum, data, len);
	return q2s_sink_write(sink, data, len, diag);
}

static enum q2s_err
write_all(const struct q2si_store *store, struct q2s_sink *sink, struct q2s_diag *diag)
{
	const size_t block = (size_t)1 << Q2SI_STORE_BLOCK_BITS;
	uint8_t head[Q2SI_PLAN_HEAD_SIZE] = Q2SI_PLAN_MAGIC;
	uint8_t tail[Q2SI_PLAN_TAIL_SIZE];
	uint32_t sum = 0;

	q2si_put_be32(head + 8, Q2SI_PLAN_VERSION);
	q2si_put_be32(head + 12, 0);
	q2si_put_be64(head + 16, store->len);
	Q2SI_TRY(write_sum(sink, head, sizeof(head), &sum, diag));
	for (size_t i = 0; i < store->count; i++) {
		const uint64_t left = store->len - (uint64_t)i * block;

		Q2SI_TRY(write_sum(sink, store->blocks[i], left < block ? (size_t)left : block,
				   &sum, diag));
	}
	q2si_put_be32(tail, sum);
	return q2s_sink_write(sink, tail, sizeof(tail), diag);
}

enum q2s_err
q2s_plan_save(const struct q2s_plan *plan, const struct q2s_plan_note *note,
	      struct q2s_disk *disk, const struct q2s_plan_look *given, struct q2s_sink *sink,
	      struct q2s_diag *diag)
{
	struct q2s_plan_look look = Q2S_PLAN_LOOK_INIT;
	struct body body = { .diag = diag };
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&look, given, diag));
	if (plan->spec.luks.data)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "plan", Q2S_NOWHERE,
				    "that of an encrypted image is not kept");
	if (plan->spec.data_first)
		return q2si_fail_at(diag, Q2S_E_USAGE, "plan", Q2S_NOWHERE,
				    "an image whose data comes first is written only once");
	err = put_spec(&body, &plan->spec);
	if (err == Q2S_OK)
		err = put_note(&body, note);
	if (err == Q2S_OK)
		err = put_source(&body, &plan->spec, disk, &look);
	if (err == Q2S_OK)
		err = put_owners(&body, &plan->alloc->owners);
	if (err == Q2S_OK)
		err = put_alloc(&body, plan->alloc);
	if (err == Q2S_OK)
		err = write_all(&body.store, sink, diag);
	q2si_store_free(&body.store);
	return err;
}
