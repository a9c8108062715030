/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the header extensions say, noted once at opening. */
#include "image.h"

#include "base/diag.h"
#include "format/extension.h"
#include "format/header.h"

static struct q2s_bytes
ext_bytes(const struct q2s_ext *ext)
{
	return (struct q2s_bytes){ .data = ext->len > 0 ? ext->data : NULL, .len = ext->len };
}

static enum q2s_err
bitmaps_read(struct q2s_image *image, unsigned flags, const struct q2s_ext *ext,
	     struct q2s_diag *diag)
{
	const bool damaged = flags & Q2S_IMAGE_DAMAGED;
	enum q2s_err err;

	/* Without the autoclear bit somebody wrote who did not know bitmaps: they mean nothing. */
	if (!(image->header.autoclear_features & Q2S_AUTOCLEAR_BITMAPS)) {
		image->stale_bitmaps = true;
		return Q2S_OK;
	}
	err = q2s_ext_bitmaps_decode(&image->geom, ext, &image->bitmaps, damaged ? NULL : diag);
	if (err != Q2S_OK)
		return damaged ? Q2S_OK : err;
	image->has_bitmaps = true;
	return Q2S_OK;
}

static enum q2s_err
crypto_read(struct q2s_image *image, const struct q2s_ext *ext, struct q2s_diag *diag)
{
	if (image->header.crypt_method != Q2S_CRYPT_LUKS)
		return q2si_fail(diag, Q2S_E_EXTENSION, "encryption extension", ext->at,
				 image->header.crypt_method, "only a LUKS image has one");
	Q2SI_TRY(q2s_ext_crypto_decode(&image->geom, ext, &image->crypto, diag));
	image->has_crypto = true;
	return Q2S_OK;
}

/* No part of the format, so nothing about it makes an image unreadable: of two, none is believed. */
static void
mark_read(struct q2s_image *image, const struct q2s_ext *ext)
{
	struct q2s_mark mark;
	const bool good = q2s_ext_mark_decode(ext, &mark, NULL) == Q2S_OK;

	image->has_mark = good && !image->mark_seen;
	image->mark_seen = true;
	if (image->has_mark)
		image->mark = mark;
}

static enum q2s_err
extension_note(struct q2s_image *image, unsigned flags, const struct q2s_ext *ext,
	       struct q2s_diag *diag)
{
	switch (ext->type) {
	case Q2S_EXT_BACKING_FORMAT:
		if (ext->len > Q2S_FORMAT_NAME_MAX)
			return q2si_fail(diag, Q2S_E_EXTENSION, "backing format", ext->at, ext->len,
					 "longer than %u bytes", Q2S_FORMAT_NAME_MAX);
		image->backing_format = ext_bytes(ext);
		return Q2S_OK;
	case Q2S_EXT_DATA_FILE:
		if (image->geom.data_file)
			image->data_file_name = ext_bytes(ext);
		return Q2S_OK;
	case Q2S_EXT_BITMAPS:
		return bitmaps_read(image, flags, ext, diag);
	case Q2S_EXT_CRYPTO:
		return crypto_read(image, ext, diag);
	case Q2S_EXT_MARK:
		mark_read(image, ext);
		return Q2S_OK;
	default:
		return Q2S_OK;
	}
}

enum q2s_err
q2si_extensions_read(struct q2s_image *image, unsigned flags, struct q2s_diag *diag)
{
	const q2s_host end = q2s_ext_area_end(&image->header);
	uint64_t pos = image->header.header_length;
	struct q2s_ext ext;
	unsigned seen = 0;

	for (;;) {
		Q2SI_TRY(q2s_ext_next(image->cluster0, image->geom.cluster_size, end, &pos, &ext,
				      diag));
		if (ext.type == Q2S_EXT_END)
			break;
		/* QEMU lets the last of two win; other readers take the first: so neither is safe. */
		if (q2si_ext_is_repeated(ext.type, &seen))
			return q2si_fail(diag, Q2S_E_EXTENSION, "header extension", ext.at,
					 ext.type, "a second record of this type");
		Q2SI_TRY(extension_note(image, flags, &ext, diag));
	}
	if (image->header.crypt_method == Q2S_CRYPT_LUKS && !image->has_crypto)
		return q2si_fail(diag, Q2S_E_CRYPTO, "crypt_method", (q2s_host){ AT_CRYPT_METHOD },
				 Q2S_CRYPT_LUKS, "LUKS, but there is no encryption extension");
	return Q2S_OK;
}
