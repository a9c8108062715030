/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compressing one cluster at a time, with a context that is kept from cluster to cluster. */
#ifndef Q2SI_EMIT_ENCODER_H
#define Q2SI_EMIT_ENCODER_H

#include <q2s/emit.h>

struct q2si_encoder;

/**
 * One way of compressing. The bytes depend on the input, the level and the version of the library
 * behind it alone.
 *
 * @name    the library and its version, static storage
 * @open    make a context for clusters of @size bytes
 * @encode  compress @size bytes into at most @size - 1; *@len is 0 when they do not fit
 */
struct q2si_encoder_ops {
	const char *(*name)(void);
	enum q2s_err (*open)(const struct q2s_compression *how, uint32_t size, void **context,
			     struct q2s_diag *diag);
	enum q2s_err (*encode)(void *context, const uint8_t *in, uint32_t size, uint8_t *out,
			       uint32_t *len, struct q2s_diag *diag);
	void (*close)(void *context);
};

extern const struct q2si_encoder_ops q2si_encoder_zlib;
extern const struct q2si_encoder_ops q2si_encoder_zstd;
#ifdef HAVE_LIBISAL
extern const struct q2si_encoder_ops q2si_encoder_isal;
#endif

/** Q2S_E_USAGE for a level that the type does not have. */
enum q2s_err q2si_encoder_open(const struct q2s_compression *how, uint32_t size,
			       struct q2si_encoder **out, struct q2s_diag *diag);
void q2si_encoder_close(struct q2si_encoder *encoder); /* NULL is fine */

/** Bytes of memory that an encoder of clusters of @size takes at most, about. */
size_t q2si_encoder_memory(const struct q2s_compression *how, uint32_t size);

/** Compress one cluster into at most its size less one; *@len is 0 when it does not shrink. */
enum q2s_err q2si_encode(struct q2si_encoder *encoder, const uint8_t *in, uint8_t *out,
			 uint32_t *len, struct q2s_diag *diag);

#endif
