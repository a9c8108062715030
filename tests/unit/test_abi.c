/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sizes of public structs, which are compiled into the programs of others: one that changes
 * here without a new interface number of the library breaks them without a word.
 */
#include <q2s/format.h>

#include "unit.h"

#define PIN(type, lp64) { #type, sizeof(struct type), lp64 }

START_TEST(public_structs_keep_their_size)
{
	static const struct {
		const char *name;
		size_t size, lp64;
	} rows[] = {
		PIN(q2s_diag, 1440),
		PIN(q2s_geom, 104),
		PIN(q2s_geom_params, 24),
		PIN(q2s_refcount_size, 16),
		PIN(q2s_header, 112),
		PIN(q2s_ext, 24),
		PIN(q2s_feature_item, 49),
		PIN(q2s_ext_bitmaps, 24),
		PIN(q2s_ext_crypto, 16),
		PIN(q2s_l1_entry, 16),
		PIN(q2s_l2_entry, 40),
		PIN(q2s_comp_range, 16),
		PIN(q2s_snapshot, 120),
		PIN(q2s_bitmap, 48),
		PIN(q2s_bitmap_table_entry, 16),
		PIN(q2s_luks_slot, 56),
		PIN(q2s_luks, 656),
	};

	if (sizeof(void *) != 8 || sizeof(size_t) != 8)
		return; /* other machines have their own numbers */
	for (size_t i = 0; i < COUNT(rows); i++)
		ck_assert_msg(rows[i].size == rows[i].lp64, "struct %s: %zu instead of %zu",
			      rows[i].name, rows[i].size, rows[i].lp64);
}
END_TEST

START_TEST(offsets_are_plain_numbers_of_64_bits)
{
	ck_assert_uint_eq(sizeof(q2s_guest), 8);
	ck_assert_uint_eq(sizeof(q2s_host), 8);
}
END_TEST

/* Codes are numbers in other programs too: new ones go to the end of their class only with care. */
START_TEST(error_codes_keep_their_numbers)
{
	ck_assert_int_eq(Q2S_OK, 0);
	ck_assert_int_eq(Q2S_E_USAGE, 1);
	ck_assert_int_eq(Q2S_E_IO, 5);
	ck_assert_int_eq(Q2S_E_UNSUPPORTED, 11);
	ck_assert_int_eq(Q2S_E_LIMIT, 14);
	ck_assert_int_eq(Q2S_E_MAGIC, 16);
	ck_assert_int_eq(Q2S_E_CRYPTO, 30);
}
END_TEST

UNIT_MAIN("abi", public_structs_keep_their_size, offsets_are_plain_numbers_of_64_bits,
	  error_codes_keep_their_numbers)
