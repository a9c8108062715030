/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fault.h"
#include "common/json.h"
#include "common/tool.h"
#include "stream/kept_plan.h"
#include "stream/mark.h"
#include "stream/other_output.h"

/*
 * Is what SOURCE itself calls data stored as it is? To look for zeros in it would be to read it
 * twice, and the first byte would wait for that. Without a base the map alone decides, so nothing
 * is read before. What reads all of a local file anyhow looks.
 */
static bool
takes_data(const struct target *target)
{
	const struct stream_options *const options = target->options;

	if (options->trust_holes)
		return true;
	return target->changed.map && !target->base.disk &&
	       (target->changed.remote || (!target->compressed && !options->dedup));
}

/* The size of the new disk: what was asked for, in which all of the disk has room, or the disk's. */
static enum q2s_err
new_size(const struct target *target, uint64_t *out, struct q2s_diag *diag)
{
	const struct image_options *image = &target->options->image;
	const uint64_t size = q2s_disk_size(target->disk);

	*out = image->has_size ? image->size : size;
	if (*out >= size)
		return Q2S_OK;
	return fault(diag, Q2S_E_USAGE, "size", "is less than the %" PRIu64 " bytes of the disk",
		     size);
}

/* What the image shall be: the options, the size of the disk, and the names of other files. */
static enum q2s_err
specify(const struct target *target, struct q2s_spec *out, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	struct image_options image = options->image;
	uint64_t size;
	enum q2s_err err = new_size(target, &size, diag);

	if (err != Q2S_OK)
		return err;
	/* a copy of the struct alone: the names stay the command line's */
	if (options->data_file && !image.data_file)
		image.data_file = (char *)(uintptr_t)options->source;
	if (target->base.name) {
		image.backing_file = target->base.name;
		image.backing_fmt = (char *)(uintptr_t)options->other_format;
	} else if (options->changed && strcmp(options->backing_name, "none") != 0) {
		image.backing_file = (char *)(uintptr_t)options->backing_name;
		image.backing_fmt = (char *)(uintptr_t)options->other_format;
	}
	err = image_options_spec(&image, size, out, diag);
	if (err == Q2S_OK && (target->base.disk || options->changed) && !image.extended_l2 &&
	    image.preallocation != IMAGE_PREALLOCATION_OFF)
		err = fault(diag, Q2S_E_CONFLICT, "preallocation",
			    "would hide what did not change, unless extended_l2 is on");
	return err;
}

/*
 * The LUKS header, with new keys. To measure, its length will do, which depends on neither the
 * passphrase nor the time that trying one takes.
 */
static enum q2s_err
encrypt(struct target *target, struct q2s_spec *spec, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	uint8_t any[] = "libgcrypt takes no empty one";
	const struct key_file nobody = { any, sizeof(any) - 1 };
	struct encrypt_options how = options->image.encrypt;

	if (!how.luks)
		return Q2S_OK;
	if (options->measure)
		how.iter_time = 0;
	if (options->encrypt_key_file || options->measure)
		return encryption_make(&how, options->measure ? &nobody : &options->encrypt_key,
				       options->encrypt_key_file, spec, &target->encryption, diag);
	return encryption_make(&how, &key_files_any(&options->keys)->key,
			       key_files_any(&options->keys)->path, spec, &target->encryption, diag);
}

/* What has to be known of the image before its content is looked at. */
static enum q2s_err
describe(struct target *target, struct q2s_spec *spec, struct q2s_diag *diag)
{
	const struct stream_options *const options = target->options;
	enum q2s_err err = base_open(options, &target->base, diag);

	if (err == Q2S_OK)
		err = changed_open(options, target->disk, &target->changed, diag);
	if (err == Q2S_OK && options->save_plan)
		err = other_output_check(options->save_plan, options->dest, "--save-plan", diag);
	if (err == Q2S_OK)
		err = specify(target, spec, diag);
	if (err == Q2S_OK)
		err = bitmaps_open(options, target->disk, &spec->geom, &target->bitmaps, diag);
	if (err == Q2S_OK) {
		spec->bitmaps = target->bitmaps.list;
		spec->bitmap_count = target->bitmaps.count;
		err = mark_make(options, &target->base, &spec->mark, diag);
	}
	/* to be said before the passphrase is worked on; with --changed=auto the map may be missing */
	spec->difference = target->base.disk || options->changed;
	if (err == Q2S_OK)
		err = q2s_spec_check(spec, diag);
	return err == Q2S_OK ? encrypt(target, spec, diag) : err;
}

static enum q2s_err
build(struct target *target, const struct q2s_spec *spec, uint64_t size, struct q2s_diag *diag)
{
	const struct stream_options *const options = target->options;
	struct q2s_builder_options how = Q2S_BUILDER_OPTIONS_INIT;
	const enum image_preallocation preallocation = options->image.preallocation;

	how.threads = options->threads;
	how.observer = progress_observer();
	how.raw = options->raw_output;
	how.raw_size = size;
	how.spec = spec;
	how.crypt = target->encryption.crypt;
	how.compression = target->compressed ? &target->compression : NULL;
	how.dedup = options->dedup;
	how.preallocate = preallocation != IMAGE_PREALLOCATION_OFF;
	how.store_zeros = options->image.portable;
	how.trust_holes = takes_data(target);
	how.base = target->base.disk;
	how.changed = target->changed.map;
	how.plan = target->plan;
	how.measure_only = options->measure;
	how.part_only = options->range.kind != RANGE_ALL && !options->save_plan; /* reads all again */
	how.no_spool = options->no_spool;
	how.spool_folder = options->spool;
	return q2s_builder_new(target->disk, &how, &target->builder, diag);
}

/* All of the output, as far as it is known before it is written. */
static enum q2s_err
plan_output(struct target *target, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	struct q2s_spec spec = { 0 };
	uint64_t size = 0;
	enum q2s_err err;

	if (options->raw_output)
		err = new_size(target, &size, diag);
	else if (options->plan)
		err = kept_plan_load(target, options->plan, diag);
	else
		err = describe(target, &spec, diag);
	if (err == Q2S_OK)
		err = build(target, &spec, size, diag);
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

	if (err != Q2S_OK)
		return err;
	out->measure = *q2s_builder_measure(out->builder);
	if (!options->raw_output && !options->plan && image_options_sink_flags(&options->image))
		out->measure.required = out->measure.fully_allocated;
	err = range_resolve(&options->range, out->measure.length, &out->from, &out->until, diag);
	if (err == Q2S_OK && !options->measure)
		err = q2s_builder_verify(out->builder, out->from, out->until, diag);
	return err;
}

void
target_free(struct target *target)
{
	q2s_builder_free(target->builder);
	q2s_plan_free(target->plan);
	encryption_free(&target->encryption);
	bitmaps_close(&target->bitmaps);
	changed_close(&target->changed);
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
	if (target->compressed)
		return "compressing all data";
	return takes_data(target) && !target->base.disk ? "the extents of SOURCE" :
							  "looking for zeros";
}

/* Was anything said about bitmaps? A kept plan may have some. */
static bool
has_bitmaps(const struct target *target)
{
	return target->options->bitmaps || target->options->new_bitmaps.count > 0 ||
	       target->measure.bitmaps > 0;
}

int
target_print_measure(const struct target *target, bool json)
{
	const struct q2s_measure *measure = &target->measure;
	const uint64_t length = target->until - target->from;

	if (!json) {
		(void)printf("required size: %" PRIu64 "\n"
			     "fully allocated size: %" PRIu64 "\n",
			     measure->required, measure->fully_allocated);
		if (has_bitmaps(target))
			(void)printf("bitmaps size: %" PRIu64 "\n", measure->bitmaps);
		(void)printf("known by: %s\n"
			     "exact length: %" PRIu64 "\n",
			     known_by(target), length);
		return tool_finish(0);
	}
	json_t *const object = json_object();

	(void)json_object_set_new(object, "required", u64_json(measure->required));
	(void)json_object_set_new(object, "fully-allocated", u64_json(measure->fully_allocated));
	if (has_bitmaps(target))
		(void)json_object_set_new(object, "bitmaps", u64_json(measure->bitmaps));
	(void)json_object_set_new(object, "length", u64_json(length));
	(void)json_object_set_new(object, "known-by", json_string(known_by(target)));
	if (output_json(stdout, object) != 0 && !tool_reader_is_gone())
		return tool_error("cannot print the measure");
	return tool_finish(0);
}

/* What is replaced stays as it was for whoever has it open, as we have; not so in place. */
static enum q2s_err
check_in_place(const struct target *target, struct q2s_diag *diag)
{
	const char *const dest = target->options->dest;
	struct q2s_store_ident ident = { 0 };
	struct stat st;

	if (!(target->options->outlet.flags & OUTPUT_IN_PLACE) || !dest)
		return Q2S_OK;
	if (stat(dest, &st) != 0) {
		return target->options->into_existing
			       ? fault_in(diag, fault_errno(diag, "-n", "it is written to, not made"),
					  dest)
			       : Q2S_OK;
	}
	if (target->options->into_existing && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size > target->until - target->from)
		return fault_in(diag,
				fault(diag, Q2S_E_CONFLICT, "-n",
				      "it is longer than the disk, and would be cut off; --in-place "
				      "does that"),
				dest);
	ident.dev = st.st_dev;
	ident.ino = st.st_ino;
	if (!q2s_disk_uses(target->disk, &ident))
		return Q2S_OK;
	return fault_in(diag,
			fault(diag, Q2S_E_CONFLICT, "--in-place",
			      "SOURCE consists of this file: it would be destroyed while it is read"),
			dest);
}

enum q2s_err
target_write(struct target *target, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	struct output output = { 0 };
	enum q2s_err err = check_in_place(target, diag);

	if (err == Q2S_OK)
		err = outlet_open(&options->outlet, options->dest, target->until - target->from,
				  &target->digest, &output, diag);
	if (err == Q2S_OK)
		err = q2s_builder_emit(target->builder, output.sink, target->from, target->until,
				       diag);
	if (err == Q2S_OK)
		return output_commit(&output, diag);
	output_abort(&output);
	return err;
}
