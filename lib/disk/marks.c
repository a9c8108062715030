/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Do the layers of a chain belong together, as far as their marks tell? A layer without one may be any. */
#include <string.h>

#include "base/diag.h"
#include "disk/qcow2.h"

#define NAME_MAX_SHOWN 64u

/* A name as it ends, which tells more than how it begins. */
static const char *
name_of(const struct q2s_image *image)
{
	const char *const name = q2s_store_name(q2s_image_file(image));
	const size_t len = strlen(name);

	return len > NAME_MAX_SHOWN ? name + len - NAME_MAX_SHOWN : name;
}

static const struct q2s_mark *
mark_of(const struct q2s_image *image)
{
	bool valid = false;
	const struct q2s_mark *const mark = image ? q2s_image_mark(image, &valid) : NULL;

	return valid ? mark : NULL;
}

/* The layer from @from on that has this id, or NULL. */
static const struct q2s_image *
find(const struct q2s_image *const *images, size_t from, size_t count, const struct q2s_id *id)
{
	for (size_t i = from; i < count; i++) {
		const struct q2s_mark *const mark = mark_of(images[i]);

		if (mark && q2s_id_equal(&mark->id, id))
			return images[i];
	}
	return NULL;
}

static enum q2s_err
wrong_parent(const struct q2s_image *const *images, size_t count, size_t index,
	     struct q2s_diag *diag)
{
	const struct q2s_mark *const mark = mark_of(images[index]);
	const struct q2s_image *const below = index + 1 < count ? images[index + 1] : NULL;
	const struct q2s_mark *const other = mark_of(below);
	const struct q2s_image *const parent = find(images, 0, count, &mark->parent);
	char id[Q2S_ID_TEXT], wanted[Q2S_ID_TEXT], found[Q2S_ID_TEXT] = "no valid mark";

	q2s_id_text(&mark->id, id);
	q2s_id_text(&mark->parent, wanted);
	if (other)
		q2s_id_text(&other->id, found);
	if (parent)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "mark", Q2S_NOWHERE,
				    "wrong order: the parent of this layer (%s) is '%s' (%s), and below "
				    "it is %s%s%s (%s)", id, name_of(parent), wanted,
				    below ? "'" : "", below ? name_of(below) : "no image",
				    below ? "'" : "", found);
	if (below)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "mark", Q2S_NOWHERE,
				    "the parent of this layer (%s) is %s, and below it is '%s' (%s): a "
				    "layer is missing, or one is of another disk", id, wanted,
				    name_of(below), found);
	return q2si_fail_at(diag, Q2S_E_CONFLICT, "mark", Q2S_NOWHERE,
			    "a layer is missing: the parent of this one (%s) is %s, and it is the "
			    "lowest", id, wanted);
}

/* Is what lies below layer @index surely not what its mark names? */
static bool
is_contradicted(const struct q2s_image *const *images, size_t count, size_t index, bool complete)
{
	const struct q2s_id *const parent = &mark_of(images[index])->parent;
	const bool lowest = index + 1 == count;
	const struct q2s_mark *const below = lowest ? NULL : mark_of(images[index + 1]);

	if (q2s_id_is_none(parent))
		return false;
	if (below)
		return !q2s_id_equal(&below->id, parent);
	return (lowest && complete) || find(images, 0, count, parent);
}

static enum q2s_err
layer_check(const struct q2s_image *const *images, size_t count, size_t index, bool complete,
	    struct q2s_diag *diag)
{
	const struct q2s_mark *const mark = mark_of(images[index]);
	const struct q2s_image *twin;
	char id[Q2S_ID_TEXT];

	if (!mark)
		return Q2S_OK;
	twin = find(images, index + 1, count, &mark->id);
	if (twin)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "mark", Q2S_NOWHERE,
				    "the same layer twice: '%s' has the id %s, too", name_of(twin),
				    q2s_id_text(&mark->id, id));
	return is_contradicted(images, count, index, complete) ?
		       wrong_parent(images, count, index, diag) :
		       Q2S_OK;
}

/* What has a mark and names no parent in any way is all of a disk: nothing may show through it. */
static enum q2s_err
full_check(const struct q2s_image *const *images, size_t count, size_t index, struct q2s_diag *diag)
{
	const struct q2s_mark *const mark = mark_of(images[index]);
	char id[Q2S_ID_TEXT];

	if (!mark || !q2s_id_is_none(&mark->parent) || index + 1 == count ||
	    q2s_image_backing_name(images[index]).data)
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CONFLICT, "mark", Q2S_NOWHERE,
			    "a full image above another layer: this one (%s) has no parent, so nothing "
			    "may lie below it", q2s_id_text(&mark->id, id));
}

enum q2s_err
q2si_marks_check(const struct q2s_image *const *images, size_t count, bool complete,
		 struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; err == Q2S_OK && i < count; i++) {
		err = layer_check(images, count, i, complete, diag);
		if (err != Q2S_OK)
			q2si_in_file(diag, err, q2s_store_name(q2s_image_file(images[i])));
	}
	/* only then, as a wrong order tells more */
	for (size_t i = 0; err == Q2S_OK && i < count; i++) {
		err = full_check(images, count, i, diag);
		if (err != Q2S_OK)
			q2si_in_file(diag, err, q2s_store_name(q2s_image_file(images[i])));
	}
	return err;
}
