/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing the new image: what is allocated, the plan, the sinks, and bytes from an empty disk. */
#include "create/write.h"

#include <sys/stat.h>

#include <q2s/emit.h>

#include "common/fault.h"
#include "common/output.h"
#include "common/progress.h"

/*
 * Space that is kept for a cluster. A standard entry can only say that it has data (of a hole in
 * the file, so zeros); an extended one keeps the space and lets the backing file show through.
 * Where the data file alone is the disk, all of it must be seen.
 */
static struct q2s_slot
kept_space(const struct q2s_spec *spec)
{
	const bool visible = !spec->geom.extended || spec->data_file_raw;

	return (struct q2s_slot){ .host = true, .alloc = visible ? spec->geom.sub_mask : 0 };
}

static enum q2s_err
make_plan(const struct create_options *options, const struct q2s_spec *spec, struct q2s_plan **out,
	  struct q2s_diag *diag)
{
	const bool keep =
		spec->data_file_raw || options->image.preallocation != IMAGE_PREALLOCATION_OFF;
	const struct q2s_slot slot = kept_space(spec);
	struct q2s_alloc *alloc;
	enum q2s_err err = q2s_alloc_new(&spec->geom, &alloc, diag);

	if (err != Q2S_OK)
		return err;
	if (keep && spec->geom.clusters > 0)
		err = q2s_alloc_add(alloc, &slot, spec->geom.clusters, diag);
	if (err == Q2S_OK)
		err = q2s_plan_new(spec, alloc, out, diag);
	if (err != Q2S_OK)
		q2s_alloc_free(alloc);
	return err;
}

/* A block device is written in place, so it is "replaced" as much as a file is. */
static enum q2s_err
check_device(const struct create_options *options, const char *path, struct q2s_diag *diag)
{
	struct stat st;

	if (options->force || stat(path, &st) != 0 || !S_ISBLK(st.st_mode))
		return Q2S_OK;
	return fault(diag, Q2S_E_EXISTS, "output", "is a block device");
}

static enum q2s_err
open_output(const struct create_options *options, const char *path, uint64_t length,
	    struct output *out, struct q2s_diag *diag)
{
	const unsigned flags = Q2S_SINK_SYNC | (options->force ? Q2S_SINK_REPLACE : 0);
	const enum q2s_err err = check_device(options, path, diag);

	return err != Q2S_OK ? err : output_open(out, path, flags, length, diag);
}

/* The data file is empty, but as long as the disk. */
static enum q2s_err
write_data(const struct create_options *options, const struct q2s_spec *spec, struct output *out,
	   struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!options->image.data_file)
		return Q2S_OK;
	err = open_output(options, options->image.data_file, spec->geom.size, out, diag);
	if (err == Q2S_OK && spec->geom.size > 0)
		err = q2s_sink_zero(out->sink, spec->geom.size, diag);
	return err;
}

static enum q2s_err
write_metadata(const struct create_options *options, const struct q2s_plan *plan,
	       struct output *out, struct q2s_diag *diag)
{
	const struct q2s_emit_options emit = { .observer = progress_observer() };
	struct q2s_disk *disk = NULL;
	enum q2s_err err =
		open_output(options, options->file, q2s_plan_layout(plan)->length, out, diag);

	if (err == Q2S_OK)
		err = q2s_disk_empty(q2s_plan_spec(plan)->geom.size, &disk, diag);
	if (err == Q2S_OK)
		err = q2s_emit(plan, disk, out->sink, &emit, diag);
	q2s_disk_close(disk);
	return err;
}

enum q2s_err
write_image(const struct create_options *options, const struct q2s_spec *spec,
	    struct q2s_diag *diag)
{
	struct output image = { 0 }, data = { 0 };
	struct q2s_plan *plan = NULL;
	enum q2s_err err = make_plan(options, spec, &plan, diag);

	/* Both are written before either gets its name; the image last, as it needs the other. */
	if (err == Q2S_OK)
		err = write_metadata(options, plan, &image, diag);
	if (err == Q2S_OK)
		err = write_data(options, spec, &data, diag);
	if (err == Q2S_OK)
		err = output_commit(&data, diag);
	if (err == Q2S_OK)
		err = output_commit(&image, diag);
	output_abort(&data);
	output_abort(&image);
	q2s_plan_free(plan);
	return err;
}
