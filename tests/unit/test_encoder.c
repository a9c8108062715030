/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the encoders make: decodable with the window that QEMU promises, and never too long. */
#include <zlib.h>

#include "emit/encoder.h"
#include "unit.h"

#define SIZE 65536u

static const struct q2s_compression ways[] = {
	{ .type = Q2S_COMPRESSION_ZLIB },
	{ .type = Q2S_COMPRESSION_ZLIB, .has_level = true, .level = 1 },
	{ .type = Q2S_COMPRESSION_ZLIB, .has_level = true, .level = 9 },
};

/* Words that repeat at all distances, near and far. */
static void
fill_text(uint8_t *buf, uint64_t seed)
{
	for (size_t at = 0; at < SIZE;) {
		const size_t far = (size_t)(unit_random(&seed) % 40000) + 1;
		size_t n = (size_t)(unit_random(&seed) % 60) + 4;

		for (; n > 0 && at < SIZE; n--, at++)
			buf[at] = far <= at && n > 3 ? buf[at - far] : (uint8_t)unit_random(&seed);
	}
}

/*
 * Inflate with a window of 4 KiB, a few bytes at a time, so that zlib cannot look further back in
 * the output buffer itself.
 */
static void
assert_inflates(const uint8_t *stream, uint32_t len, const uint8_t *want)
{
	z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)stream, .avail_in = len };
	uint8_t part[61];
	size_t got = 0;
	int end = Z_OK;

	ck_assert_int_eq(inflateInit2(&z, -12), Z_OK);
	while (end == Z_OK) {
		z.next_out = part;
		z.avail_out = sizeof(part);
		end = inflate(&z, Z_NO_FLUSH);
		ck_assert_msg(end == Z_OK || end == Z_STREAM_END, "inflate says %d at %zu", end, got);
		const size_t n = sizeof(part) - z.avail_out;

		quick_assert(got + n <= SIZE && memcmp(part, want + got, n) == 0);
		got += n;
	}
	(void)inflateEnd(&z);
	ck_assert_uint_eq(got, SIZE);
}

START_TEST(deflate_stays_within_the_window_that_readers_have)
{
	static uint8_t in[SIZE], out[SIZE];
	struct q2si_encoder *encoder = NULL;
	uint32_t len;

	assert_ok(q2si_encoder_open(&ways[_i], SIZE, &encoder, &diag));
	for (uint64_t seed = 1; seed < 6; seed++) {
		fill_text(in, seed);
		assert_ok(q2si_encode(encoder, in, out, &len, &diag));
		ck_assert_uint_gt(len, 0);
		ck_assert_uint_lt(len, SIZE);
		assert_inflates(out, len, in);
	}
	q2si_encoder_close(encoder);
}
END_TEST

/* The first two bytes come again behind each byte but those from @spared on, which may be none. */
static void
fill_echo(uint8_t *buf, unsigned spared)
{
	for (size_t at = 0; at < SIZE; at++) {
		const uint8_t tuple[4] = { (uint8_t)(at / 4 % spared), 'a', 'b',
					   (uint8_t)(at / 4 % 3) };

		buf[at] = tuple[(at + 1) % 4];
	}
}

/* Nothing in a stream may refer to what lies before its start, whatever makes that tempting. */
START_TEST(nothing_lies_before_a_stream)
{
	static const unsigned spared[] = { 1, 2, 97, 255, 256 };
	static uint8_t in[SIZE], out[SIZE];
	struct q2si_encoder *encoder = NULL;
	uint32_t len;

	assert_ok(q2si_encoder_open(&ways[_i], SIZE, &encoder, &diag));
	for (size_t i = 0; i <= COUNT(spared); i++) {
		if (i < COUNT(spared))
			fill_echo(in, spared[i]);
		else
			memset(in, 0, SIZE);
		assert_ok(q2si_encode(encoder, in, out, &len, &diag));
		ck_assert_uint_gt(len, 0);
		assert_inflates(out, len, in);
	}
	q2si_encoder_close(encoder);
}
END_TEST

/* The same where the window ends: the start again, behind a byte that stands nowhere else. */
START_TEST(nothing_lies_before_a_stream_at_the_end_of_the_window)
{
	static uint8_t in[SIZE], out[SIZE];
	struct q2si_encoder *encoder = NULL;
	uint32_t len;

	assert_ok(q2si_encoder_open(&ways[_i], SIZE, &encoder, &diag));
	for (size_t at = 4080; at < 4112; at++) {
		uint64_t seed = at;

		for (size_t i = 0; i < SIZE; i++)
			in[i] = (uint8_t)(1 + unit_random(&seed) % 40);
		in[at] = 0;
		memcpy(in + at + 1, in, 200);
		assert_ok(q2si_encode(encoder, in, out, &len, &diag));
		ck_assert_uint_gt(len, 0);
		assert_inflates(out, len, in);
	}
	q2si_encoder_close(encoder);
}
END_TEST

START_TEST(noise_does_not_shrink)
{
	static const struct q2s_compression all[] = { { .type = Q2S_COMPRESSION_ZLIB },
						      { .type = Q2S_COMPRESSION_ZSTD } };
	static uint8_t in[SIZE], out[SIZE];
	uint64_t seed = 7;

	for (size_t i = 0; i < SIZE; i++)
		in[i] = (uint8_t)(unit_random(&seed) >> 32);
	for (size_t i = 0; i < COUNT(all); i++) {
		struct q2si_encoder *encoder = NULL;
		uint32_t len = 1;

		assert_ok(q2si_encoder_open(&all[i], SIZE, &encoder, &diag));
		assert_ok(q2si_encode(encoder, in, out, &len, &diag));
		ck_assert_uint_eq(len, 0);
		q2si_encoder_close(encoder);
	}
}
END_TEST

START_TEST(levels_that_are_none_are_refused)
{
	const struct q2s_compression bad[] = {
		{ .type = Q2S_COMPRESSION_ZLIB, .has_level = true, .level = 0 },
		{ .type = Q2S_COMPRESSION_ZLIB, .has_level = true, .level = 10 },
		{ .type = Q2S_COMPRESSION_ZSTD, .has_level = true, .level = 100 },
	};

	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert_int_eq(q2s_compression_check(&bad[i], NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_compression_check(&(struct q2s_compression){ .type = 2 }, NULL),
			 Q2S_E_UNSUPPORTED);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("encoder");

	tcase_add_loop_test(tcase, deflate_stays_within_the_window_that_readers_have, 0,
			    COUNT(ways));
	tcase_add_loop_test(tcase, nothing_lies_before_a_stream, 0, COUNT(ways));
	tcase_add_loop_test(tcase, nothing_lies_before_a_stream_at_the_end_of_the_window, 0,
			    COUNT(ways));
	tcase_add_test(tcase, noise_does_not_shrink);
	tcase_add_test(tcase, levels_that_are_none_are_refused);
	return unit_run_case("encoder", tcase, NULL, 0);
}
