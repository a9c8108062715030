/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest bytes on their way into a sink: what a whole disk and the pieces of a plan have in common. */
#ifndef Q2SI_EMIT_OUTPUT_H
#define Q2SI_EMIT_OUTPUT_H

#include <q2s/emit.h>

#define Q2SI_OUTPUT_BUFFER (256u << 10)

struct q2si_output {
	struct q2s_disk *disk;
	struct q2s_sink *sink;
	uint64_t total; /* bytes to write */
	const struct q2s_observer *observer;
	const struct q2s_crypt *crypt; /* or NULL */

	struct q2s_cursor *cursor;
	struct q2s_cipher *cipher; /* with @crypt */
	uint64_t first;  /* sink position of the first byte */
	uint8_t *buffer; /* Q2SI_OUTPUT_BUFFER bytes, for whoever needs some */
};

/** Prepare what the fields above the blank line say. Close it in any case. */
enum q2s_err q2si_output_open(struct q2si_output *output, struct q2s_diag *diag);
void q2si_output_close(struct q2si_output *output);

/** Write guest bytes in the cheapest way; what lies past the disk's end is zero. */
enum q2s_err q2si_output_guest(struct q2si_output *output, q2s_guest guest, uint64_t len,
			       struct q2s_diag *diag);

/** The same with encryption: each sector, of zeros too, for its place in the image, from @at on. */
enum q2s_err q2si_output_encrypted(struct q2si_output *output, q2s_guest guest, q2s_host at,
				   uint64_t len, struct q2s_diag *diag);

/** Tell the observer how far it is; Q2S_E_CANCELLED when it wants no more. */
enum q2s_err q2si_output_observe(const struct q2si_output *output, struct q2s_diag *diag);

/** At the end: were all bytes written, and did the source stay what it was? */
enum q2s_err q2si_output_verify(const struct q2si_output *output, struct q2s_diag *diag);

#endif
