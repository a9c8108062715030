/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A word about the bitmaps that an image loses; a raw disk has no place for any. */
#include "stream/bitmaps.h"

#include "common/tool.h"

void
bitmaps_warn(const struct stream_options *options, struct q2s_store *file)
{
	struct q2s_image *image = NULL;
	const struct q2s_ext_bitmaps *bitmaps;

	if (options->measure || options->compare || options->raw_output || options->bitmaps ||
	    options->changed || q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, NULL) != Q2S_OK)
		return;
	bitmaps = q2s_image_bitmaps(image);
	if (bitmaps)
		tool_warn("%s: its %u persistent bitmap%s not carried over to the output",
			  q2s_store_name(file), (unsigned)bitmaps->count,
			  bitmaps->count == 1 ? " is" : "s are");
	q2s_image_close(image);
}
