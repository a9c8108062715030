/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other files that a new image needs: its backing file and its external data file. */
#include "create/references.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <q2s/image.h>

#include "common/fault.h"
#include "create/chain.h"
#include "create/names.h"

/* ---- backing file ------------------------------------------------------------------------ */

static enum q2s_err
qcow2_size(struct q2s_file *file, uint64_t *out, struct q2s_diag *diag)
{
	struct q2s_image *image = NULL;
	const enum q2s_err err = q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, diag);

	if (err == Q2S_OK)
		*out = q2s_image_geom(image)->size;
	q2s_image_close(image);
	return err;
}

/* The guest size of the disk in @file, whose format is believed. */
static enum q2s_err
disk_size(struct q2s_file *file, const char *format, uint64_t *out, struct q2s_diag *diag)
{
	if (strcmp(format, "qcow2") == 0)
		return qcow2_size(file, out, diag);
	*out = q2s_file_size(file);
	return Q2S_OK;
}

static enum q2s_err
check_can_open(const struct image_options *image, struct q2s_diag *diag)
{
	if (!name_is_plain(image->backing_file))
		return fault(diag, Q2S_E_UNSUPPORTED, "backing file",
			     "'%.128s' is no plain file name and cannot be opened here; "
			     "use -u and give SIZE",
			     image->backing_file);
	if (strcmp(image->backing_fmt, "raw") != 0 && strcmp(image->backing_fmt, "qcow2") != 0)
		return fault(diag, Q2S_E_UNSUPPORTED, "backing_fmt",
			     "only raw and qcow2 can be opened, not '%.16s'; use -u and give SIZE",
			     image->backing_fmt);
	return Q2S_OK;
}

/* Neither of the files that we are going to write may be below the new image. */
static enum q2s_err
spare_layers(const struct create_options *options, struct q2s_file *file, struct q2s_diag *diag)
{
	const struct image_options *const image = &options->image;
	enum q2s_err err = chain_spare(file, image->backing_fmt, options->file, "new image", diag);

	if (err == Q2S_OK && image->data_file)
		err = chain_spare(file, image->backing_fmt, image->data_file, "data_file", diag);
	return err;
}

static enum q2s_err
open_backing(struct create_options *options, const char *path, struct q2s_diag *diag)
{
	struct image_options *const image = &options->image;
	struct q2s_file *file = NULL;
	uint64_t size = 0;
	enum q2s_err err = q2s_file_open(path, &file, diag);

	if (err == Q2S_OK)
		err = disk_size(file, image->backing_fmt, &size, diag);
	fault_in(diag, err, path);
	if (err == Q2S_OK)
		err = spare_layers(options, file, diag);
	if (err == Q2S_OK && !image->has_size) {
		image->size = size;
		image->has_size = true;
	}
	q2s_file_close(file);
	return err;
}

enum q2s_err
references_backing(struct create_options *options, struct q2s_diag *diag)
{
	struct image_options *const image = &options->image;
	enum q2s_err err;
	char *path;

	if (!image->backing_file || !image->backing_fmt)
		return Q2S_OK; /* image_options_spec() refuses one without the other */
	path = name_beside(options->file, image->backing_file);
	if (!path)
		return fault_nomem(diag, "backing file");
	if (strcmp(image->backing_file, options->file) == 0 ||
	    name_is_same_file(path, options->file))
		err = fault(diag, Q2S_E_CONFLICT, "backing file", "is the new image itself");
	else
		err = options->unsafe ? Q2S_OK : check_can_open(image, diag);
	if (err == Q2S_OK && !options->unsafe)
		err = open_backing(options, path, diag);
	free(path);
	return err;
}

/* ---- external data file ------------------------------------------------------------------ */

static enum q2s_err
make_absolute(char **name, struct q2s_diag *diag)
{
	char *const here = getcwd(NULL, 0);
	char *out;

	if (!here)
		return fault_errno(diag, "data_file", "no current directory");
	if (asprintf(&out, "%s/%s", strcmp(here, "/") == 0 ? "" : here, *name) < 0)
		out = NULL;
	free(here);
	if (!out)
		return fault_nomem(diag, "data_file");
	free(*name);
	*name = out;
	return Q2S_OK;
}

/* Writing the data file must not destroy another file of the same image. */
static enum q2s_err
check_data_file_alone(const struct create_options *options, struct q2s_diag *diag)
{
	const struct image_options *const image = &options->image;
	char *backing;
	bool same;

	if (name_is_same_file(image->data_file, options->file))
		return fault(diag, Q2S_E_CONFLICT, "data_file", "is the new image itself");
	if (!image->backing_file || !name_is_plain(image->backing_file))
		return Q2S_OK;
	backing = name_beside(options->file, image->backing_file);
	if (!backing)
		return fault_nomem(diag, "data_file");
	same = name_is_same_file(image->data_file, backing);
	free(backing);
	if (same)
		return fault(diag, Q2S_E_CONFLICT, "data_file", "is the backing file");
	return Q2S_OK;
}

enum q2s_err
references_data_file(struct create_options *options, struct q2s_diag *diag)
{
	char **const name = &options->image.data_file;

	if (!*name)
		return Q2S_OK;
	if (!name_is_plain(*name))
		return fault(diag, Q2S_E_USAGE, "data_file",
			     "'%.128s' is no plain file name; put ./ before a name with a colon",
			     *name);
	if (**name != '/' && !name_is_here(options->file)) {
		const enum q2s_err err = make_absolute(name, diag);

		if (err != Q2S_OK)
			return err;
	}
	return check_data_file_alone(options, diag);
}
