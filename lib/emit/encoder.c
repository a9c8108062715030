/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emit/encoder.h"

#include <stdlib.h>

#include <zstd.h>

#include "base/arith.h"
#include "base/diag.h"

struct q2si_encoder {
	const struct q2si_encoder_ops *ops;
	void *context;
	uint32_t size;
};

/* Without a level the fastest library decides; with one, the library that the levels are of. */
static const struct q2si_encoder_ops *
choose(const struct q2s_compression *how)
{
	if (how->type == Q2S_COMPRESSION_ZSTD)
		return &q2si_encoder_zstd;
#ifdef HAVE_LIBISAL
	if (!how->has_level)
		return &q2si_encoder_isal;
#endif
	return &q2si_encoder_zlib;
}

enum q2s_err
q2s_compression_check(const struct q2s_compression *how, struct q2s_diag *diag)
{
	const bool zstd = how->type == Q2S_COMPRESSION_ZSTD;
	const int min = zstd ? ZSTD_minCLevel() : 1;
	const int max = zstd ? ZSTD_maxCLevel() : 9;

	if (how->type > Q2S_COMPRESSION_ZSTD)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "compression type", Q2S_NOWHERE,
				 how->type, "unknown");
	if (!how->has_level || (how->level >= min && how->level <= max && how->level != 0))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_USAGE, "compression level", Q2S_NOWHERE,
			    "%d is not one from %d to %d", how->level, min, max);
}

const char *
q2s_encoder_name(const struct q2s_compression *how)
{
	return choose(how)->name();
}

/*
 * zstd's tables grow with the level and the input, to 17 times its size. The bounds of the levels
 * are those of zstd 1.5, which tells them only to programs that are linked with it statically.
 */
static size_t
zstd_memory(int level, size_t size)
{
	static const struct {
		int level;
		size_t most;
	} bounds[] = { { 4, 3u << 20 }, { 8, 7u << 20 }, { 9, 13u << 20 }, { 12, 25u << 20 } };
	size_t most = SIZE_MAX;

	for (size_t i = sizeof(bounds) / sizeof(bounds[0]); i-- > 0 && level <= bounds[i].level;)
		most = bounds[i].most;
	return q2si_min_size(most, 17 * size + (1u << 20));
}

size_t
q2si_encoder_memory(const struct q2s_compression *how, uint32_t size)
{
	if (how->type == Q2S_COMPRESSION_ZSTD)
		return zstd_memory(how->has_level ? how->level : 0, size);
	return 1u << 20; /* a window and hash tables, whatever is compressed */
}

enum q2s_err
q2si_encoder_open(const struct q2s_compression *how, uint32_t size, struct q2si_encoder **out,
		  struct q2s_diag *diag)
{
	struct q2si_encoder *encoder;
	enum q2s_err err;

	Q2SI_TRY(q2s_compression_check(how, diag));
	encoder = calloc(1, sizeof(*encoder));
	if (!encoder)
		return q2si_fail_nomem(diag, "encoder");
	encoder->ops = choose(how);
	encoder->size = size;
	err = encoder->ops->open(how, size, &encoder->context, diag);
	if (err != Q2S_OK) {
		free(encoder);
		return err;
	}
	*out = encoder;
	return Q2S_OK;
}

void
q2si_encoder_close(struct q2si_encoder *encoder)
{
	if (!encoder)
		return;
	encoder->ops->close(encoder->context);
	free(encoder);
}

enum q2s_err
q2si_encode(struct q2si_encoder *encoder, const uint8_t *in, uint8_t *out, uint32_t *len,
	    struct q2s_diag *diag)
{
	return encoder->ops->encode(encoder->context, in, encoder->size, out, len, diag);
}
