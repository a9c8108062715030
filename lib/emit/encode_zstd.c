/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Zstandard: one frame a cluster, with its content size, as QEMU writes it. */
#include <zstd.h>
#include <zstd_errors.h>

#include "base/diag.h"
#include "emit/encoder.h"

#define LEVEL_DEFAULT 3

static const char *
zstd_name(void)
{
	return "zstd " ZSTD_VERSION_STRING;
}

static enum q2s_err
zstd_open(const struct q2s_compression *how, uint32_t size, void **context, struct q2s_diag *diag)
{
	const int level = how->has_level ? how->level : LEVEL_DEFAULT;
	ZSTD_CCtx *zstd = ZSTD_createCCtx();

	(void)size;
	if (!zstd)
		return q2si_fail_nomem(diag, "zstd");
	*context = zstd;
	if (!ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level)))
		return Q2S_OK;
	(void)ZSTD_freeCCtx(zstd);
	return q2si_fail_at(diag, Q2S_E_USAGE, "compression level", Q2S_NOWHERE, "%d is none",
			    level);
}

static enum q2s_err
zstd_encode(void *context, const uint8_t *in, uint32_t size, uint8_t *out, uint32_t *len,
	    struct q2s_diag *diag)
{
	const size_t got = ZSTD_compress2(context, out, size - 1, in, size);

	*len = 0;
	if (!ZSTD_isError(got))
		*len = (uint32_t)got;
	else if (ZSTD_getErrorCode(got) != ZSTD_error_dstSize_tooSmall)
		return q2si_fail_at(diag, Q2S_E_NOMEM, "zstd", Q2S_NOWHERE, "%s",
				    ZSTD_getErrorName(got));
	return Q2S_OK;
}

static void
zstd_close(void *context)
{
	(void)ZSTD_freeCCtx(context);
}

const struct q2si_encoder_ops q2si_encoder_zstd = {
	.name = zstd_name,
	.open = zstd_open,
	.encode = zstd_encode,
	.close = zstd_close,
};
