/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Driving a sink with a random mix of all that it takes, beside a plain buffer that takes the same. */
#ifndef Q2S_TESTS_SINKS_H
#define Q2S_TESTS_SINKS_H

#include <q2s/io.h>

#include "files.h"

/* No drive moves more than this. */
#define SINK_ROOM ((size_t)8 << 20)
#define SINK_SOURCE ((size_t)1 << 20)

/* What the destination must hold in the end. */
struct sink_model {
	uint8_t *bytes; /* SINK_ROOM */
	size_t len;
};

/* A source for copies: data, a hole in its middle, data. */
static inline struct q2s_store *
sink_source(uint8_t *bytes)
{
	const char *path = path_of("sink-source");
	struct q2s_store *file = NULL;
	uint64_t seed = 99;
	int fd;

	memset(bytes, 0, SINK_SOURCE);
	for (size_t i = 0; i < SINK_SOURCE; i++)
		if (i < SINK_SOURCE / 4 || i >= SINK_SOURCE / 2)
			bytes[i] = (uint8_t)(unit_random(&seed) >> 56);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
	ck_assert_int_eq(ftruncate(fd, SINK_SOURCE), 0);
	for (size_t half = 0; half < 2; half++) {
		const size_t from = half * SINK_SOURCE / 2;
		size_t left = SINK_SOURCE / (half ? 2 : 4);

		for (size_t at = from; left > 0;) {
			const ssize_t n = pwrite(fd, bytes + at, left, (off_t)at);

			if (n < 0)
				continue;
			at += (size_t)n;
			left -= (size_t)n;
		}
	}
	close(fd);
	assert_ok(q2s_store_open(path, &file, &diag));
	return file;
}

/* One random piece: bytes, part of @file, or zeros. */
static inline void
sink_step(struct q2s_sink *sink, struct q2s_store *file, const uint8_t *source,
	  struct sink_model *model, uint64_t *seed)
{
	static const size_t lengths[] = { 0, 1, 511, 4096, 65535, 65536, 65537, 300000 };
	const uint64_t chance = unit_random(seed);
	size_t len = lengths[chance % COUNT(lengths)] + (chance >> 8) % 2 * ((chance >> 16) % 5000);
	const size_t at = (chance >> 32) % (SINK_SOURCE - len + 1);

	switch (unit_random(seed) % 3) {
	case 0:
		assert_ok(q2s_sink_write(sink, source + at, len, &diag));
		memcpy(model->bytes + model->len, source + at, len);
		break;
	case 1:
		assert_ok(q2s_sink_copy(sink, file, at, len, &diag));
		memcpy(model->bytes + model->len, source + at, len);
		break;
	default:
		assert_ok(q2s_sink_zero(sink, len, &diag));
		memset(model->bytes + model->len, 0, len);
		break;
	}
	model->len += len;
	ck_assert_uint_eq(q2s_sink_pos(sink), model->len);
}

/* Random pieces, a few megabytes in all. Ends with zeros, with data or with a copy. */
static inline void
sink_drive(struct q2s_sink *sink, struct sink_model *model, uint64_t seed)
{
	uint8_t *source = malloc(SINK_SOURCE);
	struct q2s_store *file;

	ck_assert_ptr_nonnull(source);
	ck_assert_ptr_nonnull(model->bytes);
	file = sink_source(source);
	seed = seed * 0x9e3779b97f4a7c15u + 1;
	for (unsigned i = 0; i < 60 && model->len < SINK_ROOM - 400000; i++)
		sink_step(sink, file, source, model, &seed);
	q2s_store_unref(file);
	free(source);
}

static inline void
sink_assert_same(const uint8_t *got, size_t len, const struct sink_model *model)
{
	ck_assert_uint_eq(len, model->len);
	for (size_t i = 0; i < len; i++)
		if (got[i] != model->bytes[i])
			ck_abort_msg("byte %zu of %zu is 0x%x instead of 0x%x", i, len, got[i],
				     model->bytes[i]);
}

#endif
