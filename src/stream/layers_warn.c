/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/layers_warn.h"

#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/tool.h"

/* Two layers, one right below the other; @lower is NULL for a raw disk. */
struct pair {
	struct q2s_store *const *files;
	size_t count, index; /* of the upper one */
	const struct q2s_image *upper, *lower;
};

static const char *
name_of(const struct pair *pair, size_t index)
{
	return q2s_store_name(pair->files[index]);
}

/* ---- marks --------------------------------------------------------------------------------- */

/* True if the marks say all there is to say, or that what they would say is lost. */
static bool
marks_decide(const struct pair *pair)
{
	bool is_valid = false, was_valid = false;
	const struct q2s_mark *const mark = q2s_image_mark(pair->upper, &is_valid);
	const struct q2s_mark *const below =
		pair->lower ? q2s_image_mark(pair->lower, &was_valid) : NULL;
	const char *const upper = name_of(pair, pair->index);
	const char *const lower = name_of(pair, pair->index - 1);
	char id[Q2S_ID_TEXT];

	if (!mark || !is_valid || q2s_id_is_none(&mark->parent))
		return false;
	if (below && !was_valid)
		tool_warn("%s: opened for writing since it was marked %s; whether %s belongs on it "
			  "cannot be told", lower, q2s_id_text(&below->id, id), upper);
	else if (!below)
		tool_warn("%s: has no mark; whether it is %s, on which %s belongs, cannot be told",
			  lower, q2s_id_text(&mark->parent, id), upper);
	return true;
}

/* ---- names --------------------------------------------------------------------------------- */

static const char *
last_part(const char *path)
{
	const char *const slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Is layer @index called @name? A descriptor or a symbolic link stands for the file it leads to. */
static bool
is_called(const struct pair *pair, size_t index, const char *name)
{
	const char *const path = name_of(pair, index);
	char *const real = realpath(path, NULL);
	const bool is = strcmp(last_part(path), name) == 0 ||
			(real && strcmp(last_part(real), name) == 0);

	free(real);
	return is;
}

/* Files are moved, so folders do not count. */
static void
compare_names(const struct pair *pair, const char *recorded)
{
	const char *const name = last_part(recorded);
	const char *const upper = name_of(pair, pair->index);
	const char *const lower = name_of(pair, pair->index - 1);

	if (is_called(pair, pair->index - 1, name))
		return;
	for (size_t i = 0; i < pair->count; i++) {
		if (i == pair->index || !is_called(pair, i, name))
			continue;
		tool_warn("%s: its backing file is '%s', which is another of the layers, and below it "
			  "is %s: the order may be wrong", upper, recorded, lower);
		return;
	}
	tool_warn("%s: its backing file is '%s', and below it is %s: if that is not the same under "
		  "another name, a layer is missing", upper, recorded, lower);
}

static enum q2s_err
judge_names(const struct pair *pair, struct q2s_diag *diag)
{
	const struct q2s_bytes name = q2s_image_backing_name(pair->upper);
	char *text, *path = NULL;
	enum q2s_err err;

	if (!name.data) {
		tool_warn("%s: names no parent. If it is a full image and not a difference, %s shows "
			  "through where it has nothing", name_of(pair, pair->index),
			  name_of(pair, pair->index - 1));
		return Q2S_OK;
	}
	text = strndup((const char *)name.data, name.len);
	if (!text)
		return fault_nomem(diag, "--layers");
	err = q2s_reference_path(text, &path, diag);
	if (err == Q2S_OK)
		compare_names(pair, path);
	free(path);
	free(text);
	return err == Q2S_E_UNSUPPORTED ? Q2S_OK : err; /* no local file: nothing to compare */
}

enum q2s_err
layers_warn(struct q2s_store *const *files, size_t count, bool raw_bottom, struct q2s_diag *diag)
{
	struct q2s_image *lower = NULL;
	enum q2s_err err = Q2S_OK;

	for (size_t i = raw_bottom ? 1 : 0; err == Q2S_OK && i < count; i++) {
		struct pair pair = { .files = files, .count = count, .index = i, .lower = lower };
		struct q2s_image *image = NULL;

		err = q2s_image_open(files[i], Q2S_IMAGE_DAMAGED, &image, diag);
		pair.upper = image;
		if (err == Q2S_OK && i > 0 && !marks_decide(&pair))
			err = judge_names(&pair, diag);
		q2s_image_close(lower);
		lower = image;
	}
	q2s_image_close(lower);
	return err;
}
