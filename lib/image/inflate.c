/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compression type 0. libdeflate is fast, zlib has the last word. */
#include "decode.h"

#include <stdlib.h>
#include <zlib.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#include "base/diag.h"

/*
 * libdeflate takes only a stream that ends exactly at the end of the cluster. That is nearly all
 * of them; whatever it refuses is zlib's to judge, which takes what QEMU takes.
 */
static bool
try_libdeflate(struct q2si_decoder *decoder, const uint8_t *in, size_t in_len, uint8_t *out,
	       size_t out_len)
{
#ifdef HAVE_LIBDEFLATE
	if (!decoder->libdeflate)
		decoder->libdeflate = libdeflate_alloc_decompressor();
	return decoder->libdeflate &&
	       libdeflate_deflate_decompress_ex(decoder->libdeflate, in, in_len, out, out_len, NULL,
						NULL) == LIBDEFLATE_SUCCESS;
#else
	(void)decoder, (void)in, (void)in_len, (void)out, (void)out_len;
	return false;
#endif
}

static void
free_libdeflate(struct q2si_decoder *decoder)
{
#ifdef HAVE_LIBDEFLATE
	if (decoder->libdeflate)
		libdeflate_free_decompressor(decoder->libdeflate);
#else
	(void)decoder;
#endif
}

/* QEMU writes windows of 4 KiB, but the format names only RFC 1951: 32 KiB. */
static enum q2s_err
zlib_ready(struct q2si_decoder *decoder, struct q2s_diag *diag)
{
	if (decoder->zlib) {
		if (inflateReset(decoder->zlib) == Z_OK)
			return Q2S_OK;
		return q2si_fail_nomem(diag, "inflate context");
	}
	decoder->zlib = calloc(1, sizeof(*decoder->zlib));
	if (decoder->zlib && inflateInit2(decoder->zlib, -MAX_WBITS) == Z_OK)
		return Q2S_OK;
	free(decoder->zlib);
	decoder->zlib = NULL;
	return q2si_fail_nomem(diag, "inflate context");
}

enum q2s_err
q2si_inflate(struct q2si_decoder *decoder, const uint8_t *in, size_t in_len, uint8_t *out,
	     size_t out_len, q2s_host at, struct q2s_diag *diag)
{
	const char *why;
	int ret;

	if (try_libdeflate(decoder, in, in_len, out, out_len))
		return Q2S_OK;
	Q2SI_TRY(zlib_ready(decoder, diag));
	decoder->zlib->next_in = (Bytef *)in;
	decoder->zlib->avail_in = (uInt)in_len;
	decoder->zlib->next_out = out;
	decoder->zlib->avail_out = (uInt)out_len;
	/* One call for the whole output: zlib then copies matches from it and needs no window. */
	ret = inflate(decoder->zlib, Z_FINISH);
	if (decoder->zlib->avail_out == 0 && (ret == Z_STREAM_END || ret == Z_BUF_ERROR))
		return Q2S_OK;
	if (ret == Z_MEM_ERROR)
		return q2si_fail_nomem(diag, "inflate context");
	why = decoder->zlib->msg ? decoder->zlib->msg : "the stream is cut";
	return q2si_fail(diag, Q2S_E_DATA, "compressed cluster", at,
			 out_len - decoder->zlib->avail_out, "does not inflate to one cluster: %s",
			 ret == Z_STREAM_END ? "the stream ends early" : why);
}

void
q2si_decoder_free(struct q2si_decoder *decoder)
{
	free_libdeflate(decoder);
	if (decoder->zlib)
		inflateEnd(decoder->zlib);
	free(decoder->zlib);
	q2si_unzstd_free(decoder);
	free(decoder->in);
	*decoder = (struct q2si_decoder){ 0 };
}
