/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encryption against values that others computed: IEEE 1619's vector 4, and for the rest Python's
 * hashlib and cryptography. How it looks from a disk: odd offsets, holes, nothing to copy.
 */
#include <q2s/crypt.h>

#ifdef HAVE_LIBGCRYPT

#include "crypt/cipher.h"
#include "crypt/split.h"
#include "look.h"

#define SECTOR_NUMBER 0x123456789aull /* more than 32 bits */

static int
from_hex(const char *hex, uint8_t *out)
{
	int n = 0;

	for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		out[n] = (uint8_t)byte;
	return n;
}

static void
assert_hex(const uint8_t *got, const char *hex)
{
	uint8_t want[64];
	const int n = from_hex(hex, want);

	ck_assert_mem_eq(got, want, (size_t)n);
}

/* 0, 1, .. 255, twice. */
static void
fill_plain(uint8_t plain[512])
{
	for (unsigned i = 0; i < 512; i++)
		plain[i] = (uint8_t)i;
}

static struct q2s_luks
luks_of(const char *name, const char *mode, uint32_t key_bytes)
{
	struct q2s_luks luks = { .hash = "sha256", .key_bytes = key_bytes };

	strcpy(luks.cipher_name, name);
	strcpy(luks.cipher_mode, mode);
	return luks;
}

static void
open_sectors(const char *name, const char *mode, uint32_t key_bytes, const uint8_t *key,
	     struct q2si_sectors *out)
{
	const struct q2s_luks luks = luks_of(name, mode, key_bytes);
	struct q2si_cipher_spec spec;

	assert_ok(q2si_cipher_find(&luks, (q2s_host){ 0 }, &spec, &diag));
	assert_ok(q2si_sectors_open(&spec, key, out, &diag));
}

/* ---- sectors ----------------------------------------------------------------------------- */

START_TEST(sectors_are_those_of_other_implementations)
{
	static const struct {
		const char *name, *mode;
		uint32_t key_bytes;
		const char *head, *tail;
	} rows[] = {
		{ "aes", "xts-plain64", 64, "1ad4aaecba8050a2cdaaa7327fec9bf4",
		  "375c22de994b439a13670532c94c0efc" },
		{ "aes", "xts-plain", 64, "5e941d9cff870ed8361c09b2a11588b5",
		  "62cb7d68c52e25d8f81300e8e0829be8" },
		{ "aes", "cbc-plain64", 32, "e836cb47c79aa0a6550ea8d2121fc728",
		  "1117bad3ba8125fac2bae890112db3d6" },
		{ "aes", "cbc-essiv:sha256", 16, "4de3d086e5539829ba7386b9b1750ad9",
		  "2d0a0a83dd2212f73ced7e2de96f7250" },
		{ "aes", "ctr-plain64", 24, "c9becd334d6eec1e7a6ef19a298510df",
		  "e051702e188a50bcc86c070e9587a4c3" },
		{ "aes", "ecb-plain64", 32, "5a6e045708fb7196f02e553d02c3a692",
		  "9200cd8d239680cb5a69e65440326314" },
	};
	uint8_t key[64], plain[512], data[512];

	fill_plain(plain);
	memcpy(key, plain, sizeof(key));
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2si_sectors sectors;

		memcpy(data, plain, sizeof(data));
		open_sectors(rows[i].name, rows[i].mode, rows[i].key_bytes, key, &sectors);
		assert_ok(q2si_sectors_encrypt(&sectors, SECTOR_NUMBER, data, 512, &diag));
		assert_hex(data, rows[i].head);
		assert_hex(data + 496, rows[i].tail);
		assert_ok(q2si_sectors_decrypt(&sectors, SECTOR_NUMBER, data, 512, &diag));
		ck_assert_mem_eq(data, plain, 512);
		q2si_sectors_close(&sectors);
	}
}
END_TEST

START_TEST(xts_is_that_of_ieee_1619)
{
	uint8_t key[32], data[512];
	struct q2si_sectors sectors;

	from_hex("2718281828459045235360287471352631415926535897932384626433832795", key);
	fill_plain(data);
	open_sectors("aes", "xts-plain64", 32, key, &sectors);
	assert_ok(q2si_sectors_encrypt(&sectors, 0, data, sizeof(data), &diag));
	assert_hex(data, "27a7479befa1d476489f308cd4cfa6e2");
	assert_hex(data + 496, "0a282df920147beabe421ee5319d0568");
	q2si_sectors_close(&sectors);
}
END_TEST

/* Every cipher in every mode is its own way back; each sector begins anew. */
START_TEST(sectors_are_independent_and_turn_back)
{
	static const struct {
		const char *name;
		uint32_t bytes;
	} ciphers[] = { { "aes", 16 },     { "aes", 24 },     { "aes", 32 },
			{ "serpent", 16 }, { "serpent", 24 }, { "serpent", 32 },
			{ "twofish", 16 }, { "twofish", 32 }, { "cast5", 16 } };
	static const char *const modes[] = { "cbc-plain64", "ctr-plain", "ecb-plain", "xts-plain64" };
	uint8_t key[64], plain[4096], data[4096];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 7 >> 3);
	memcpy(key, plain + 512, sizeof(key));
	for (size_t i = 0; i < COUNT(ciphers) * COUNT(modes); i++) {
		const bool xts = i % COUNT(modes) == 3;
		const uint32_t bytes = ciphers[i / COUNT(modes)].bytes << xts;
		struct q2si_sectors sectors;

		if (xts && strcmp(ciphers[i / COUNT(modes)].name, "cast5") == 0)
			continue; /* its blocks are too small */
		open_sectors(ciphers[i / COUNT(modes)].name, modes[i % COUNT(modes)], bytes, key,
			     &sectors);
		memcpy(data, plain, sizeof(data));
		assert_ok(q2si_sectors_encrypt(&sectors, 77, data, sizeof(data), &diag));
		ck_assert_mem_ne(data, plain, 512);
		assert_ok(q2si_sectors_decrypt(&sectors, 80, data + 3 * 512, 512, &diag));
		ck_assert_mem_eq(data + 3 * 512, plain + 3 * 512, 512);
		assert_ok(q2si_sectors_decrypt(&sectors, 77, data, 3 * 512, &diag));
		ck_assert_mem_eq(data, plain, 4 * 512);
		q2si_sectors_close(&sectors);
	}
}
END_TEST

START_TEST(what_cannot_be_computed_is_refused)
{
	static const struct {
		const char *name, *mode;
		uint32_t key_bytes, at;
	} rows[] = {
		{ "rot", "cbc-plain64", 16, 8 },       { "aes", "cbc-plain64", 17, 8 },
		{ "aes", "xts-plain64", 33, 8 },       { "aes", "xts-plain64", 16, 8 },
		{ "cast5", "xts-plain64", 32, 8 },     { "twofish", "cbc-plain64", 24, 8 },
		{ "", "cbc-plain64", 16, 8 },          { "aes", "lrw-plain64", 32, 40 },
		{ "aes", "cbc-benbi", 32, 40 },        { "aes", "cbc", 32, 40 },
		{ "aes", "", 32, 40 },                 { "aes", "cbc-essiv", 32, 40 },
		{ "aes", "cbc-essiv:sha1", 32, 40 },   { "aes", "cbc-essiv:sha512", 32, 40 },
		{ "cast5", "cbc-essiv:sha256", 16, 40 }, { "aes", "cbc-essiv:rot", 32, 40 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_luks luks = luks_of(rows[i].name, rows[i].mode,
						     rows[i].key_bytes);
		struct q2s_diag refusal = { 0 };
		struct q2si_cipher_spec spec;

		ck_assert_int_eq(q2si_cipher_find(&luks, (q2s_host){ 0x1000 }, &spec, &refusal),
				 Q2S_E_UNSUPPORTED);
		ck_assert_uint_eq(refusal.at.v, 0x1000 + rows[i].at);
	}
}
END_TEST

/* ---- the splitter ------------------------------------------------------------------------- */

static const uint8_t *
noise(size_t len)
{
	static uint8_t bytes[64000];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + 3);
	return bytes;
}

START_TEST(a_key_is_merged_from_its_stripes)
{
	uint8_t out[64];

	ck_assert_int_eq(q2si_gcrypt_start(NULL), Q2S_OK);
	q2si_split_merge(GCRY_MD_SHA1, noise(64 * 5), 64, 5, out);
	assert_hex(out, "31981818cf6fb6666efbd3618ac3c2cd36de8353026999a9a85b60662b2cbaea"
			"ee54f5d26e26bfc2b8f8f263f52ba1e732d4c6282982a6040859de024f97139f");
	q2si_split_merge(GCRY_MD_SHA256, noise(32 * 10), 32, 10, out);
	assert_hex(out, "2a2e8ca7f81c678cd9e9d258a9a503d837f2741a8b9d542748299c96454f59cf");
	q2si_split_merge(GCRY_MD_SHA512, noise(16 * 20), 16, 20, out);
	assert_hex(out, "2aaca6ab7e31c47dedb5d64e43af994a");
}
END_TEST

START_TEST(the_last_stripe_makes_it_any_key)
{
	uint8_t material[48 * 30], out[48];

	ck_assert_int_eq(q2si_gcrypt_start(NULL), Q2S_OK);
	memcpy(material, noise(sizeof(material)), sizeof(material));
	q2si_split_close(GCRY_MD_SHA224, material, 48, 30, noise(48) + 5);
	q2si_split_merge(GCRY_MD_SHA224, material, 48, 30, out);
	ck_assert_mem_eq(out, noise(48) + 5, 48);
}
END_TEST

/* ---- a whole header ----------------------------------------------------------------------- */

#define HEADER_AT 4096u
#define HEADER_BYTES (4096u + 64000u)
#define PASSPHRASE "correct horse"

/* AES-128-CBC; slot 3 is opened by PASSPHRASE. All numbers are the Python script's. */
static struct q2s_luks
golden_luks(void)
{
	struct q2s_luks luks = luks_of("aes", "cbc-plain64", 16);

	luks.payload_offset = HEADER_BYTES + 512 - HEADER_BYTES % 512;
	luks.master_iterations = 1000;
	from_hex("ddc341b0ed3b6b2ca772b1bc055eb358cd247145", luks.master_digest);
	luks.slots[3] = (struct q2s_luks_slot){
		.active = true, .iterations = 1000, .stripes = 4000, .key_offset = 4096
	};
	for (uint8_t i = 0; i < 32; i++) {
		luks.slots[3].salt[i] = i;
		luks.master_salt[i] = (uint8_t)(i + 32);
	}
	return luks;
}

static struct q2s_crypt_place
put_luks(const struct q2s_luks *luks)
{
	uint8_t *const file = calloc(1, HEADER_AT + HEADER_BYTES);
	uint8_t *const material = file + HEADER_AT + 4096;
	struct q2s_crypt_place place = { .method = Q2S_CRYPT_LUKS,
					 .header = { { HEADER_AT }, HEADER_BYTES } };
	FILE *stream = fopen("luks", "w");

	assert_ok(q2s_luks_encode(luks, file + HEADER_AT, &diag));
	for (uint32_t i = 0; i < 64000; i++)
		material[i] = (uint8_t)((i * (uint64_t)i + i) >> 3);
	ck_assert_uint_eq(fwrite(file, HEADER_AT + HEADER_BYTES, 1, stream), 1);
	ck_assert_int_eq(fclose(stream), 0);
	free(file);
	assert_ok(q2s_store_open("luks", &place.file, &diag));
	return place;
}

static enum q2s_err
open_luks(const struct q2s_luks *luks, const char *key, struct q2s_crypt **out,
	  struct q2s_diag *refusal)
{
	const struct q2s_crypt_place place = put_luks(luks);
	enum q2s_err err;

	err = q2s_crypt_open(&place, key, strlen(key), out, refusal);
	q2s_store_unref(place.file);
	return err;
}

START_TEST(a_header_is_opened_by_its_passphrase)
{
	const struct q2s_luks luks = golden_luks();
	uint8_t plain[512], data[512];
	struct q2s_cipher *cipher;
	struct q2s_crypt *crypt;

	fill_plain(plain);
	memcpy(data, plain, sizeof(data));
	assert_ok(open_luks(&luks, PASSPHRASE, &crypt, &diag));
	assert_ok(q2s_cipher_open(crypt, &cipher, &diag));
	assert_ok(q2s_cipher_encrypt(cipher, (q2s_guest){ 0 }, (q2s_host){ 0x700 * 512 }, data, 512,
				     &diag));
	assert_hex(data, "77e3159fdf9db97684ae2770d9b16f26");
	assert_hex(data + 496, "a15424f5b4254b00709ae1fb20d337ab");
	assert_ok(q2s_cipher_decrypt(cipher, (q2s_guest){ 0x200 }, (q2s_host){ 0x700 * 512 }, data,
				     512, &diag));
	ck_assert_mem_eq(data, plain, 512);
	ck_assert_int_eq(q2s_cipher_decrypt(cipher, (q2s_guest){ 0 }, (q2s_host){ 1 }, data, 512,
					    NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_cipher_decrypt(cipher, (q2s_guest){ 0 }, (q2s_host){ 0 }, data, 100,
					    NULL), Q2S_E_USAGE);
	q2s_cipher_close(cipher);
	q2s_crypt_close(crypt);
}
END_TEST

START_TEST(a_wrong_passphrase_opens_nothing)
{
	static const char *const wrong[] = { "", "correct", "correct horse\n", "Correct horse" };
	const struct q2s_luks luks = golden_luks();

	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct q2s_diag refusal = { 0 };
		struct q2s_crypt *crypt;

		ck_assert_int_eq(open_luks(&luks, wrong[i], &crypt, &refusal), Q2S_E_KEY);
		ck_assert_uint_eq(refusal.at.v, HEADER_AT);
	}
}
END_TEST

/* The first slots cost nearly all that may be spent: only then is the last one refused. */
START_TEST(the_cost_of_all_slots_is_bounded)
{
	struct q2s_luks luks = golden_luks();
	struct q2s_diag refusal = { 0 };
	struct q2s_crypt *crypt;

	luks.slots[3].iterations = Q2S_LUKS_ITERATIONS_MAX - 1000 + 1;
	ck_assert_int_eq(open_luks(&luks, PASSPHRASE, &crypt, &refusal), Q2S_E_LIMIT);
	ck_assert_uint_eq(refusal.at.v, HEADER_AT + 208 + 3 * 48 + 4);
	ck_assert_uint_eq(refusal.value, Q2S_LUKS_ITERATIONS_MAX - 999);
	luks = golden_luks();
	luks.slots[5] = luks.slots[3];
	luks.slots[5].iterations = Q2S_LUKS_ITERATIONS_MAX - 3000 + 1;
	assert_ok(open_luks(&luks, PASSPHRASE, &crypt, &diag)); /* the fourth opens it before */
	q2s_crypt_close(crypt);
	refusal = (struct q2s_diag){ 0 };
	ck_assert_int_eq(open_luks(&luks, "wrong", &crypt, &refusal), Q2S_E_LIMIT);
	ck_assert_uint_eq(refusal.at.v, HEADER_AT + 208 + 5 * 48 + 4);
}
END_TEST

START_TEST(key_material_past_the_end_of_the_file_is_told)
{
	const struct q2s_luks luks = golden_luks();
	struct q2s_crypt_place place = put_luks(&luks);
	struct q2s_diag refusal = { 0 };
	struct q2s_crypt *crypt;

	q2s_store_unref(place.file);
	ck_assert_int_eq(truncate("luks", HEADER_AT + HEADER_BYTES - 1), 0);
	assert_ok(q2s_store_open("luks", &place.file, &diag));
	assert_refused(Q2S_E_TRUNCATED, HEADER_AT + 4096, 64000,
		       q2s_crypt_open(&place, "x", 1, &crypt, &diag));
	place.header.length = 591;
	ck_assert_int_eq(q2s_crypt_open(&place, "x", 1, &crypt, &refusal), Q2S_E_CRYPTO);
	ck_assert_uint_eq(refusal.value, 591);
	q2s_store_unref(place.file);
}
END_TEST

START_TEST(a_new_header_is_opened_by_its_passphrase_alone)
{
	static const struct q2s_luks_params params = { "serpent", "cbc-essiv:sha256", "sha1", 24, 0 };
	struct q2s_crypt_place place = { .method = Q2S_CRYPT_LUKS };
	struct q2s_diag refusal = { 0 };
	struct q2s_crypt *crypt, *again;
	struct q2s_cipher *there, *back;
	uint8_t *area, data[1024];
	size_t len;
	FILE *stream;

	assert_ok(q2s_luks_create(&params, PASSPHRASE, 13, &crypt, &area, &len, &diag));
	ck_assert_uint_eq(len, 4096 + 8 * 98304); /* 24 * 4000 bytes, rounded up to 4096 */
	stream = fopen("new", "w");
	ck_assert_uint_eq(fwrite(area, len, 1, stream), 1);
	ck_assert_int_eq(fclose(stream), 0);
	free(area);
	assert_ok(q2s_store_open("new", &place.file, &diag));
	place.header.length = len;
	ck_assert_int_eq(q2s_crypt_open(&place, PASSPHRASE, 12, &again, &refusal), Q2S_E_KEY);
	assert_ok(q2s_crypt_open(&place, PASSPHRASE, 13, &again, &diag));
	q2s_store_unref(place.file);
	assert_ok(q2s_cipher_open(crypt, &there, &diag));
	assert_ok(q2s_cipher_open(again, &back, &diag));
	memset(data, 0x77, sizeof(data));
	assert_ok(q2s_cipher_encrypt(there, (q2s_guest){ 0 }, (q2s_host){ 512 }, data, 1024, &diag));
	ck_assert_mem_ne(data, data + 512, 512);
	assert_ok(q2s_cipher_decrypt(back, (q2s_guest){ 0 }, (q2s_host){ 512 }, data, 1024, &diag));
	for (size_t i = 0; i < sizeof(data); i++)
		ck_assert_uint_eq(data[i], 0x77);
	q2s_cipher_close(there);
	q2s_cipher_close(back);
	q2s_crypt_close(crypt);
	q2s_crypt_close(again);
}
END_TEST

START_TEST(what_could_not_be_opened_again_is_not_made)
{
	struct q2s_luks_params params = { "aes", "xts-plain64", "sha256", 64, UINT32_MAX };
	struct q2s_crypt *crypt;
	uint8_t *area;
	size_t len;

	assert_refused(Q2S_E_LIMIT, NOWHERE, UINT32_MAX,
		       q2s_luks_create(&params, "x", 1, &crypt, &area, &len, &diag));
	params.iter_time = 0;
	params.hash = "rot13";
	ck_assert_int_eq(q2s_luks_create(&params, "x", 1, &crypt, &area, &len, NULL),
			 Q2S_E_UNSUPPORTED);
	params.cipher_mode = "cbc-a name that is longer than a header has room for";
	ck_assert_int_eq(q2s_luks_create(&params, "x", 1, &crypt, &area, &len, NULL),
			 Q2S_E_UNSUPPORTED);
}
END_TEST

/* ---- disks ------------------------------------------------------------------------------- */

/* One cluster of equal bytes, and one that is a hole in the file. */
START_TEST(a_disk_shows_what_was_encrypted)
{
	static const struct q2s_disk_qcow2_options options = {
		.size = sizeof(options),
		.key = (const uint8_t *)PASSPHRASE, .key_len = sizeof(PASSPHRASE) - 1
	};
	struct made made = made_v3(12, false, 4 * CLUSTER);
	uint8_t stored[CLUSTER], shown[2 * CLUSTER];
	uint8_t key[16] = PASSPHRASE;
	struct q2si_cipher_spec spec = q2si_cipher_legacy();
	struct q2si_sectors sectors;
	struct look look;

	memset(stored, 0x31, sizeof(stored));
	assert_ok(q2si_sectors_open(&spec, key, &sectors, &diag));
	assert_ok(q2si_sectors_encrypt(&sectors, 8, stored, sizeof(stored), &diag));
	q2si_sectors_close(&sectors);
	made.header.crypt_method = Q2S_CRYPT_AES;
	made_raw_entry(&made, CLUSTER,
		       made_clusters(&made, stored, sizeof(stored)).v | Q2S_ENTRY_COPIED, 0);
	made_raw_entry(&made, 2 * CLUSTER,
		       made_clusters(&made, NULL, CLUSTER).v | Q2S_ENTRY_COPIED, 0);
	made_done(&made, "image");
	assert_ok(disk_open("image", &options, &look.disk, &diag));
	assert_ok(q2s_cursor_open(look.disk, &look.cursor, &diag));
	assert_extent(&look, 0, CLUSTER, Q2S_ABSENT);
	assert_extent(&look, CLUSTER, 2 * CLUSTER, Q2S_DATA); /* a hole is no zeros */
	ck_assert_ptr_null(extent_at(&look, CLUSTER).file);
	assert_bytes(&look, 0, CLUSTER, 0);
	assert_bytes(&look, CLUSTER, CLUSTER, 0x31);
	for (unsigned at = 1; at < 1600; at += 511) { /* what begins and ends within sectors */
		assert_ok(q2s_cursor_read(look.cursor, (q2s_guest){ CLUSTER - 3 }, shown, at, &diag));
		for (unsigned i = 3; i < at; i++)
			ck_assert_uint_eq(shown[i], 0x31);
	}
	assert_ok(q2s_cursor_read(look.cursor, (q2s_guest){ 2 * CLUSTER }, shown, CLUSTER, &diag));
	ck_assert_uint_ne(shown[0] | shown[16] | shown[32], 0);
	look_end(&look);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		sectors_are_those_of_other_implementations,
		xts_is_that_of_ieee_1619,
		sectors_are_independent_and_turn_back,
		what_cannot_be_computed_is_refused,
		a_key_is_merged_from_its_stripes,
		the_last_stripe_makes_it_any_key,
		a_header_is_opened_by_its_passphrase,
		a_wrong_passphrase_opens_nothing,
		the_cost_of_all_slots_is_bounded,
		key_material_past_the_end_of_the_file_is_told,
		a_new_header_is_opened_by_its_passphrase_alone,
		what_could_not_be_opened_again_is_not_made,
		a_disk_shows_what_was_encrypted,
	};
	TCase *tcase = tcase_create("crypt");

	tcase_add_checked_fixture(tcase, setup, teardown);
	return unit_run_case("crypt", tcase, tests, COUNT(tests));
}

#else

#include "unit.h"

static struct q2s_diag diag;

START_TEST(a_build_without_libgcrypt_says_so)
{
	const struct q2s_crypt_place place = { .method = Q2S_CRYPT_AES };
	struct q2s_crypt *crypt;

	ck_assert_int_eq(q2s_crypt_open(&place, "x", 1, &crypt, &diag), Q2S_E_MISSING);
	ck_assert_ptr_nonnull(strstr(diag.text, "libgcrypt"));
}
END_TEST

UNIT_MAIN("crypt", a_build_without_libgcrypt_says_so)

#endif
