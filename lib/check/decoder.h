/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does a compressed cluster decode? Only asked for, as it reads data. */
#ifndef Q2SI_CHECK_DECODER_H
#define Q2SI_CHECK_DECODER_H

#include <q2s/image.h>

struct q2si_decoder;

enum q2s_err q2si_decoder_open(struct q2s_image *image, struct q2si_decoder **out,
			       struct q2s_diag *diag);
void q2si_decoder_close(struct q2si_decoder *decoder); /* NULL is fine */

/** Does @entry, a compressed one, decode to exactly one cluster? @diag says why not. */
bool q2si_decodes(struct q2si_decoder *decoder, const struct q2s_l2_entry *entry,
		  struct q2s_diag *diag);

#endif
