/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The directory of persistent bitmaps, read whole. */
#include "image.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

static enum q2s_err
directory_decode(const struct q2s_image *image, struct q2s_bitmaps *out, struct q2s_diag *diag)
{
	const q2s_host at = image->bitmaps.directory_offset;
	size_t pos = 0, used;

	for (uint32_t i = 0; i < out->count; i++) {
		const q2s_host here = { at.v + pos };
		const size_t left = out->bytes - pos;
		enum q2s_err err;

		out->at[i] = here;
		err = q2s_bitmap_decode(&image->geom, out->buf + pos, left, here, &out->list[i],
					&used, NULL);
		if (err == Q2S_E_SHORT || (err == Q2S_OK && used > left))
			return q2si_fail(diag, Q2S_E_BITMAP, "bitmap directory", here, left,
					 "ends within record %u of %u", i + 1, out->count);
		if (err != Q2S_OK) /* once more, for the words */
			return q2s_bitmap_decode(&image->geom, out->buf + pos, left, here,
						 &out->list[i], &used, diag);
		pos += used;
	}
	if (pos != out->bytes)
		return q2si_fail(diag, Q2S_E_BITMAP, "bitmap directory", (q2s_host){ at.v + pos },
				 out->bytes - pos, "bytes left behind the last record");
	return Q2S_OK;
}

static enum q2s_err
directory_read(const struct q2s_image *image, struct q2s_bitmaps *out, struct q2s_diag *diag)
{
	const struct q2s_ext_bitmaps *ext = &image->bitmaps;

	/* Before anything is allocated: the file must hold what the header promises. */
	Q2SI_TRY(q2si_image_holds(image, ext->directory_offset, ext->directory_size,
				  "bitmap directory", diag));
	out->buf = malloc(q2si_size(ext->directory_size));
	out->list = calloc(ext->count, sizeof(*out->list));
	out->at = calloc(ext->count, sizeof(*out->at));
	if (!out->buf || !out->list || !out->at)
		return q2si_fail_nomem(diag, "bitmap directory");
	out->bytes = ext->directory_size;
	out->count = ext->count;
	Q2SI_TRY(q2si_image_read(image, ext->directory_offset, out->buf, out->bytes,
				 "bitmap directory", diag));
	return directory_decode(image, out, diag);
}

enum q2s_err
q2s_image_bitmap_directory(const struct q2s_image *image, struct q2s_bitmaps *out,
			   struct q2s_diag *diag)
{
	struct q2s_bitmaps list = { 0 };
	enum q2s_err err;

	*out = list;
	if (!image->has_bitmaps)
		return Q2S_OK;
	err = directory_read(image, &list, diag);
	if (err != Q2S_OK) {
		q2s_bitmaps_free(&list);
		return err;
	}
	*out = list;
	return Q2S_OK;
}

void
q2s_bitmaps_free(struct q2s_bitmaps *bitmaps)
{
	free(bitmaps->buf);
	free(bitmaps->list);
	free(bitmaps->at);
	*bitmaps = (struct q2s_bitmaps){ 0 };
}
