/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks down the layers of a backing file, looking for a file that is about to be replaced. */
#include "create/chain.h"

#include <string.h>
#include <sys/stat.h>

#include <q2s/image.h>

#include "common/fault.h"

#define DEPTH_MAX 200 /* the layers may form a ring */
#define FORMAT_SIZE 16

static bool
is_file(const struct q2s_file *file, const struct stat *target)
{
	struct q2s_file_ident ident;

	q2s_file_ident(file, &ident);
	return ident.dev == target->st_dev && ident.ino == target->st_ino;
}

/* The format of the layer below @image, as a reader would take it. */
static void
format_below(const struct q2s_image *image, struct q2s_file *below, char format[FORMAT_SIZE])
{
	const struct q2s_bytes recorded = q2s_image_backing_format(image);

	if (format[0] != '\0')
		return; /* a json: name said it */
	if (recorded.data && recorded.len < FORMAT_SIZE) {
		memcpy(format, recorded.data, recorded.len);
		format[recorded.len] = '\0';
	} else if (q2s_image_probe(below)) {
		strcpy(format, "qcow2");
	}
}

static bool
has_data_in(const struct q2s_image *image, const struct stat *target)
{
	struct q2s_file *data = NULL;
	bool same;

	if (q2s_reference_open(image, Q2S_DATA_FILE, Q2S_FOLLOW_BESIDE, &data, NULL, NULL))
		return false;
	same = is_file(data, target);
	q2s_file_close(data);
	return same;
}

/*
 * Replace *@layer, a qcow2 file, by the layer below it, or by NULL at the end. Returns whether
 * its guest data lies in @target.
 */
static bool
step_down(struct q2s_file **layer, char format[FORMAT_SIZE], const struct stat *target)
{
	struct q2s_image *image = NULL;
	struct q2s_file *below = NULL;
	bool found = false;

	if (q2s_image_open(*layer, Q2S_IMAGE_DAMAGED, &image, NULL) == Q2S_OK) {
		found = has_data_in(image, target);
		if (q2s_reference_open(image, Q2S_BACKING_FILE, Q2S_FOLLOW_BESIDE, &below, format,
				       NULL) != Q2S_OK)
			below = NULL;
		if (below)
			format_below(image, below, format);
	}
	q2s_image_close(image);
	q2s_file_close(*layer);
	*layer = below;
	return found;
}

enum q2s_err
chain_spare(struct q2s_file *backing, const char *format, const char *target, const char *what,
	    struct q2s_diag *diag)
{
	struct q2s_file *layer = q2s_file_ref(backing);
	char layer_format[FORMAT_SIZE] = "";
	struct stat st;
	bool found = false;

	strncat(layer_format, format, FORMAT_SIZE - 1);
	if (stat(target, &st) != 0)
		st = (struct stat){ 0 };
	for (unsigned depth = 0; layer && !found && st.st_ino != 0 && depth < DEPTH_MAX; depth++) {
		found = is_file(layer, &st);
		if (found || strcmp(layer_format, "qcow2") != 0)
			break;
		found = step_down(&layer, layer_format, &st);
	}
	q2s_file_close(layer);
	if (found)
		return fault(diag, Q2S_E_CONFLICT, what,
			     "'%.128s' is part of the backing file, and would be lost", target);
	return Q2S_OK;
}
