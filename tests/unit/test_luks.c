/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The LUKS header as bytes: read, written, and what is refused. */
#include <q2s/format.h>

#include "unit.h"

#define AT ((q2s_host){ 0x30000 })
#define LENGTH 0x1f9000ull /* up to the payload: where QEMU ends the header of a 64-byte key */

static struct q2s_diag diag;

static struct q2s_luks
some_luks(void)
{
	struct q2s_luks luks = {
		.cipher_name = "aes",
		.cipher_mode = "cbc-essiv:sha256",
		.hash = "sha512",
		.uuid = "6f2b8c1e-0d5a-4b7c-9e1f-23456789abcd",
		.key_bytes = 64,
		.payload_offset = LENGTH,
		.master_iterations = 1000,
	};

	memset(luks.master_digest, 0xd1, sizeof(luks.master_digest));
	memset(luks.master_salt, 0x5a, sizeof(luks.master_salt));
	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS; i++) {
		luks.slots[i].stripes = Q2S_LUKS_STRIPES;
		luks.slots[i].key_offset = 4096 + i * 258048ull;
	}
	luks.slots[2].active = true;
	luks.slots[2].iterations = 0x01020304;
	memset(luks.slots[2].salt, 0x77, sizeof(luks.slots[2].salt));
	return luks;
}

/* By the table of the specification: a field at a time. */
START_TEST(each_field_lies_where_the_specification_says)
{
	const struct q2s_luks luks = some_luks();
	uint8_t raw[Q2S_LUKS_SIZE];

	memset(raw, 0xee, sizeof(raw));
	ck_assert_int_eq(q2s_luks_encode(&luks, raw, &diag), Q2S_OK);
	ck_assert_mem_eq(raw, "LUKS\xba\xbe\0\1", 8);
	ck_assert_mem_eq(raw + 8, "aes\0\0\0", 6);
	ck_assert_mem_eq(raw + 40, "cbc-essiv:sha256", 17);
	ck_assert_mem_eq(raw + 72, "sha512", 7);
	ck_assert_mem_eq(raw + 104, "\0\0\x0f\xc8\0\0\0\x40", 8); /* sectors, bytes */
	ck_assert_uint_eq(raw[112], 0xd1);
	ck_assert_uint_eq(raw[131], 0xd1);
	ck_assert_uint_eq(raw[132], 0x5a);
	ck_assert_uint_eq(raw[163], 0x5a);
	ck_assert_mem_eq(raw + 164, "\0\0\x03\xe8" "6f2b8c1e", 12);
	ck_assert_mem_eq(raw + 208, "\0\0\xde\xad\0\0\0\0", 8);
	ck_assert_mem_eq(raw + 208 + 40, "\0\0\0\x08\0\0\x0f\xa0", 8);
	ck_assert_mem_eq(raw + 304, "\0\xac\x71\xf3\1\2\3\4\x77", 9);
	ck_assert_mem_eq(raw + 304 + 40, "\0\0\x03\xf8", 4);
}
END_TEST

START_TEST(what_is_written_is_read)
{
	const struct q2s_luks luks = some_luks();
	struct q2s_luks again;
	uint8_t raw[Q2S_LUKS_SIZE], raw_again[Q2S_LUKS_SIZE];

	ck_assert_int_eq(q2s_luks_encode(&luks, raw, &diag), Q2S_OK);
	ck_assert_int_eq(q2s_luks_decode(raw, AT, &again, &diag), Q2S_OK);
	ck_assert_str_eq(again.cipher_mode, "cbc-essiv:sha256");
	ck_assert_str_eq(again.uuid, luks.uuid);
	ck_assert_uint_eq(again.payload_offset, LENGTH);
	ck_assert(again.slots[2].active && !again.slots[3].active);
	ck_assert_uint_eq(again.slots[2].key_offset, 520192);
	ck_assert_int_eq(q2s_luks_encode(&again, raw_again, &diag), Q2S_OK);
	ck_assert_mem_eq(raw, raw_again, sizeof(raw));
}
END_TEST

START_TEST(names_without_an_end_are_cut)
{
	struct q2s_luks luks = some_luks();
	uint8_t raw[Q2S_LUKS_SIZE];

	ck_assert_int_eq(q2s_luks_encode(&luks, raw, &diag), Q2S_OK);
	memset(raw + 8, 'x', 32 + 32 + 32);
	ck_assert_int_eq(q2s_luks_decode(raw, AT, &luks, &diag), Q2S_OK);
	ck_assert_uint_eq(strlen(luks.cipher_name), 32);
	ck_assert_uint_eq(strlen(luks.cipher_mode), 32);
	ck_assert_uint_eq(strlen(luks.hash), 32);
}
END_TEST

static void
assert_refusal(enum q2s_err want, uint64_t at, uint64_t value, enum q2s_err got)
{
	ck_assert_int_eq(got, want);
	ck_assert_uint_eq(diag.at.v, at);
	ck_assert_uint_eq(diag.value, value);
	diag = (struct q2s_diag){ 0 };
}

START_TEST(what_is_no_header_of_version_1_is_refused)
{
	struct q2s_luks luks = some_luks();
	uint8_t raw[Q2S_LUKS_SIZE];

	ck_assert_int_eq(q2s_luks_encode(&luks, raw, &diag), Q2S_OK);
	raw[5] ^= 1;
	assert_refusal(Q2S_E_CRYPTO, 0x30000, 0, q2s_luks_decode(raw, AT, &luks, &diag));
	raw[5] ^= 1;
	raw[7] = 2;
	assert_refusal(Q2S_E_UNSUPPORTED, 0x30006, 2, q2s_luks_decode(raw, AT, &luks, &diag));
	raw[7] = 1;
	raw[208 + 7 * 48 + 3] = 0xac;
	assert_refusal(Q2S_E_CRYPTO, 0x30000 + 208 + 7 * 48, 0xdeac,
		       q2s_luks_decode(raw, AT, &luks, &diag));
	luks = some_luks();
	luks.slots[4].key_offset = 700;
	ck_assert_int_eq(q2s_luks_encode(&luks, raw, NULL), Q2S_E_OFFSET);
	luks = some_luks();
	luks.payload_offset = 1ull << 41;
	ck_assert_int_eq(q2s_luks_encode(&luks, raw, NULL), Q2S_E_OFFSET);
}
END_TEST

START_TEST(what_cannot_be_tried_is_refused)
{
	static const uint64_t slot = 0x30000 + 208 + 2 * 48;
	struct q2s_luks luks = some_luks();

	ck_assert_int_eq(q2s_luks_check(&luks, AT, LENGTH, &diag), Q2S_OK);
	luks.slots[5].stripes = 1; /* not active: of no interest */
	ck_assert_int_eq(q2s_luks_check(&luks, AT, 520192 + 256000, &diag), Q2S_OK);
	assert_refusal(Q2S_E_CRYPTO, slot + 40, 520192,
		       q2s_luks_check(&luks, AT, 520192 + 256000 - 1, &diag));
	luks.payload_offset = 520192 + 256000 - 512;
	assert_refusal(Q2S_E_CRYPTO, slot + 40, 520192, q2s_luks_check(&luks, AT, LENGTH, &diag));
	luks = some_luks();
	luks.slots[2].key_offset = 512;
	assert_refusal(Q2S_E_CRYPTO, slot + 40, 512, q2s_luks_check(&luks, AT, LENGTH, &diag));
	luks = some_luks();
	luks.slots[2].stripes = 3999;
	assert_refusal(Q2S_E_CRYPTO, slot + 44, 3999, q2s_luks_check(&luks, AT, LENGTH, &diag));
	luks = some_luks();
	luks.slots[2].iterations = 0;
	assert_refusal(Q2S_E_CRYPTO, slot + 4, 0, q2s_luks_check(&luks, AT, LENGTH, &diag));
	luks = some_luks();
	luks.master_iterations = 0;
	assert_refusal(Q2S_E_CRYPTO, 0x30000 + 164, 0, q2s_luks_check(&luks, AT, LENGTH, &diag));
	luks = some_luks();
	luks.key_bytes = 65;
	assert_refusal(Q2S_E_CRYPTO, 0x30000 + 108, 65, q2s_luks_check(&luks, AT, LENGTH, &diag));
	luks.key_bytes = 0;
	assert_refusal(Q2S_E_CRYPTO, 0x30000 + 108, 0, q2s_luks_check(&luks, AT, LENGTH, &diag));
}
END_TEST

START_TEST(the_words_are_those_of_qemu)
{
	struct q2s_luks luks = some_luks();
	struct q2s_luks_words words;

	luks.key_bytes = 32;
	q2s_luks_words(&luks, &words);
	ck_assert_str_eq(words.alg, "aes-256");
	ck_assert_str_eq(words.mode, "cbc");
	ck_assert_str_eq(words.ivgen, "essiv");
	ck_assert_str_eq(words.ivhash, "sha256");
	strcpy(luks.cipher_mode, "xts-plain64");
	q2s_luks_words(&luks, &words);
	ck_assert_str_eq(words.alg, "aes-128");
	ck_assert_str_eq(words.ivgen, "plain64");
	ck_assert_str_eq(words.ivhash, "");
	strcpy(luks.cipher_mode, "xts");
	q2s_luks_words(&luks, &words);
	ck_assert_str_eq(words.ivgen, "");
}
END_TEST

UNIT_MAIN("luks", each_field_lies_where_the_specification_says, what_is_written_is_read,
	  names_without_an_end_are_cut, what_is_no_header_of_version_1_is_refused,
	  what_cannot_be_tried_is_refused, the_words_are_those_of_qemu)
