/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deflate by ISA-L: many times the speed of zlib, for output that is a few per cent larger. The
 * window is the same 4 KiB.
 *
 * Where a stream begins without any history, ISA-L enters one position under a hash that it makes
 * of a register that happens to hold a pointer, and so the bytes depend, once in a while, on where
 * the memory lies. With a history it does not. So each stream gets one of a single byte, which is
 * chosen so that no match can ever reach it: a reader, who knows of no history, misses nothing.
 */
#ifdef HAVE_LIBISAL
#include <stdlib.h>

#include <isa-l.h>
#include <zlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "emit/encoder.h"

#define WINDOW_BITS 12
#define WINDOW (1u << WINDOW_BITS)
#define LEVEL 1

struct encoder {
	struct isal_zstream stream;
	uint8_t level_buf[ISAL_DEF_LVL1_DEFAULT];
	void *zlib; /* for what leaves no byte to choose */
};

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

static const char *
name_isal(void)
{
	return "ISA-L " TEXT(ISAL_MAJOR_VERSION) "." TEXT(ISAL_MINOR_VERSION) "." TEXT(
		ISAL_PATCH_VERSION) " with zlib " ZLIB_VERSION;
}

static void
close_isal(void *context)
{
	struct encoder *isal = context;

	if (isal->zlib)
		q2si_encoder_zlib.close(isal->zlib);
	free(isal);
}

static enum q2s_err
open_isal(const struct q2s_compression *how, uint32_t size, void **context, struct q2s_diag *diag)
{
	struct encoder *isal = calloc(1, sizeof(*isal));
	enum q2s_err err;

	if (!isal)
		return q2si_fail_nomem(diag, "deflate");
	err = q2si_encoder_zlib.open(how, size, &isal->zlib, diag);
	if (err != Q2S_OK) {
		close_isal(isal);
		return err;
	}
	*context = isal;
	return Q2S_OK;
}

/*
 * A byte before @in that makes no match possible. A match has three bytes at least, so it would be
 * this byte and the first two of @in, and it would lie where the window still reaches back to it:
 * whatever comes before these two there is out. False when nothing is left.
 */
static bool
choose_history(const uint8_t *in, uint32_t size, uint8_t *out)
{
	const uint32_t end = (uint32_t)q2si_min(size - 1, WINDOW + 1);
	bool seen[UINT8_MAX + 1] = { false };
	unsigned byte = 0;

	for (uint32_t at = 1; at < end; at++)
		if (in[at] == in[0] && in[at + 1] == in[1])
			seen[in[at - 1]] = true;
	while (byte <= UINT8_MAX && seen[byte])
		byte++;
	*out = (uint8_t)byte;
	return byte <= UINT8_MAX;
}

static enum q2s_err
encode_isal(void *context, const uint8_t *in, uint32_t size, uint8_t *out, uint32_t *len,
	    struct q2s_diag *diag)
{
	struct encoder *isal = context;
	struct isal_zstream *stream = &isal->stream;
	uint8_t history;

	if (!choose_history(in, size, &history))
		return q2si_encoder_zlib.encode(isal->zlib, in, size, out, len, diag);
	isal_deflate_init(stream);
	stream->level = LEVEL;
	stream->level_buf = isal->level_buf;
	stream->level_buf_size = sizeof(isal->level_buf);
	stream->hist_bits = WINDOW_BITS;
	if (isal_deflate_set_dict(stream, &history, 1) != COMP_OK)
		return q2si_fail_at(diag, Q2S_E_IO, "deflate", Q2S_NOWHERE, "ISA-L failed");
	stream->end_of_stream = 1;
	stream->flush = NO_FLUSH;
	stream->next_in = (uint8_t *)(uintptr_t)in;
	stream->avail_in = size;
	stream->next_out = out;
	stream->avail_out = size - 1;
	*len = 0;
	if (isal_deflate(stream) == COMP_OK && stream->internal_state.state == ZSTATE_END)
		*len = stream->total_out;
	return Q2S_OK;
}

const struct q2si_encoder_ops q2si_encoder_isal = {
	.name = name_isal,
	.open = open_isal,
	.encode = encode_isal,
	.close = close_isal,
};
#else
typedef int q2si_encode_isal_is_empty; /* ISO C forbids an empty file */
#endif
