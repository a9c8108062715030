/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which an image comes about: what is stored, shared, compressed; the plan; its bytes. */
#include <q2s/builder.h>

#include <q2s/http.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"

/* Compressed data that waits in memory; what is more goes to a file. */
#define SPOOL_BUDGET (8u << 20)

/*
 * @options     what it was made with; after q2s_builder_new() its pointers to what was copied are
 *              unset
 * @difference  what @disk changes over @base
 * @narrowed    of that, or of @disk, what @changed calls changed; @scope: of @disk
 * @own_plan    NULL if the plan is the caller's
 * @verified    the range that q2s_builder_verify() has looked at
 */
struct q2s_builder {
	struct q2s_builder_options options;
	struct q2s_observer observer;
	struct q2s_disk *disk, *base, *changed;
	struct q2s_disk *difference, *narrowed, *scope;
	struct q2s_compression compression;
	struct q2s_plan *own_plan;
	const struct q2s_plan *plan;
	struct q2s_spool *spool;
	struct q2s_measure measure;
	struct {
		uint64_t from, until;
	} verified;
};

/* ---- what is stored ---------------------------------------------------------------------- */

/* A raw data file promises that every cluster is where a raw disk has it, so nothing is looked at. */
static enum q2s_err
allocate_all(const struct q2s_geom *geom, struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	const struct q2s_slot slot = { .host = true, .alloc = geom->sub_mask };

	return q2s_alloc_add(alloc, &slot, geom->clusters, diag);
}

/*
 * To look for zeros in data that lies on a server would be to fetch it twice; of an image, unlike
 * of a raw disk, the metadata say what is data.
 */
static bool
is_remote_image(const struct q2s_disk *disk)
{
	struct q2s_store *file = q2s_disk_file(disk, 0);
	bool is = file != NULL;

	for (size_t i = 0; is && (file = q2s_disk_file(disk, i)); i++)
		is = q2s_store_is_remote(file) && q2s_image_probe(file);
	return is;
}

/* Look at @inner only where the map says that something changed. */
static enum q2s_err
narrow_to_changes(struct q2s_builder *builder, struct q2s_disk *inner, const struct q2s_geom *geom,
		  struct q2s_diag *diag)
{
	struct q2s_changed_options how = { .size = sizeof(how),
					   .unit = geom->sub_size, .counts = UINT64_MAX };

	if (builder->base) {
		/* Where the one or the other had nothing, no bitmap could tell what changed. */
		how.counts = q2si_round_up(q2si_min(q2s_disk_size(builder->changed),
						    q2s_disk_size(builder->base)),
					   Q2S_SECTOR);
		if (how.counts >= geom->size)
			how.counts = UINT64_MAX;
	}
	Q2SI_TRY(q2s_disk_changed(builder->disk, builder->changed, &how, &builder->scope, diag));
	how.absent_is_same = builder->base != NULL;
	return q2s_disk_changed(inner, builder->changed, &how, &builder->narrowed, diag);
}

/* The disk whose extents say what the image has to hold: what differs, where something changed. */
static enum q2s_err
narrow(struct q2s_builder *builder, const struct q2s_geom *geom, struct q2s_disk **out,
       struct q2s_diag *diag)
{
	*out = builder->disk;
	if (builder->base) {
		Q2SI_TRY(q2s_disk_diff(builder->disk, builder->base, geom->size, geom->sub_size,
				       &builder->difference, diag));
		*out = builder->difference;
	}
	if (builder->changed) {
		Q2SI_TRY(narrow_to_changes(builder, *out, geom, diag));
		*out = builder->narrowed;
	}
	return Q2S_OK;
}

/* Over a base, what is equal shows through; what became zero has to be said. */
static enum q2s_err
scan(struct q2s_builder *builder, const struct q2s_spec *spec, struct q2s_alloc **out,
     struct q2s_diag *diag)
{
	const struct q2s_builder_options *const options = &builder->options;
	const struct q2s_scan_options how = {
		.size = sizeof(how),
		.threads = options->threads,
		.trust_holes = options->trust_holes || is_remote_image(builder->disk) ||
			       builder->base, /* comparing has told what is zero */
		.keep_zeros = spec->difference,
		.store_zeros = options->store_zeros,
		.read_again = options->compression || options->dedup ||
			      (!options->measure_only && !options->part_only),
		.observer = options->observer,
	};
	struct q2s_disk *looked_at;

	Q2SI_TRY(narrow(builder, &spec->geom, &looked_at, diag));
	return q2s_scan(looked_at, &spec->geom, &how, out, diag);
}

static enum q2s_err
allocate(struct q2s_builder *builder, const struct q2s_spec *spec, struct q2s_alloc **out,
	 struct q2s_diag *diag)
{
	const struct q2s_builder_options *const options = &builder->options;

	if (!options->allocate && !spec->data_file_raw)
		return scan(builder, spec, out, diag);
	Q2SI_TRY(q2s_alloc_new(&spec->geom, out, diag));
	if (options->allocate)
		return options->allocate(options->opaque, *out, diag);
	return allocate_all(&spec->geom, *out, diag);
}

/* ---- what becomes of it ------------------------------------------------------------------- */

static enum q2s_err
preallocate(const struct q2s_spec *spec, struct q2s_alloc *alloc, struct q2s_alloc **out,
	    struct q2s_diag *diag)
{
	const struct q2s_slot space = q2s_spec_space(spec);

	return q2s_alloc_fill(alloc, &space, out, diag);
}

static enum q2s_err
share(struct q2s_builder *builder, struct q2s_alloc *alloc, struct q2s_alloc **out,
      struct q2s_diag *diag)
{
	const struct q2s_share_options how = {
		.size = sizeof(how),
		.threads = builder->options.threads,
		.observer = builder->options.observer,
	};

	return q2s_share(builder->disk, alloc, &how, out, diag);
}

/* To measure, the lengths of the compressed clusters are enough. */
static enum q2s_err
compress(struct q2s_builder *builder, struct q2s_alloc *alloc, struct q2s_alloc **out,
	 struct q2s_diag *diag)
{
	const struct q2s_builder_options *const options = &builder->options;
	struct q2s_compress_options how = {
		.size = sizeof(how),
		.how = builder->compression,
		.threads = options->threads,
		.wanted = options->wanted,
		.opaque = options->opaque,
		.observer = options->observer,
	};

	if (!options->no_spool && !options->measure_only)
		Q2SI_TRY(q2s_spool_new(options->spool_folder, SPOOL_BUDGET, &builder->spool, diag));
	how.spool = builder->spool;
	return q2s_compress(builder->disk, alloc, &how, out, diag);
}

/* What a step made of *@alloc takes its place. */
static void
replace(struct q2s_alloc **alloc, struct q2s_alloc *made)
{
	q2s_alloc_free(*alloc);
	*alloc = made;
}

/* All that has to be known before the plan. */
static enum q2s_err
prepare(struct q2s_builder *builder, const struct q2s_spec *spec, struct q2s_alloc **alloc,
	struct q2s_diag *diag)
{
	const struct q2s_builder_options *const options = &builder->options;
	struct q2s_alloc *made;

	Q2SI_TRY(allocate(builder, spec, alloc, diag));
	if (options->preallocate && !options->allocate && !spec->data_file_raw) {
		Q2SI_TRY(preallocate(spec, *alloc, &made, diag));
		replace(alloc, made);
	}
	if (options->dedup) {
		Q2SI_TRY(share(builder, *alloc, &made, diag));
		replace(alloc, made);
	}
	if (options->compression) {
		Q2SI_TRY(compress(builder, *alloc, &made, diag));
		replace(alloc, made);
	}
	return Q2S_OK;
}

static enum q2s_err
plan(struct q2s_builder *builder, struct q2s_diag *diag)
{
	const struct q2s_builder_options *const options = &builder->options;
	struct q2s_alloc *alloc = NULL;
	struct q2s_spec spec;
	enum q2s_err err;

	if (options->spec)
		spec = *options->spec;
	else
		Q2SI_TRY(q2s_spec_init(&spec, q2s_disk_size(builder->disk), diag));
	if (spec.geom.size < q2s_disk_size(builder->disk))
		return q2si_fail(diag, Q2S_E_USAGE, "size", Q2S_NOWHERE, spec.geom.size,
				 "less than the 0x%llx bytes of the disk",
				 (unsigned long long)q2s_disk_size(builder->disk));
	if (options->compression)
		spec.compression_type = options->compression->type;
	spec.difference = spec.difference || builder->base || builder->changed;
	Q2SI_TRY(q2s_spec_check(&spec, diag)); /* before the work */
	err = prepare(builder, &spec, &alloc, diag);
	if (err == Q2S_OK)
		err = q2s_plan_new(&spec, alloc, &builder->own_plan, diag);
	if (err != Q2S_OK)
		q2s_alloc_free(alloc);
	builder->plan = builder->own_plan;
	return err;
}

/* As qemu-img measure -O raw: holes count too. */
static enum q2s_err
measure_raw(struct q2s_builder *builder, struct q2s_diag *diag)
{
	const uint64_t disk = q2s_disk_size(builder->disk), wanted = builder->options.raw_size;
	const uint64_t length = q2si_round_up(wanted ? wanted : disk, Q2S_SECTOR);

	if (wanted && wanted < disk)
		return q2si_fail(diag, Q2S_E_USAGE, "size", Q2S_NOWHERE, wanted,
				 "less than the 0x%llx bytes of the disk", (unsigned long long)disk);
	builder->measure = (struct q2s_measure){
		.required = length,
		.fully_allocated = length,
		.length = length,
	};
	return Q2S_OK;
}

static enum q2s_err
make(struct q2s_builder *builder, struct q2s_diag *diag)
{
	if (builder->options.raw)
		return measure_raw(builder, diag);
	builder->plan = builder->options.plan;
	if (!builder->plan)
		Q2SI_TRY(plan(builder, diag));
	return q2s_plan_measure(builder->plan, &builder->measure, diag);
}

/* ---- from the beginning to the end ------------------------------------------------------------ */

/* Nothing that is the caller's, and need not live on, is kept. */
static void
take_options(struct q2s_builder *builder)
{
	struct q2s_builder_options *const options = &builder->options;

	if (options->observer) {
		builder->observer = *options->observer;
		options->observer = &builder->observer;
	}
	if (options->compression) {
		builder->compression = *options->compression;
		options->compression = &builder->compression;
	}
	builder->base = options->base && !options->raw ? q2s_disk_ref(options->base) : NULL;
	builder->changed = options->changed && !options->raw ? q2s_disk_ref(options->changed) : NULL;
}

enum q2s_err
q2s_builder_new(struct q2s_disk *disk, const struct q2s_builder_options *options,
		struct q2s_builder **out, struct q2s_diag *diag)
{
	struct q2s_builder *const builder = calloc(1, sizeof(*builder));
	enum q2s_err err;

	if (!builder)
		return q2si_fail_nomem(diag, "builder");
	builder->options = (struct q2s_builder_options)Q2S_BUILDER_OPTIONS_INIT;
	err = q2si_options_copy(&builder->options, options, diag);
	if (err == Q2S_OK) {
		builder->disk = q2s_disk_ref(disk);
		take_options(builder);
		err = make(builder, diag);
	}
	builder->options.spec = NULL;
	builder->options.spool_folder = NULL;
	if (err == Q2S_OK)
		*out = builder;
	else
		q2s_builder_free(builder);
	return err;
}

void
q2s_builder_free(struct q2s_builder *builder)
{
	if (!builder)
		return;
	q2s_plan_free(builder->own_plan);
	q2s_spool_free(builder->spool);
	q2s_disk_close(builder->narrowed);
	q2s_disk_close(builder->scope);
	q2s_disk_close(builder->difference);
	q2s_disk_close(builder->changed);
	q2s_disk_close(builder->base);
	q2s_disk_close(builder->disk);
	free(builder);
}

const struct q2s_measure *
q2s_builder_measure(const struct q2s_builder *builder)
{
	return &builder->measure;
}

const struct q2s_plan *
q2s_builder_plan(const struct q2s_builder *builder)
{
	return builder->plan;
}

/* ---- its bytes ----------------------------------------------------------------------------- */

static enum q2s_err
resolve(const struct q2s_builder *builder, uint64_t from, uint64_t *until, struct q2s_diag *diag)
{
	if (*until == Q2S_TO_END)
		*until = builder->measure.length;
	if (from <= *until && *until <= builder->measure.length)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_USAGE, "range", Q2S_NOWHERE, from > *until ? from : *until,
			 "the image has 0x%llx bytes", (unsigned long long)builder->measure.length);
}

enum q2s_err
q2s_builder_verify(struct q2s_builder *builder, uint64_t from, uint64_t until,
		   struct q2s_diag *diag)
{
	const struct q2s_plan_look look = {
		.size = sizeof(look),
		.from = from,
		.until = until == Q2S_TO_END ? builder->measure.length : until,
		.threads = builder->options.threads,
		.observer = builder->options.observer,
	};

	Q2SI_TRY(resolve(builder, from, &until, diag));
	if (!builder->options.plan || builder->options.raw ||
	    (builder->verified.from <= from && until <= builder->verified.until))
		return Q2S_OK;
	Q2SI_TRY(q2s_plan_verify(builder->plan, builder->disk, &look, diag));
	builder->verified.from = from;
	builder->verified.until = until;
	return Q2S_OK;
}

/* The disk was verified when its last byte was written; what it was compared with was not. */
static enum q2s_err
verify_others(const struct q2s_builder *builder, struct q2s_diag *diag)
{
	if (builder->difference)
		Q2SI_TRY(q2s_disk_verify(builder->difference, diag));
	return builder->changed ? q2s_disk_verify(builder->changed, diag) : Q2S_OK;
}

enum q2s_err
q2s_builder_emit(struct q2s_builder *builder, struct q2s_sink *sink, uint64_t from, uint64_t until,
		 struct q2s_diag *diag)
{
	struct q2s_emit_options how = {
		.size = sizeof(how),
		.from = from,
		.raw_size = builder->options.raw ? builder->measure.length : 0,
		.spool = builder->spool,
		.how = builder->plan ? builder->options.compression : NULL,
		.threads = builder->options.threads,
		.crypt = builder->options.crypt,
		.observer = builder->options.observer,
	};

	if (builder->options.measure_only)
		return q2si_fail_at(diag, Q2S_E_USAGE, "builder", Q2S_NOWHERE,
				    "it was made to measure only");
	Q2SI_TRY(resolve(builder, from, &until, diag));
	if (from < until) {
		Q2SI_TRY(q2s_builder_verify(builder, from, until, diag));
		how.until = until;
		if (builder->plan)
			Q2SI_TRY(q2s_emit(builder->plan, builder->disk, sink, &how, diag));
		else
			Q2SI_TRY(q2s_emit_raw(builder->disk, sink, &how, diag));
	}
	return verify_others(builder, diag);
}

enum q2s_err
q2s_builder_emit_data(struct q2s_builder *builder, struct q2s_sink *sink, struct q2s_diag *diag)
{
	const struct q2s_emit_options how = {
		.size = sizeof(how),
		.until = Q2S_TO_END,
		.threads = builder->options.threads,
		.observer = builder->options.observer,
	};

	return q2s_emit_raw(builder->disk, sink, &how, diag);
}

enum q2s_err
q2s_builder_commit(struct q2s_builder *builder, const char *path, unsigned flags,
		   struct q2s_diag *diag)
{
	struct q2s_sink *sink;
	enum q2s_err err;

	Q2SI_TRY(q2s_builder_verify(builder, 0, Q2S_TO_END, diag));
	Q2SI_TRY(q2s_sink_open(path, flags, builder->measure.length, &sink, diag));
	err = q2s_builder_emit(builder, sink, 0, Q2S_TO_END, diag);
	if (err == Q2S_OK)
		return q2s_sink_commit(sink, diag);
	q2s_sink_abort(sink);
	return err;
}

enum q2s_err
q2s_builder_save_plan(const struct q2s_builder *builder, const char *view, struct q2s_sink *sink,
		      struct q2s_diag *diag)
{
	const struct q2s_compression *const how = builder->options.compression;
	const struct q2s_plan_look look = {
		.size = sizeof(look),
		.threads = builder->options.threads,
		.scope = builder->scope,
		.observer = builder->options.observer,
	};
	struct q2s_plan_note note = { .compressed = how != NULL };

	if (!builder->plan)
		return q2si_fail_at(diag, Q2S_E_USAGE, "plan", Q2S_NOWHERE, "a raw image has none");
	if (view)
		snprintf(note.view, sizeof(note.view), "%s", view);
	if (how) {
		note.type = how->type;
		note.has_level = how->has_level;
		note.level = how->level;
		snprintf(note.encoder, sizeof(note.encoder), "%s", q2s_encoder_name(how));
	}
	return q2s_plan_save(builder->plan, &note, builder->disk, &look, sink, diag);
}
