/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking the body of a kept plan apart: each field is checked before it is used. */
#ifndef Q2SI_PLAN_PLAN_BODY_H
#define Q2SI_PLAN_PLAN_BODY_H

#include <q2s/plan.h>

/** What is left of the body; the bytes are borrowed. */
struct q2si_body {
	const uint8_t *at;
	size_t left;
	struct q2s_diag *diag;
};

/** Q2S_E_DATA, and why. */
enum q2s_err q2si_plan_damaged(struct q2s_diag *diag, const char *why);

/** The next field, or Q2S_E_DATA: a number of at most @max; a string that stays in the body; one of
 * less than @size bytes, with a NUL behind it. */
enum q2s_err q2si_body_bytes(struct q2si_body *body, uint64_t len, struct q2s_bytes *out);
enum q2s_err q2si_body_number(struct q2si_body *body, uint64_t max, uint64_t *out);
enum q2s_err q2si_body_string(struct q2si_body *body, struct q2s_bytes *out);
enum q2s_err q2si_body_text(struct q2si_body *body, char *out, size_t size);

#endif
