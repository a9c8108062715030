/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other files that a new image needs: its backing file and its external data file. */
#include "create/references.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <q2s/chain.h>

#include "common/fault.h"
#include "common/guard.h"
#include "common/names.h"

/* ---- backing file ------------------------------------------------------------------------ */

/* Is there a file of this name where the new image looks for its backing file? */
static bool
is_file_here(const struct create_options *options, const char *name)
{
	char *const path = name_beside(options->file, name);
	const bool found = path && access(path, F_OK) == 0;

	free(path);
	return found;
}

static enum q2s_err
check_can_open(const struct create_options *options, struct q2s_diag *diag)
{
	const struct image_options *const image = &options->image;

	if (!name_is_plain(image->backing_file) && is_file_here(options, image->backing_file))
		return fault(diag, Q2S_E_UNSUPPORTED, "backing file",
			     "a name with a colon is one of a protocol to QEMU, and would not be "
			     "found; './%.128s' is this file",
			     image->backing_file);
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

static enum q2s_err
open_backing(struct create_options *options, const char *path, struct q2s_diag *diag)
{
	struct image_options *const image = &options->image;
	const struct q2s_chain_options how = {
		.size = sizeof(how),
		.format = image->backing_fmt,
		.follow = Q2S_FOLLOW_ANY,
		.partial = true,
	};
	struct q2s_chain *chain = NULL;
	struct q2s_store *file = NULL;
	enum q2s_err err = q2s_store_open(path, &file, diag);

	if (err == Q2S_OK)
		err = q2s_chain_open(file, &how, &chain, diag);
	fault_in(diag, err, path);
	/* a reader of the new image opens them all */
	if (err == Q2S_OK)
		err = guard_read_chain(chain, diag);
	if (err == Q2S_OK)
		err = q2s_chain_end(chain, diag); /* nobody could open the new image either */
	if (err == Q2S_OK && !image->has_size) {
		image->size = q2s_chain_layer(chain, 0)->size;
		image->has_size = true;
	}
	q2s_chain_unref(chain);
	q2s_store_unref(file);
	return err;
}

/* ---- backing file that is not opened ------------------------------------------------------ */

/*
 * -u opens nothing for the new image, but the file that its name denotes is spared all the same,
 * and what lies below that as far as it can be found.
 */
static enum q2s_err
spare_unopened(const struct create_options *options, struct q2s_diag *diag)
{
	struct q2s_store *file = NULL;
	char *name = NULL, *path;
	enum q2s_err err;

	if (q2s_reference_path(options->image.backing_file, &name, NULL) != Q2S_OK)
		return Q2S_OK; /* of a protocol: no file here */
	path = name_beside(options->file, name);
	err = path ? guard_read_path(path, diag) : fault_nomem(diag, "backing file");
	if (err == Q2S_OK && q2s_store_open(path, &file, NULL) == Q2S_OK)
		err = guard_read_layers(file, options->image.backing_fmt, diag);
	q2s_store_unref(file);
	free(path);
	free(name);
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
		err = options->unsafe ? Q2S_OK : check_can_open(options, diag);
	if (err == Q2S_OK)
		err = options->unsafe ? spare_unopened(options, diag)
				      : open_backing(options, path, diag);
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

/*
 * A data file that is used as it is. A regular one may be shorter than the disk: what lies behind
 * its end reads as zero, and a guest that writes there makes it longer. A device cannot grow.
 */
static enum q2s_err
check_kept(const struct create_options *options, struct q2s_diag *diag)
{
	const struct image_options *const image = &options->image;
	struct q2s_store *file = NULL;
	enum q2s_err err = Q2S_OK;

	if (options->writes.count > 0)
		return fault(diag, Q2S_E_CONFLICT, "keep_data_file",
			     "what --write says would change the data file");
	err = q2s_store_open(image->data_file, &file, diag);
	if (err != Q2S_OK)
		return fault_in(diag, err, image->data_file);
	if (q2s_store_is_block_device(file) && image->has_size &&
	    q2s_store_size(file) < image->size)
		err = fault(diag, Q2S_E_LIMIT, "data_file",
			    "the device has %" PRIu64 " bytes, the disk %" PRIu64,
			    q2s_store_size(file), image->size);
	q2s_store_unref(file);
	return fault_in(diag, err, image->data_file);
}

enum q2s_err
references_data_file(struct create_options *options, struct q2s_diag *diag)
{
	char **const name = &options->image.data_file;
	enum q2s_err err;

	if (!*name)
		return Q2S_OK; /* image_options_spec() refuses keep_data_file without one */
	if (!name_is_plain(*name))
		return fault(diag, Q2S_E_USAGE, "data_file",
			     "'%.128s' is no plain file name; put ./ before a name with a colon",
			     *name);
	if (**name != '/' && !name_is_here(options->file)) {
		err = make_absolute(name, diag);
		if (err != Q2S_OK)
			return err;
	}
	err = check_data_file_alone(options, diag);
	return err == Q2S_OK && options->image.keep_data_file ? check_kept(options, diag) : err;
}
