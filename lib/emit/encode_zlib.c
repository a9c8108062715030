/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deflate by zlib. QEMU opens its decoder with a window of 4 KiB, and so promises to read no more:
 * every reader takes what stays within that.
 */
#include <stdlib.h>

#include <zlib.h>

#include "base/diag.h"
#include "emit/encoder.h"

#define WINDOW_BITS (-12) /* raw deflate */
#define MEM_LEVEL 9
#define LEVEL_DEFAULT 6

static const char *
zlib_name(void)
{
	return "zlib " ZLIB_VERSION;
}

static enum q2s_err
zlib_open(const struct q2s_compression *how, uint32_t size, void **context, struct q2s_diag *diag)
{
	const int level = how->has_level ? how->level : LEVEL_DEFAULT;
	z_stream *stream = calloc(1, sizeof(*stream));

	(void)size;
	if (!stream || deflateInit2(stream, level, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL,
				    Z_DEFAULT_STRATEGY) != Z_OK) {
		free(stream);
		return q2si_fail_nomem(diag, "deflate");
	}
	*context = stream;
	return Q2S_OK;
}

static enum q2s_err
zlib_encode(void *context, const uint8_t *in, uint32_t size, uint8_t *out, uint32_t *len,
	    struct q2s_diag *diag)
{
	z_stream *stream = context;

	if (deflateReset(stream) != Z_OK)
		return q2si_fail_at(diag, Q2S_E_IO, "deflate", Q2S_NOWHERE, "zlib failed");
	stream->next_in = (z_const Bytef *)(uintptr_t)in;
	stream->avail_in = size;
	stream->next_out = out;
	stream->avail_out = size - 1;
	*len = deflate(stream, Z_FINISH) == Z_STREAM_END ? (uint32_t)stream->total_out : 0;
	return Q2S_OK;
}

static void
zlib_close(void *context)
{
	(void)deflateEnd(context);
	free(context);
}

const struct q2si_encoder_ops q2si_encoder_zlib = {
	.name = zlib_name,
	.open = zlib_open,
	.encode = zlib_encode,
	.close = zlib_close,
};
