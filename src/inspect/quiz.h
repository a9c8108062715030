/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of `quiz`: a random extended L2 entry, what is true of it, and an image that holds it.
 */
#ifndef INSPECT_QUIZ_H
#define INSPECT_QUIZ_H

#include "inspect/explain.h"

/**
 * One question.
 *
 * @raw     the entry, which lies at @at
 * @guest   the first guest byte that it maps
 * @byte    the guest byte that is asked for
 * @state   "data", "zero", "unallocated", "compressed", or "invalid"
 * @host    where @byte lies, or would lie; compressed: where the stream begins; Q2S_NOWHERE:
 * nowhere
 * @copied  the entry says that a write may go to that cluster in place
 */
struct quiz {
	struct q2s_header header;
	struct q2s_geom geom;
	uint8_t raw[Q2S_L2X_ENTRY_SIZE];
	q2s_host at;
	q2s_guest guest;
	q2s_guest byte;
	const char *state;
	q2s_host host;
	bool copied;
};

/** Make the question of @seed: the same on every machine. */
enum q2s_err quiz_make(uint64_t seed, struct quiz *out, struct q2s_diag *diag);

/** An image in memory that has the entry, for explain_layer(). */
enum q2s_err quiz_image(const struct quiz *quiz, struct q2s_store **out, struct q2s_diag *diag);

#endif
