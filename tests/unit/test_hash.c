/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash: each bit and each length counts, and every machine gets the same. */
#include "base/hash.h"
#include "unit.h"

#define PINNED 0xd377d2b69696cf8cull

static const size_t lengths[] = { 1, 7, 8, 9, 31, 32, 33, 40, 63, 64, 100, 4096 };

START_TEST(each_bit_counts)
{
	static uint8_t buf[4096];
	const size_t len = lengths[_i];
	const uint64_t zero = q2si_hash(buf, len, 0);

	for (size_t bit = 0; bit < len * 8; bit++) {
		uint64_t differ;

		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		differ = q2si_hash(buf, len, 0) ^ zero;
		buf[bit / 8] = 0;
		/* about half of the 64 bits: fewer than 10 would be one chance in 10^8 */
		quick_assert(__builtin_popcountll(differ) >= 10);
	}
}
END_TEST

START_TEST(length_and_seed_count)
{
	static const uint8_t zeros[200];

	for (size_t a = 0; a < sizeof(zeros); a++) {
		for (size_t b = 0; b < a; b++)
			quick_assert(q2si_hash(zeros, a, 1) != q2si_hash(zeros, b, 1));
		quick_assert(q2si_hash(zeros, a, 1) != q2si_hash(zeros, a, 2));
	}
}
END_TEST

/* Words that change places, as blocks of an array do, are other bytes. */
START_TEST(order_counts)
{
	uint64_t words[64], seed = 7;
	uint64_t whole;

	for (size_t i = 0; i < COUNT(words); i++)
		words[i] = unit_random(&seed);
	whole = q2si_hash(words, sizeof(words), 0);
	for (size_t a = 0; a < COUNT(words); a++) {
		for (size_t b = 0; b < a; b++) {
			const uint64_t word = words[a];

			words[a] = words[b];
			words[b] = word;
			quick_assert(q2si_hash(words, sizeof(words), 0) != whole);
			words[b] = words[a];
			words[a] = word;
		}
	}
}
END_TEST

/* A kept plan is read on other machines, at any alignment. */
START_TEST(it_is_the_same_everywhere)
{
	uint8_t buf[101];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)i;
	ck_assert_uint_eq(q2si_hash(buf, 100, 1), PINNED);
	memmove(buf + 1, buf, 100);
	ck_assert_uint_eq(q2si_hash(buf + 1, 100, 1), PINNED);
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("hash");

	tcase_add_loop_test(tcase, each_bit_counts, 0, COUNT(lengths));
	tcase_add_test(tcase, length_and_seed_count);
	tcase_add_test(tcase, order_counts);
	tcase_add_test(tcase, it_is_the_same_everywhere);
	return unit_run_case("hash", tcase, NULL, 0);
}
