/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sweep over the starts and ends of all tables, reading in large windows where there is any. */
#include "words.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"

/* Where the number of tables changes: by @delta, which wraps around for ends. */
struct edge {
	uint64_t at;
	uint64_t delta;
};

static int
by_offset(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* The first word of [@i, @n) that is not zero, or @n. */
static size_t
skip_zeros(const uint8_t *raw, size_t i, size_t n)
{
	uint64_t word;

	for (; i < n; i++) {
		memcpy(&word, raw + 8 * i, sizeof(word));
		if (word)
			break;
	}
	return i;
}

static enum q2s_err
visit_window(struct q2si_checker *ck, uint64_t at, size_t words, uint64_t weight,
	     q2si_word_visitor visit, void *opaque)
{
	uint8_t raw[8];

	for (size_t i = 0; (i = skip_zeros(ck->window, i, words)) < words; i++) {
		memcpy(raw, ck->window + 8 * i, sizeof(raw));
		q2si_digest_add(ck, at + 8 * i, raw, sizeof(raw));
		Q2SI_TRY(visit(ck, opaque, (q2s_host){ at + 8 * i }, raw, weight));
	}
	return Q2S_OK;
}

static enum q2s_err
visit_stretch(struct q2si_checker *ck, uint64_t at, uint64_t end, uint64_t weight, const char *what,
	      q2si_word_visitor visit, void *opaque)
{
	end = q2si_min(end, ck->file_size);
	while (at < end) {
		const size_t len = (size_t)q2si_min(end - at, Q2SI_WINDOW);

		if (q2si_in_hole(ck, at, len)) {
			at = q2si_min(end, q2si_max(at + len, ck->stretches.end & ~7ull));
			continue;
		}
		/* A window of whole words, though the file may end within one. */
		if (q2si_read(ck, at, ck->window, q2si_round_up(len, 8), what))
			Q2SI_TRY(visit_window(ck, at, q2si_div_up(len, 8), weight, visit, opaque));
		at += len;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_visit_words(struct q2si_checker *ck, const struct q2si_words *tables, size_t count,
		 const char *what, q2si_word_visitor visit, void *opaque)
{
	Q2SI_AUTO_FREE struct edge *edges = calloc(count ? 2 * count : 1, sizeof(*edges));
	uint64_t weight = 0;

	if (!edges)
		return Q2S_E_NOMEM;
	for (size_t i = 0; i < count; i++) {
		edges[2 * i] = (struct edge){ tables[i].at, tables[i].weight };
		edges[2 * i + 1] =
			(struct edge){ tables[i].at + 8 * tables[i].words, -tables[i].weight };
	}
	qsort(edges, 2 * count, sizeof(*edges), by_offset);
	for (size_t i = 0; i + 1 < 2 * count; i++) {
		weight += edges[i].delta;
		if (weight && edges[i].at < edges[i + 1].at)
			Q2SI_TRY(visit_stretch(ck, edges[i].at, edges[i + 1].at, weight, what,
					       visit, opaque));
	}
	return Q2S_OK;
}
