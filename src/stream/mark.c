/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/mark.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "common/fault.h"
#include "common/tool.h"

/* ---- options ------------------------------------------------------------------------------- */

static bool
parse(const char *option, const char *arg, struct q2s_id *out)
{
	if (q2s_id_parse(arg, out))
		return true;
	(void)tool_usage_error("%s: '%.64s' is not an id: 32 hexadecimal digits or a UUID, and not "
			       "all zeros", option, arg);
	return false;
}

bool
mark_parse_id(struct stream_options *options, const char *arg)
{
	options->marked = true;
	return !arg || parse("--mark", arg, &options->mark.id);
}

bool
mark_parse_parent(struct stream_options *options, const char *arg)
{
	return parse("--mark-parent", arg, &options->mark.parent);
}

bool
mark_check(const struct stream_options *options)
{
	const struct q2s_mark *const mark = &options->mark;
	const bool part = options->range.kind != RANGE_ALL && !options->measure;

	if (!options->marked && !q2s_id_is_none(&mark->parent))
		(void)tool_usage_error("--mark-parent names the parent of the new layer; it needs "
				       "--mark");
	else if (!options->marked)
		return true;
	else if (options->raw_output || options->compare || options->plan)
		(void)tool_usage_error("--mark is for a new qcow2 image; -O raw, --compare and --plan "
				       "contradict it");
	else if (options->data_file)
		(void)tool_usage_error("--mark: says nothing of what is in an external data file");
	else if (part && q2s_id_is_none(&mark->id) && !options->save_plan)
		(void)tool_usage_error("--mark: without an id each run would choose another one, and the "
				       "parts would not fit together; use --mark=ID, or keep a plan "
				       "(--save-plan)");
	else if (q2s_id_equal(&mark->id, &mark->parent) && !q2s_id_is_none(&mark->id))
		(void)tool_usage_error("--mark-parent: a layer cannot be its own parent");
	else
		return true;
	return false;
}

/* ---- the new layer ------------------------------------------------------------------------- */

static enum q2s_err
random_id(struct q2s_id *out, struct q2s_diag *diag)
{
	do {
		if (getrandom(out->bytes, sizeof(out->bytes), 0) != (ssize_t)sizeof(out->bytes))
			return fault(diag, Q2S_E_IO, "--mark", "no random bytes: %s",
				     strerror(errno));
	} while (q2s_id_is_none(out));
	return Q2S_OK;
}

/* @mark is the new layer's as far as it is known, @of_base that of BASE. */
static enum q2s_err
settle_parent(const struct q2s_mark *of_base, bool valid, const char *base, struct q2s_mark *mark,
	      struct q2s_diag *diag)
{
	char id[Q2S_ID_TEXT], other[Q2S_ID_TEXT];

	q2s_id_text(&of_base->id, id);
	if (!valid && q2s_id_equal(&of_base->id, &mark->parent))
		return fault(diag, Q2S_E_CONFLICT, "--mark-parent",
			     "was opened for writing since it was marked %s, so that it may not be that "
			     "layer any more", id);
	if (!valid && q2s_id_is_none(&mark->parent))
		tool_warn("%s: opened for writing since it was marked %s; the new layer names no "
			  "parent", base, id);
	if (!valid)
		return Q2S_OK;
	if (q2s_id_equal(&of_base->id, &mark->id))
		return fault(diag, Q2S_E_CONFLICT, "--mark", "has the id %s already", id);
	if (!q2s_id_is_none(&mark->parent) && !q2s_id_equal(&of_base->id, &mark->parent))
		return fault(diag, Q2S_E_CONFLICT, "--mark-parent",
			     "is marked %s, and not %s", id, q2s_id_text(&mark->parent, other));
	mark->parent = of_base->id;
	return Q2S_OK;
}

/* BASE has a mark only if it is said to be an image: a guest could write one to a raw disk. */
static enum q2s_err
read_base(const struct stream_options *options, const struct base *base, struct q2s_mark *mark,
	  struct q2s_diag *diag)
{
	struct q2s_store *file;
	struct q2s_image *image = NULL;
	const struct q2s_mark *of_base;
	enum q2s_err err;
	bool valid;

	if (!base || !base->disk || strcmp(options->other_format, "qcow2") != 0)
		return Q2S_OK;
	file = q2s_disk_file(base->disk, 0);
	if (!file)
		return Q2S_OK;
	err = q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, diag);
	if (err != Q2S_OK)
		return err;
	of_base = q2s_image_mark(image, &valid);
	if (of_base)
		err = settle_parent(of_base, valid, options->base, mark, diag);
	q2s_image_close(image);
	return fault_in(diag, err, q2s_store_name(file));
}

/* A difference of which nothing says that it is one: its mark would be that of a full image. */
static bool
is_orphan(const struct stream_options *options, const struct base *base, const struct q2s_mark *mark)
{
	const bool nameless = options->base ? !base->name :
			      options->changed ? strcmp(options->backing_name, "none") == 0 : false;

	return nameless && q2s_id_is_none(&mark->parent);
}

enum q2s_err
mark_make(const struct stream_options *options, const struct base *base, struct q2s_mark *out,
	  struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	*out = options->mark;
	if (!options->marked)
		return Q2S_OK;
	if (q2s_id_is_none(&out->id))
		err = random_id(&out->id, diag);
	if (err == Q2S_OK)
		err = read_base(options, base, out, diag);
	if (err == Q2S_OK && is_orphan(options, base, out))
		err = fault(diag, Q2S_E_CONFLICT, "--mark",
			    "a difference that names no parent would be taken for a full image; give "
			    "it the parent's id (--mark-parent) or a backing file");
	return err;
}
