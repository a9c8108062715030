/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing the new image: what is allocated, the plan, the sinks, and bytes from a synthetic disk. */
#include "create/write.h"

#include <sys/stat.h>

#include "common/fault.h"
#include "common/output.h"
#include "common/tool.h"
#include "create/attributes.h"
#include "create/fill.h"

static enum q2s_err
make_builder(const struct create_options *options, const struct q2s_spec *spec,
	     const struct q2s_crypt *crypt, struct q2s_builder **out, struct q2s_diag *diag)
{
	const bool keep =
		spec->data_file_raw || options->image.preallocation != IMAGE_PREALLOCATION_OFF;
	const struct q2s_slot base = keep ? q2s_spec_space(spec) : (struct q2s_slot){ 0 };
	struct regions regions;
	enum q2s_err err = regions_make(&options->writes, spec, &regions, diag);

	if (err != Q2S_OK)
		return err;
	err = fill_make(spec, crypt, &base, &regions, out, diag);
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
	return fault_in(diag, fault(diag, Q2S_E_EXISTS, "output", "is a block device"), path);
}

static enum q2s_err
open_output(const struct create_options *options, const char *path, uint64_t length,
	    struct output *out, struct q2s_diag *diag)
{
	const unsigned flags = Q2S_SINK_SYNC |
			       (options->force ? Q2S_SINK_REPLACE : 0) |
			       image_options_sink_flags(&options->image);
	enum q2s_err err = check_device(options, path, diag);

	if (err == Q2S_OK)
		err = output_open(out, path, flags, length, diag);
	if (err == Q2S_OK)
		attributes_set(q2s_sink_fd(out->sink), &options->image, path);
	return err;
}

/* --force is about the image; whose data file is replaced with it may not have thought of that. */
static void
warn_of_data(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (S_ISBLK(st.st_mode) || (S_ISREG(st.st_mode) && st.st_size > 0)))
		tool_warn("%s: the data file is there already, and --force replaces what it holds; "
			  "-o keep_data_file=on would use it as it is", path);
}

/* The data file is the disk itself. */
static enum q2s_err
write_data(const struct create_options *options, struct q2s_builder *builder, struct output *out,
	   struct q2s_diag *diag)
{
	const uint64_t size = q2s_plan_spec(q2s_builder_plan(builder))->geom.size;
	enum q2s_err err;

	if (!options->image.data_file || options->image.keep_data_file)
		return Q2S_OK;
	err = open_output(options, options->image.data_file, size, out, diag);
	if (err == Q2S_OK)
		warn_of_data(options->image.data_file);
	if (err == Q2S_OK)
		err = q2s_builder_emit_data(builder, out->sink, diag);
	return err;
}

static enum q2s_err
write_metadata(const struct create_options *options, struct q2s_builder *builder,
	       struct output *out, struct q2s_diag *diag)
{
	enum q2s_err err = open_output(options, options->file,
				       q2s_builder_measure(builder)->length, out, diag);

	if (err == Q2S_OK)
		err = q2s_builder_emit(builder, out->sink, 0, Q2S_TO_END, diag);
	return err;
}

enum q2s_err
write_image(const struct create_options *options, const struct q2s_spec *spec,
	    const struct q2s_crypt *crypt, struct q2s_diag *diag)
{
	struct output image = { 0 }, data = { 0 };
	struct q2s_builder *builder = NULL;
	enum q2s_err err = make_builder(options, spec, crypt, &builder, diag);

	/* Both are written before either gets its name; the image last, as it needs the other. */
	if (err == Q2S_OK)
		err = write_metadata(options, builder, &image, diag);
	if (err == Q2S_OK)
		err = write_data(options, builder, &data, diag);
	if (err == Q2S_OK)
		err = output_commit(&data, diag);
	if (err == Q2S_OK)
		err = output_commit(&image, diag);
	output_abort(&data);
	output_abort(&image);
	q2s_builder_free(builder);
	return err;
}
