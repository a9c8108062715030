/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing the new image: what is allocated, the plan, the sinks, and bytes from a synthetic disk. */
#include "create/write.h"

#include <sys/stat.h>

#include <q2s/emit.h>

#include "common/fault.h"
#include "common/output.h"
#include "common/progress.h"
#include "create/attributes.h"
#include "create/fill.h"

/*
 * Space that is kept for a cluster. A standard entry can only say that it has data (of a hole in
 * the file, so zeros); an extended one keeps the space and lets the backing file show through.
 * Where the data file alone is the disk, all of it must be seen. In an encrypted image a hole is
 * noise for the guest, so there the entry says that it reads as zero.
 */
static struct q2s_slot
kept_space(const struct q2s_spec *spec)
{
	const bool visible = !spec->geom.extended || spec->data_file_raw;

	if (spec->luks.data)
		return (struct q2s_slot){ .host = true,
					  .zero = visible ? spec->geom.sub_mask : 0 };
	return (struct q2s_slot){ .host = true, .alloc = visible ? spec->geom.sub_mask : 0 };
}

static enum q2s_err
make_plan(const struct create_options *options, const struct q2s_spec *spec, struct fill *fill,
	  struct q2s_plan **out, struct q2s_diag *diag)
{
	const bool keep =
		spec->data_file_raw || options->image.preallocation != IMAGE_PREALLOCATION_OFF;
	const struct q2s_slot base = keep ? kept_space(spec) : (struct q2s_slot){ 0 };
	struct regions regions;
	enum q2s_err err = regions_make(&options->writes, spec, &regions, diag);

	if (err != Q2S_OK)
		return err;
	err = fill_make(spec, &base, &regions, fill, diag);
	if (err == Q2S_OK)
		err = q2s_plan_new(spec, fill->alloc, out, diag);
	if (err == Q2S_OK)
		fill->alloc = NULL; /* the plan's now */
	regions_free(&regions);
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

/* How the output treats space that holds nothing but zeros. */
static unsigned
space_flags(enum image_preallocation preallocation)
{
	switch (preallocation) {
	case IMAGE_PREALLOCATION_FALLOC:
		return Q2S_SINK_ALLOCATE;
	case IMAGE_PREALLOCATION_FULL:
		return Q2S_SINK_FULL;
	case IMAGE_PREALLOCATION_OFF:
	case IMAGE_PREALLOCATION_METADATA:
		break;
	}
	return 0;
}

static enum q2s_err
open_output(const struct create_options *options, const char *path, uint64_t length,
	    struct output *out, struct q2s_diag *diag)
{
	const unsigned flags = (options->fast ? 0 : Q2S_SINK_SYNC) |
			       (options->force ? Q2S_SINK_REPLACE : 0) |
			       space_flags(options->image.preallocation);
	enum q2s_err err = check_device(options, path, diag);

	if (err == Q2S_OK)
		err = output_open(out, path, flags, length, diag);
	if (err == Q2S_OK)
		attributes_set(q2s_sink_fd(out->sink), &options->image, path);
	return err;
}

/* The data file is the disk itself. */
static enum q2s_err
write_data(const struct create_options *options, const struct fill *fill, struct output *out,
	   struct q2s_diag *diag)
{
	const struct q2s_emit_options emit = { .observer = progress_observer() };
	enum q2s_err err;

	if (!options->image.data_file)
		return Q2S_OK;
	err = open_output(options, options->image.data_file, q2s_disk_size(fill->disk), out, diag);
	if (err == Q2S_OK)
		err = q2s_emit_raw(fill->disk, out->sink, &emit, diag);
	return err;
}

static enum q2s_err
write_metadata(const struct create_options *options, const struct q2s_plan *plan,
	       const struct fill *fill, const struct q2s_crypt *crypt, struct output *out,
	       struct q2s_diag *diag)
{
	const struct q2s_emit_options emit = { .spool = fill->spool,
					       .crypt = crypt,
					       .observer = progress_observer() };
	enum q2s_err err =
		open_output(options, options->file, q2s_plan_layout(plan)->length, out, diag);

	if (err == Q2S_OK)
		err = q2s_emit(plan, fill->disk, out->sink, &emit, diag);
	return err;
}

enum q2s_err
write_image(const struct create_options *options, const struct q2s_spec *spec,
	    const struct q2s_crypt *crypt, struct q2s_diag *diag)
{
	struct output image = { 0 }, data = { 0 };
	struct fill fill = { 0 };
	struct q2s_plan *plan = NULL;
	enum q2s_err err = make_plan(options, spec, &fill, &plan, diag);

	/* Both are written before either gets its name; the image last, as it needs the other. */
	if (err == Q2S_OK)
		err = write_metadata(options, plan, &fill, crypt, &image, diag);
	if (err == Q2S_OK)
		err = write_data(options, &fill, &data, diag);
	if (err == Q2S_OK)
		err = output_commit(&data, diag);
	if (err == Q2S_OK)
		err = output_commit(&image, diag);
	output_abort(&data);
	output_abort(&image);
	q2s_plan_free(plan);
	fill_free(&fill);
	return err;
}
