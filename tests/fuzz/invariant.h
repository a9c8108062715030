/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What fuzz targets of codecs share: ending loudly, reading the input, and judging a refusal. */
#ifndef Q2S_TESTS_INVARIANT_H
#define Q2S_TESTS_INVARIANT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/base.h>

/* A broken one is an error of ours, whatever the input was. */
#define INVARIANT(condition)                                                                      \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

/* The input, eaten from its start; what is not there is zero. */
struct input {
	const uint8_t *data;
	size_t size;
};

static inline void
eat(struct input *input, void *out, size_t len)
{
	const size_t n = len < input->size ? len : input->size;

	memset(out, 0, len);
	if (n > 0)
		memcpy(out, input->data, n);
	input->data += n;
	input->size -= n;
}

static inline uint64_t
eat_u64(struct input *input)
{
	uint64_t value;

	eat(input, &value, sizeof(value));
	return value;
}

static inline uint16_t
eat_u16(struct input *input)
{
	uint16_t value;

	eat(input, &value, sizeof(value));
	return value;
}

/* A refusal has its code, names a structure, and can be shown in any buffer. */
static inline void
judge(enum q2s_err err, const struct q2s_diag *diag)
{
	char line[64];

	INVARIANT(diag->err == err);
	if (err == Q2S_OK)
		return;
	INVARIANT(diag->what[0] && diag->text[0]);
	q2s_diag_format(diag, line, sizeof(line));
	INVARIANT(memchr(line, '\0', sizeof(line)));
}

#endif
