/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emit/output.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

/* What is moved between two looks at the observer. */
#define STEP (16u << 20)

enum q2s_err
q2si_output_observe(const struct q2si_output *output, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = output->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_WRITE,
					q2s_sink_pos(output->sink) - output->first, output->total))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "output", Q2S_NOWHERE, "stopped on request");
}

/* Guest bytes through the buffer. */
static enum q2s_err
write_read(struct q2si_output *output, q2s_guest guest, uint64_t len, struct q2s_diag *diag)
{
	while (len > 0) {
		const size_t n = q2si_min(len, Q2SI_OUTPUT_BUFFER);

		Q2SI_TRY(q2s_cursor_read(output->cursor, guest, output->buffer, n, diag));
		Q2SI_TRY(q2s_sink_write(output->sink, output->buffer, n, diag));
		guest.v += n;
		len -= n;
	}
	return Q2S_OK;
}

static enum q2s_err
write_extent(struct q2si_output *output, q2s_guest guest, const struct q2s_extent *extent,
	     struct q2s_diag *diag)
{
	if (extent->state != Q2S_DATA)
		return q2s_sink_zero(output->sink, extent->len, diag);
	if (!extent->file)
		return write_read(output, guest, extent->len, diag);
	if (!q2s_file_is_arriving(extent->file))
		return q2s_sink_copy(output->sink, extent->file, extent->at, extent->len, diag);
	/* A pipe would hold the very pages of the file, which become zero when they are forgotten. */
	Q2SI_TRY(write_read(output, guest, extent->len, diag));
	if (extent->once)
		q2s_file_forget(extent->file, extent->at, extent->len);
	return Q2S_OK;
}

/* Holes are never moved, and files are left to the kernel. */
enum q2s_err
q2si_output_guest(struct q2si_output *output, q2s_guest guest, uint64_t len, struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(output->disk);
	const uint64_t inside = size > guest.v ? q2si_min(len, size - guest.v) : 0;
	const uint64_t end = guest.v + inside;

	while (guest.v < end) {
		struct q2s_extent extent;

		Q2SI_TRY(q2s_cursor_extent(output->cursor, guest, q2si_min(end - guest.v, STEP),
					   &extent, diag));
		Q2SI_TRY(write_extent(output, guest, &extent, diag));
		guest.v += extent.len;
		Q2SI_TRY(q2si_output_observe(output, diag));
	}
	return q2s_sink_zero(output->sink, len - inside, diag);
}

enum q2s_err
q2si_output_encrypted(struct q2si_output *output, q2s_guest guest, q2s_host at, uint64_t len,
		      struct q2s_diag *diag)
{
	while (len > 0) {
		const size_t n = q2si_min(len, Q2SI_OUTPUT_BUFFER);

		Q2SI_TRY(q2s_cursor_read(output->cursor, guest, output->buffer, n, diag));
		Q2SI_TRY(q2s_cipher_encrypt(output->cipher, guest, at, output->buffer, n, diag));
		Q2SI_TRY(q2s_sink_write(output->sink, output->buffer, n, diag));
		guest.v += n;
		at.v += n;
		len -= n;
		Q2SI_TRY(q2si_output_observe(output, diag));
	}
	return Q2S_OK;
}

enum q2s_err
q2si_output_verify(const struct q2si_output *output, struct q2s_diag *diag)
{
	const uint64_t written = q2s_sink_pos(output->sink) - output->first;

	if (written != output->total)
		return q2si_fail(diag, Q2S_E_PLAN, "output", Q2S_NOWHERE, written,
				 "not the 0x%llx bytes that were planned",
				 (unsigned long long)output->total);
	return output->disk ? q2s_disk_verify(output->disk, diag) : Q2S_OK;
}

enum q2s_err
q2si_output_open(struct q2si_output *output, struct q2s_diag *diag)
{
	output->first = q2s_sink_pos(output->sink);
	output->buffer = malloc(Q2SI_OUTPUT_BUFFER);
	if (!output->buffer)
		return q2si_fail_nomem(diag, "output buffer");
	if (output->disk)
		Q2SI_TRY(q2s_cursor_open(output->disk, &output->cursor, diag));
	if (output->crypt)
		Q2SI_TRY(q2s_cipher_open(output->crypt, &output->cipher, diag));
	return q2si_output_observe(output, diag);
}

void
q2si_output_close(struct q2si_output *output)
{
	q2s_cipher_close(output->cipher);
	q2s_cursor_close(output->cursor);
	free(output->buffer);
}
