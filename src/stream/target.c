/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/json.h"
#include "common/tool.h"
#include "stream/kept_plan.h"

/* Compressed data that waits in memory; what is more goes to a file. */
#define SPOOL_BUDGET (8u << 20)

/* A raw data file promises that every cluster is where a raw disk has it, so nothing is looked at. */
static enum q2s_err
allocate_all(const struct q2s_geom *geom, struct q2s_alloc **out, struct q2s_diag *diag)
{
	const struct q2s_slot slot = { .host = true, .alloc = geom->sub_mask };
	enum q2s_err err = q2s_alloc_new(geom, out, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_alloc_add(*out, &slot, geom->clusters, diag);
	if (err != Q2S_OK)
		q2s_alloc_free(*out);
	return err;
}

/* Will the data be read as a whole after the scan, and not only a part of it or nothing? */
static bool
reads_again(const struct stream_options *options)
{
	return options->compress || options->dedup || options->save_plan ||
	       (!options->measure && options->range.kind == RANGE_ALL);
}

/* Over a base, what is equal shows through; what became zero has to be said. */
static enum q2s_err
allocate(struct target *target, const struct q2s_spec *spec, struct q2s_alloc **out,
	 struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &spec->geom;
	const struct q2s_scan_options scan = {
		.threads = target->options->threads,
		.trust_holes = target->options->trust_holes,
		.keep_zeros = target->base.disk != NULL,
		.read_again = reads_again(target->options),
		.observer = progress_observer(),
	};
	enum q2s_err err;

	if (spec->data_file_raw)
		return allocate_all(geom, out, diag);
	if (!target->base.disk)
		return q2s_scan(target->disk, geom, &scan, out, diag);
	err = q2s_disk_diff(target->disk, target->base.disk, geom->size, geom->sub_size,
			    &target->changes, diag);
	return err == Q2S_OK ? q2s_scan(target->changes, geom, &scan, out, diag) : err;
}

/* What the image shall be: the options, the size of the disk, and the names of other files. */
static enum q2s_err
specify(const struct target *target, struct q2s_spec *out, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	struct image_options image = options->image;
	const uint64_t size = q2s_disk_size(target->disk);

	if (image.has_size && image.size < size)
		return fault(diag, Q2S_E_USAGE, "size",
			     "is less than the %" PRIu64 " bytes of the disk", size);
	/* a copy of the struct alone: the names stay the command line's */
	if (options->data_file && !image.data_file)
		image.data_file = (char *)(uintptr_t)options->source;
	if (target->base.disk) {
		image.backing_file = target->base.name;
		image.backing_fmt = (char *)(uintptr_t)options->other_format;
	}
	return image_options_spec(&image, image.has_size ? image.size : size, out, diag);
}

/* Replace *@alloc by one in which clusters that are the same share their place. */
static enum q2s_err
share(const struct target *target, struct q2s_alloc **alloc, struct q2s_diag *diag)
{
	const struct q2s_share_options how = {
		.threads = target->options->threads,
		.observer = progress_observer(),
	};
	struct q2s_alloc *shared = NULL;
	const enum q2s_err err = q2s_share(target->disk, *alloc, &how, &shared, diag);

	if (err != Q2S_OK)
		return err;
	q2s_alloc_free(*alloc);
	*alloc = shared;
	return Q2S_OK;
}

/* Replace *@alloc by what it compresses to. --measure needs the lengths alone. */
static enum q2s_err
compress(struct target *target, struct q2s_alloc **alloc, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	struct q2s_compress_options how = {
		.how = target->compression,
		.threads = options->threads,
		.observer = progress_observer(),
	};
	struct q2s_alloc *compressed = NULL;
	enum q2s_err err = Q2S_OK;

	if (!options->no_spool && !options->measure)
		err = q2s_spool_new(options->spool, SPOOL_BUDGET, &target->spool, diag);
	how.spool = target->spool;
	if (err == Q2S_OK)
		err = q2s_compress(target->disk, *alloc, &how, &compressed, diag);
	if (err != Q2S_OK)
		return err;
	q2s_alloc_free(*alloc);
	*alloc = compressed;
	return Q2S_OK;
}

static enum q2s_err
plan_qcow2(const struct stream_options *options, struct target *target, struct q2s_diag *diag)
{
	struct q2s_alloc *alloc = NULL;
	struct q2s_spec spec;
	enum q2s_err err = base_open(options, &target->base, diag);

	if (err == Q2S_OK && options->save_plan)
		err = kept_plan_check(target, options->save_plan, diag);
	if (err == Q2S_OK)
		err = specify(target, &spec, diag);
	if (err == Q2S_OK)
		err = q2s_spec_check(&spec, diag);
	if (err == Q2S_OK)
		err = allocate(target, &spec, &alloc, diag);
	if (err == Q2S_OK && options->dedup)
		err = share(target, &alloc, diag);
	if (err == Q2S_OK && options->compress)
		err = compress(target, &alloc, diag);
	if (err != Q2S_OK) {
		q2s_alloc_free(alloc);
		return err;
	}
	err = q2s_plan_new(&spec, alloc, &target->plan, diag);
	if (err != Q2S_OK) {
		q2s_alloc_free(alloc);
		return err;
	}
	return q2s_plan_measure(target->plan, &target->measure, diag);
}

/* As qemu-img measure -O raw: holes count too. */
static void
measure_raw(struct target *target)
{
	const uint64_t size = q2s_disk_size(target->disk);
	const uint64_t length = (size + Q2S_SECTOR - 1) / Q2S_SECTOR * Q2S_SECTOR;

	target->measure = (struct q2s_measure){
		.required = length,
		.fully_allocated = length,
		.length = length,
	};
}

/* All of the output, as far as it is known before it is written. */
static enum q2s_err
plan_output(struct target *target, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	enum q2s_err err;

	if (options->raw_output) {
		measure_raw(target);
		return Q2S_OK;
	}
	if (options->plan)
		return kept_plan_load(target, options->plan, diag);
	err = plan_qcow2(options, target, diag);
	if (err == Q2S_OK && options->save_plan)
		err = kept_plan_save(target, options->save_plan, diag);
	return err;
}

enum q2s_err
target_plan(const struct stream_options *options, struct q2s_disk *disk, struct target *out,
	    struct q2s_diag *diag)
{
	*out = (struct target){
		.options = options,
		.disk = disk,
		.compressed = options->compress,
		.compression = options->compression,
	};
	enum q2s_err err = plan_output(out, diag);

	if (err == Q2S_OK)
		err = range_resolve(&options->range, out->measure.length, &out->from, &out->until,
				    diag);
	if (err == Q2S_OK && options->plan && !options->measure)
		err = kept_plan_verify(out, diag);
	return err;
}

void
target_free(struct target *target)
{
	q2s_plan_free(target->plan);
	q2s_spool_free(target->spool);
	q2s_disk_close(target->changes);
	base_close(&target->base);
}

/* What it took to know the length: with compression much more than looking for zeros. */
static const char *
known_by(const struct target *target)
{
	if (target->options->plan)
		return "the kept plan";
	if (target->options->raw_output || target->options->image.data_file_raw)
		return "the size";
	return target->compressed ? "compressing all data" : "looking for zeros";
}

int
target_print_measure(const struct target *target, bool json)
{
	const struct q2s_measure *measure = &target->measure;
	const uint64_t length = target->until - target->from;

	if (!json) {
		(void)printf("required size: %" PRIu64 "\n"
			     "fully allocated size: %" PRIu64 "\n"
			     "known by: %s\n"
			     "exact length: %" PRIu64 "\n",
			     measure->required, measure->fully_allocated, known_by(target), length);
		return tool_finish(0);
	}
	json_t *const object = json_object();

	(void)json_object_set_new(object, "required", json_u64(measure->required));
	(void)json_object_set_new(object, "fully-allocated", json_u64(measure->fully_allocated));
	(void)json_object_set_new(object, "length", json_u64(length));
	(void)json_object_set_new(object, "known-by", json_string(known_by(target)));
	if (json_print(stdout, object) != 0)
		return tool_error("cannot print the measure");
	return tool_finish(0);
}

static enum q2s_err
emit(const struct target *target, struct q2s_sink *sink, struct q2s_diag *diag)
{
	const struct q2s_emit_options options = {
		.from = target->from,
		.until = target->until,
		.spool = target->spool,
		.how = target->compressed ? &target->compression : NULL,
		.threads = target->options->threads,
		.observer = progress_observer(),
	};

	if (target->from == target->until)
		return Q2S_OK; /* an empty part: 0 would mean "to the end" */
	if (target->plan)
		return q2s_emit(target->plan, target->disk, sink, &options, diag);
	return q2s_emit_raw(target->disk, sink, &options, diag);
}

enum q2s_err
target_write(struct target *target, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	struct output output = { 0 };
	enum q2s_err err = outlet_open(&options->outlet, options->dest,
				       target->until - target->from, &target->digest, &output,
				       diag);

	if (err == Q2S_OK)
		err = emit(target, output.sink, diag);
	/* the source was verified when its last byte was written; what it was compared with was not */
	if (err == Q2S_OK && target->changes)
		err = q2s_disk_verify(target->changes, diag);
	if (err == Q2S_OK)
		return output_commit(&output, diag);
	output_abort(&output);
	return err;
}
