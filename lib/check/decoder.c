/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decompression of single clusters; what decoded is remembered, as it may be mapped often. */
#include "decoder.h"

#include <stdlib.h>

#include "base/diag.h"

#define MEMORY_BITS 12

/* @good  streams that decoded; a stream has at least one byte, so that zeroes are none */
struct q2si_decoder {
	struct q2s_map *map;
	uint8_t *cluster;
	struct {
		uint64_t at;
		uint32_t bytes;
	} good[1u << MEMORY_BITS];
};

enum q2s_err
q2si_decoder_open(struct q2s_image *image, struct q2si_decoder **out, struct q2s_diag *diag)
{
	/* What is decoded is found otherwise, so it does not matter whether the L1 table is there. */
	const struct q2s_l1_table l1 = { 0 };
	struct q2si_decoder *decoder = calloc(1, sizeof(*decoder));
	enum q2s_err err;

	if (!decoder)
		return q2si_fail_nomem(diag, "decoder");
	decoder->cluster = malloc(q2s_image_geom(image)->cluster_size);
	err = decoder->cluster ? q2s_map_open(image, &l1, &decoder->map, diag)
			       : q2si_fail_nomem(diag, "decoder");
	if (err != Q2S_OK) {
		q2si_decoder_close(decoder);
		return err;
	}
	*out = decoder;
	return Q2S_OK;
}

void
q2si_decoder_close(struct q2si_decoder *decoder)
{
	if (!decoder)
		return;
	q2s_map_close(decoder->map);
	free(decoder->cluster);
	free(decoder);
}

static size_t
slot_of(const struct q2s_l2_entry *entry)
{
	return (entry->comp_at.v * 0x9e3779b97f4a7c15u) >> (64 - MEMORY_BITS);
}

bool
q2si_decodes(struct q2si_decoder *decoder, const struct q2s_l2_entry *entry, struct q2s_diag *diag)
{
	const struct q2s_run run = {
		.state = Q2S_DATA,
		.compressed = true,
		.has_host = true,
		.host = entry->comp_at,
		.comp_bytes = entry->comp_bytes,
	};
	const size_t slot = slot_of(entry);

	if (decoder->good[slot].bytes == entry->comp_bytes &&
	    decoder->good[slot].at == entry->comp_at.v)
		return true;
	if (q2s_map_decompress(decoder->map, &run, decoder->cluster, diag) != Q2S_OK)
		return false;
	decoder->good[slot].at = entry->comp_at.v;
	decoder->good[slot].bytes = entry->comp_bytes;
	return true;
}
