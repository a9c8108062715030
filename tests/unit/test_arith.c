/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lengths as sizes of memory: never a smaller size than the length, also where a size has 32 bits. */
#include "unit.h"

#include "base/arith.h"

static const uint64_t lengths[] = { 0, 1, 4096, UINT32_MAX, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1,
				    UINT64_MAX - 1, UINT64_MAX };

START_TEST(what_has_no_size_is_too_large_to_allocate)
{
	for (size_t i = 0; i < COUNT(lengths); i++)
		ck_assert_uint_eq(q2si_size(lengths[i]), q2si_min(lengths[i], SIZE_MAX));
}
END_TEST

START_TEST(the_smaller_of_a_length_and_a_size)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, SIZE_MAX };

	for (size_t i = 0; i < COUNT(lengths); i++)
		for (size_t j = 0; j < COUNT(sizes); j++)
			ck_assert_uint_eq(q2si_min_size(lengths[i], sizes[j]),
					  q2si_min(lengths[i], sizes[j]));
}
END_TEST

UNIT_MAIN("arith", what_has_no_size_is_too_large_to_allocate, the_smaller_of_a_length_and_a_size)
