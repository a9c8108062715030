/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compression type 1. */
#include "decode.h"

#include <zstd.h>

#include "base/diag.h"

#define WINDOW_LOG_MAX 27        /* 128 MiB, what QEMU's decoder takes: zstd's default limit */
#define KEEP_BYTES (16u << 20)   /* a context that grew beyond this is not kept */

static enum q2s_err
zstd_ready(struct q2si_decoder *decoder, struct q2s_diag *diag)
{
	size_t ret;

	if (!decoder->zstd)
		decoder->zstd = ZSTD_createDCtx();
	if (!decoder->zstd)
		return q2si_fail_nomem(diag, "zstd context");
	ret = ZSTD_DCtx_reset(decoder->zstd, ZSTD_reset_session_and_parameters);
	if (!ZSTD_isError(ret))
		ret = ZSTD_DCtx_setParameter(decoder->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	if (ZSTD_isError(ret))
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "zstd context", Q2S_NOWHERE, "%s",
				    ZSTD_getErrorName(ret));
	return Q2S_OK;
}

/* A cluster may be several frames; the one that delivers its last byte must be complete. */
static const char *
frames_decode(struct q2si_decoder *decoder, const uint8_t *in, size_t in_len, uint8_t *out,
	      size_t out_len, size_t *done)
{
	ZSTD_inBuffer input = { .src = in, .size = in_len };
	ZSTD_outBuffer output = { .dst = out, .size = out_len };
	size_t ret = 0;

	while (output.pos < output.size) {
		const size_t in_pos = input.pos, out_pos = output.pos;

		ret = ZSTD_decompressStream(decoder->zstd, &output, &input);
		*done = output.pos;
		if (ZSTD_isError(ret))
			return ZSTD_getErrorName(ret);
		if (input.pos == in_pos && output.pos == out_pos)
			return "the stream is cut";
	}
	return ret == 0 ? NULL : "the frame goes on after the cluster, or is cut";
}

enum q2s_err
q2si_unzstd(struct q2si_decoder *decoder, const uint8_t *in, size_t in_len, uint8_t *out,
	    size_t out_len, q2s_host at, struct q2s_diag *diag)
{
	const char *wrong;
	size_t done = 0;

	Q2SI_TRY(zstd_ready(decoder, diag));
	wrong = frames_decode(decoder, in, in_len, out, out_len, &done);
	if (ZSTD_sizeof_DCtx(decoder->zstd) > KEEP_BYTES)
		q2si_unzstd_free(decoder);
	if (!wrong)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_DATA, "compressed cluster", at, done,
			 "is not zstd of one cluster: %s", wrong);
}

void
q2si_unzstd_free(struct q2si_decoder *decoder)
{
	ZSTD_freeDCtx(decoder->zstd);
	decoder->zstd = NULL;
}
