/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The decoders of compressed clusters: buffer to buffer, contexts kept for the next cluster. */
#ifndef Q2SI_IMAGE_DECODE_H
#define Q2SI_IMAGE_DECODE_H

#include <q2s/format.h>
#include <q2s/io.h>

struct z_stream_s;
struct ZSTD_DCtx_s;
struct libdeflate_decompressor;

/** Zero-initialised; every context is made when it is first needed. */
struct q2si_decoder {
	struct z_stream_s *zlib;
	struct ZSTD_DCtx_s *zstd;
	struct libdeflate_decompressor *libdeflate;
	uint8_t *in; /* the compressed bytes of one cluster */
	size_t in_size;
};

void q2si_decoder_free(struct q2si_decoder *decoder);

/**
 * Decode raw deflate (RFC 1951, windows up to 32 KiB) to exactly @out_len bytes.
 *
 * A stream that would go on after them is accepted, bytes behind the stream are ignored.
 *
 * @at  of the stream, for @diag
 * Returns Q2S_OK, Q2S_E_DATA or Q2S_E_NOMEM.
 */
enum q2s_err q2si_inflate(struct q2si_decoder *decoder, const uint8_t *in, size_t in_len,
			  uint8_t *out, size_t out_len, q2s_host at, struct q2s_diag *diag);

/** The same for zstd: one or more frames, windows up to 128 MiB; the last must be complete. */
enum q2s_err q2si_unzstd(struct q2si_decoder *decoder, const uint8_t *in, size_t in_len,
			 uint8_t *out, size_t out_len, q2s_host at, struct q2s_diag *diag);

/**
 * Read the compressed cluster of @comp_bytes at @at of @store, and decode it.
 *
 * @type  enum q2s_compression_type
 * @out   cluster_size bytes
 * *@got, bytes that the store had; with 0 of them nothing is decoded
 */
enum q2s_err q2si_cluster_decode(struct q2si_decoder *decoder, struct q2s_store *store,
				 const struct q2s_geom *geom, unsigned type, q2s_host at,
				 uint32_t comp_bytes, uint8_t *out, size_t *got,
				 struct q2s_diag *diag);

/** Drop the zstd context alone. */
void q2si_unzstd_free(struct q2si_decoder *decoder);

#endif
