/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --range, --resume and --part: which bytes of the output are wanted. */
#ifndef STREAM_RANGE_H
#define STREAM_RANGE_H

#include <stdbool.h>

#include <q2s/base.h>

/** How the range was said; it becomes numbers when the length is known. Zero: all. */
struct stream_range {
	enum { RANGE_ALL, RANGE_BYTES, RANGE_FROM, RANGE_PART } kind;
	uint64_t a, b; /* offset and length; offset; K and N of part K/N */
};

/** Parse "OFF:LEN", "N" or "K/N". False with a usage message. */
bool range_parse_bytes(struct stream_range *range, const char *arg);
bool range_parse_resume(struct stream_range *range, const char *arg);
bool range_parse_part(struct stream_range *range, const char *arg);

/**
 * The bytes [*@from, *@until) of an output of @length bytes. Parts are cut where K * length / N
 * falls, so that all parts together are the whole. Q2S_E_USAGE when the range leaves the output.
 */
enum q2s_err range_resolve(const struct stream_range *range, uint64_t length, uint64_t *from,
			   uint64_t *until, struct q2s_diag *diag);

#endif
