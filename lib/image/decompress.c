/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the file to one decompressed cluster. */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "map.h"

static enum q2s_err
input_ready(struct q2si_decoder *decoder, size_t size, struct q2s_diag *diag)
{
	uint8_t *in;

	if (decoder->in_size >= size)
		return Q2S_OK;
	in = realloc(decoder->in, size);
	if (!in)
		return q2si_fail_nomem(diag, "compressed cluster");
	decoder->in = in;
	decoder->in_size = size;
	return Q2S_OK;
}

enum q2s_err
q2si_cluster_decode(struct q2si_decoder *decoder, struct q2s_store *store,
		    const struct q2s_geom *geom, unsigned type, q2s_host at, uint32_t comp_bytes,
		    uint8_t *out, size_t *got, struct q2s_diag *diag)
{
	/* At most 2 clusters: the descriptor holds cluster_bits - 8 bits of 512-byte sectors. */
	Q2SI_TRY(input_ready(decoder, 2 * (size_t)geom->cluster_size, diag));
	/*
	 * The decoder gets the bytes that the file has and no zeros behind them: a deflate stream
	 * that was cut would go on decoding zeros to something.
	 */
	Q2SI_TRY(q2s_store_read_padded(store, at.v, decoder->in,
				       q2si_min_size(comp_bytes, decoder->in_size), got, diag));
	if (*got == 0)
		return Q2S_OK;
	if (type == Q2S_COMPRESSION_ZSTD)
		return q2si_unzstd(decoder, decoder->in, *got, out, geom->cluster_size, at, diag);
	return q2si_inflate(decoder, decoder->in, *got, out, geom->cluster_size, at, diag);
}

enum q2s_err
q2s_map_decompress(struct q2s_map *map, const struct q2s_run *run, uint8_t *out,
		   struct q2s_diag *diag)
{
	const struct q2s_image *image = map->image;
	size_t got;

	Q2SI_TRY(q2si_cluster_decode(&map->decoder, image->file, &image->geom,
				     image->header.compression_type, run->host, run->comp_bytes,
				     out, &got, diag));
	if (got > 0)
		return Q2S_OK;
	return q2si_image_ends(image, run->host, run->comp_bytes, "compressed cluster", diag);
}
