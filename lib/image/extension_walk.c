/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header extensions one by one, also of a header that breaks rules. */
#include <q2s/walk.h>

#include "base/arith.h"
#include "image.h"

struct q2s_extensions
q2s_extensions_begin(const struct q2s_header *header, const uint8_t *head, size_t size)
{
	/* Where cluster 0 ends is known only if the header makes sense. */
	const bool known = header->cluster_bits >= Q2S_CLUSTER_BITS_MIN &&
			   header->cluster_bits <= Q2S_CLUSTER_BITS_MAX;
	const q2s_host end = known ? q2s_ext_area_end(header) : (q2s_host){ size };

	return (struct q2s_extensions){
		.head = head,
		.size = size,
		.end = { q2si_min(end.v, size) },
		.pos = header->header_length,
	};
}

struct q2s_extensions
q2s_image_extensions(const struct q2s_image *image)
{
	return q2s_extensions_begin(&image->header, image->cluster0, image->cluster0_size);
}

bool
q2s_extensions_next(struct q2s_extensions *walk, struct q2s_ext *out, struct q2s_diag *fault)
{
	if (walk->pos > walk->end.v)
		return false;
	if (q2s_ext_next(walk->head, walk->size, walk->end, &walk->pos, out, fault) != Q2S_OK)
		return false;
	return out->type != Q2S_EXT_END;
}

static bool
find(const struct q2s_image *image, uint32_t type, struct q2s_ext *out)
{
	struct q2s_extensions walk = q2s_image_extensions(image);

	while (q2s_extensions_next(&walk, out, NULL)) {
		if (out->type == type)
			return true;
	}
	return false;
}

bool
q2s_image_find_bitmaps(const struct q2s_image *image, struct q2s_ext_bitmaps *out,
		       struct q2s_diag *fault)
{
	struct q2s_ext ext;

	return find(image, Q2S_EXT_BITMAPS, &ext) &&
	       q2s_ext_bitmaps_decode(&image->geom, &ext, out, fault) == Q2S_OK;
}

bool
q2s_image_find_crypto(const struct q2s_image *image, struct q2s_ext_crypto *out,
		      struct q2s_diag *fault)
{
	struct q2s_ext ext;

	return find(image, Q2S_EXT_CRYPTO, &ext) &&
	       q2s_ext_crypto_decode(&image->geom, &ext, out, fault) == Q2S_OK;
}
