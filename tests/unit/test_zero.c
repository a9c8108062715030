/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Zero detection: a byte that it overlooks is a byte of the user's that is lost. */
#include "base/zero.h"
#include "unit.h"

enum { SHIFTS = 17, SHORT_MAX = 200 };

/* Each length, alignment and place of the one byte; the bytes around are not zero. */
START_TEST(no_byte_is_overlooked_in_short_buffers)
{
	uint8_t buf[SHIFTS + SHORT_MAX + 1];

	for (size_t shift = 0; shift < SHIFTS; shift++) {
		for (size_t len = 0; len <= SHORT_MAX; len++) {
			memset(buf, 0xff, sizeof(buf));
			memset(buf + shift, 0, len);
			quick_assert(q2si_is_zero(buf + shift, len));
			for (size_t i = 0; i < len; i++) {
				buf[shift + i] = (uint8_t)(1u << i % 8);
				quick_assert(!q2si_is_zero(buf + shift, len));
				buf[shift + i] = 0;
			}
		}
	}
}
END_TEST

START_TEST(no_byte_is_overlooked_in_clusters)
{
	static const size_t sizes[] = { 512, 2048, 4096, 65536 };
	uint8_t *buf = calloc(1, 65536);

	ck_assert_ptr_nonnull(buf);
	for (size_t s = 0; s < COUNT(sizes); s++) {
		ck_assert(q2si_is_zero(buf, sizes[s]));
		for (size_t i = 0; i < sizes[s]; i += sizes[s] / 512 + 6) {
			buf[i] = 0x80;
			quick_assert(!q2si_is_zero(buf, sizes[s]));
			buf[i] = 0;
		}
		buf[sizes[s] - 1] = 1;
		ck_assert(!q2si_is_zero(buf, sizes[s]));
		buf[sizes[s] - 1] = 0;
	}
	free(buf);
}
END_TEST

/* What repeats with the detector's own step must not look like zeros. */
START_TEST(a_repeating_pattern_is_not_zero)
{
	uint8_t buf[4096];

	for (size_t period = 1; period <= 64; period++) {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = i % period == period - 1;
		quick_assert(!q2si_is_zero(buf, sizeof(buf)));
	}
}
END_TEST

UNIT_MAIN("zero", no_byte_is_overlooked_in_short_buffers, no_byte_is_overlooked_in_clusters,
	  a_repeating_pattern_is_not_zero)
