/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/changed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/tool.h"

#define QEMU_CONTEXT "qemu:dirty-bitmap:"

/* What follows @word and a colon in @text; NULL when it begins otherwise. */
static const char *
behind(const char *text, const char *word)
{
	const size_t len = strlen(word);

	return strncmp(text, word, len) == 0 && text[len] == ':' ? text + len + 1 : NULL;
}

static bool
is_auto(const char *changed)
{
	return strcmp(changed, "auto") == 0 || behind(changed, "auto");
}

/* ---- options ------------------------------------------------------------------------------- */

/* What WHERE can be depends on the source. */
static bool
check_where(const struct stream_options *options)
{
	const bool nbd = q2s_nbd_is_uri(options->source);
	const bool bitmap = behind(options->changed, "bitmap") != NULL;

	if (is_auto(options->changed) && !options->base)
		(void)tool_usage_error("--changed=auto compares with BASE where the bitmap cannot be "
				       "used; it needs --diff");
	else if (!is_auto(options->changed) && !strchr(options->changed, ':'))
		(void)tool_usage_error("--changed: '%s' is not bitmap:NAME, auto, auto:NAME or a "
				       "metadata context", options->changed);
	else if (bitmap && nbd)
		(void)tool_usage_error("--changed=bitmap:NAME reads a qcow2 file; a server is asked "
				       "for " QEMU_CONTEXT "NAME");
	else if (!bitmap && !nbd && !is_auto(options->changed))
		(void)tool_usage_error("--changed: '%s' is a metadata context, which needs an NBD "
				       "SOURCE", options->changed);
	else
		return true;
	return false;
}

static bool
check_backing(const struct stream_options *options)
{
	const char *const name = options->backing_name;

	if (options->base)
		return true; /* base_check() */
	if (!name)
		(void)tool_usage_error("--changed makes a difference: it needs --diff BASE, or the "
				       "name of the parent (--backing-name NAME, or none)");
	else if (strcmp(name, "none") != 0 && !options->other_format)
		(void)tool_usage_error("--backing-name needs the format of the parent (-F): "
				       "guessing it is unsafe");
	else if (strcmp(name, "none") == 0 && options->other_format)
		(void)tool_usage_error("-F is the format of a parent, and there is none");
	else
		return true;
	return false;
}

bool
changed_check(const struct stream_options *options)
{
	if (!options->changed)
		return true;
	if (options->raw_output || options->compare || options->plan)
		(void)tool_usage_error("--changed makes a qcow2 image that holds a difference; -O raw, "
				       "--compare and --plan contradict it");
	else if (options->extents)
		(void)tool_usage_error("--changed and --extents both say where to look");
	else if (options->image.data_file_raw)
		(void)tool_usage_error("--changed: with a raw data file the image is never a "
				       "difference");
	else if (options->snapshot)
		(void)tool_usage_error("--changed: a bitmap says nothing of a snapshot");
	else
		return check_where(options) && check_backing(options);
	return false;
}

enum q2s_err
changed_context(const struct stream_options *options, char **out, struct q2s_diag *diag)
{
	const char *const name = options->changed ? behind(options->changed, "auto") : NULL;

	*out = NULL;
	if (!options->changed || strcmp(options->changed, "auto") == 0)
		return Q2S_OK;
	if (!name)
		*out = strdup(options->changed);
	else if (asprintf(out, QEMU_CONTEXT "%s", name) < 0)
		*out = NULL;
	return *out ? Q2S_OK : fault_nomem(diag, "--changed");
}

/* ---- opening ------------------------------------------------------------------------------- */

/* With auto alone: the one bitmap that there is. */
static enum q2s_err
open_only(struct q2s_store *file, struct q2s_disk **out, struct q2s_diag *diag)
{
	struct q2s_bitmaps all = { 0 };
	struct q2s_image *image = NULL;
	enum q2s_err err = q2s_image_open(file, 0, &image, diag);

	if (err == Q2S_OK && q2s_image_has_stale_bitmaps(image))
		err = fault(diag, Q2S_E_BITMAP, "bitmaps",
			    "a program without support for bitmaps wrote to this image");
	if (err == Q2S_OK)
		err = q2s_image_bitmap_directory(image, &all, diag);
	if (err == Q2S_OK && all.count != 1)
		err = fault(diag, Q2S_E_USAGE, "bitmaps",
			    "there are %u, so that one has to be named (auto:NAME)", all.count);
	if (err == Q2S_OK)
		err = q2s_disk_bitmap(file, (struct q2s_bytes){ all.list->name, all.list->name_len },
				      out, diag);
	q2s_bitmaps_free(&all);
	q2s_image_close(image);
	return err;
}

static enum q2s_err
open_bitmap(const struct stream_options *options, const char *name, struct q2s_disk *disk,
	    struct q2s_disk **out, struct q2s_diag *diag)
{
	struct q2s_store *const file = q2s_disk_file(disk, 0);
	enum q2s_err err;

	if (!file || (options->format && strcmp(options->format, "qcow2") != 0) ||
	    !q2s_image_probe(file))
		return fault(diag, Q2S_E_USAGE, "--changed", "only a qcow2 SOURCE has bitmaps");
	err = name ? q2s_disk_bitmap(file,
				     (struct q2s_bytes){ (const uint8_t *)name, strlen(name) },
				     out, diag) :
		     open_only(file, out, diag);
	return fault_in(diag, err, q2s_store_name(file));
}

static enum q2s_err
open_map(const struct stream_options *options, struct q2s_disk *disk, struct changed *out,
	 struct q2s_diag *diag)
{
	const char *name = behind(options->changed, "bitmap");

	out->remote = q2s_nbd_is_uri(options->source);
	if (!name)
		name = behind(options->changed, "auto");
	if (!out->remote)
		return open_bitmap(options, name, disk, &out->map, diag);
	if (strcmp(options->changed, "auto") == 0)
		return fault(diag, Q2S_E_USAGE, "--changed",
			     "the bitmap of a server has to be named (auto:NAME)");
	return q2s_disk_nbd_changes(disk, &out->map, diag);
}

/* Is it the bitmap that is to blame, and not the file or the machine? */
static bool
can_do_without(enum q2s_err err)
{
	return err == Q2S_E_USAGE || q2s_err_class(err) == Q2S_CLASS_CORRUPT;
}

/* A bitmap that cannot be trusted is not the end. */
static void
advise(struct q2s_diag *diag)
{
	const size_t len = strlen(diag->text);

	(void)snprintf(diag->text + len, sizeof(diag->text) - len,
		       "; --changed=auto:NAME with --diff compares instead");
}

enum q2s_err
changed_open(const struct stream_options *options, struct q2s_disk *disk, struct changed *out,
	     struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	char text[Q2S_DIAG_TEXT + Q2S_DIAG_WHAT + 64];
	enum q2s_err err;

	if (!options->changed)
		return Q2S_OK;
	if (!is_auto(options->changed)) {
		err = open_map(options, disk, out, diag);
		if (err == Q2S_E_BITMAP)
			advise(diag);
		return err;
	}
	err = open_map(options, disk, out, &why);
	if (err != Q2S_OK && can_do_without(err)) {
		q2s_diag_format(&why, text, sizeof(text));
		tool_warn("%s; comparing with %s instead", text, options->base);
		return Q2S_OK;
	}
	if (err != Q2S_OK && diag)
		*diag = why;
	return err;
}

void
changed_close(struct changed *changed)
{
	q2s_disk_close(changed->map);
	*changed = (struct changed){ 0 };
}
