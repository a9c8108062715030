/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening one image: what it then says of itself, and which images are refused. */
#include <string.h>

#include <q2s/image.h>

#include "geoms.h"
#include "made.h"
#include "unit.h"

#define KIB 1024ull
#define MIB (KIB << 10)

/* Finish @made and open it; the caller closes. */
static enum q2s_err
open_made(struct made *made, unsigned flags, struct q2s_image **out, struct q2s_diag *diag)
{
	struct q2s_store *file = made_file(made);
	const enum q2s_err err = q2s_image_open(file, flags, out, diag);

	q2s_store_unref(file);
	return err;
}

/* The code with which an image is refused; its message in @text. */
static enum q2s_err
refusal(struct made *made, unsigned flags, char *text, size_t size)
{
	struct q2s_diag diag = { 0 };
	struct q2s_image *image;
	const enum q2s_err err = open_made(made, flags, &image, &diag);

	if (err == Q2S_OK) {
		q2s_image_close(image);
	} else {
		ck_assert_int_eq(diag.err, err);
		ck_assert_str_eq(diag.file, "made");
		q2s_diag_format(&diag, text, size);
	}
	return err;
}

static enum q2s_err
refused_as(struct made *made)
{
	char text[512];

	return refusal(made, 0, text, sizeof(text));
}

static bool
bytes_are(struct q2s_bytes bytes, const char *want)
{
	return bytes.len == strlen(want) && memcmp(bytes.data, want, bytes.len) == 0;
}

/* ---- what is right ----------------------------------------------------------------------- */

START_TEST(every_kind_of_image_opens)
{
	unsigned opened = 0;

	for (unsigned i = 0; i < GEOMS; i++) {
		const struct q2s_geom_params params = geom_params(i, MIB + 512);
		struct q2s_geom geom;
		struct q2s_image *image;
		struct made made;

		if (q2s_geom_init(&params, &geom, NULL) != Q2S_OK)
			continue;
		made = made_start(&params);
		made_finish(&made);
		assert_ok(open_made(&made, 0, &image, &diag));
		ck_assert_mem_eq(q2s_image_geom(image), &geom, sizeof(geom));
		ck_assert_uint_eq(q2s_image_header(image)->version, params.version);
		ck_assert_mem_eq(q2s_image_cluster0(image), "QFI\xfb", 4);
		ck_assert_uint_eq(q2s_image_cluster0(image)[geom.cluster_size - 1], 0);
		ck_assert_uint_eq(q2s_image_active_l1(image).at.v, made.header.l1_table_offset.v);
		ck_assert_uint_eq(q2s_image_active_l1(image).size, MIB + 512);
		ck_assert_ptr_null(q2s_image_backing_name(image).data);
		ck_assert_ptr_null(q2s_image_bitmaps(image));
		ck_assert_ptr_null(q2s_image_crypto(image));
		q2s_image_close(image);
		made_free(&made);
		opened++;
	}
	ck_assert_uint_eq(opened, GEOMS_LEGAL);
}
END_TEST

START_TEST(references_are_plain_bytes)
{
	const struct q2s_geom_params params = {
		.version = 3, .cluster_bits = 9, .refcount_order = 4, .data_file = true, .size = 512
	};
	struct made made = made_start(&params);
	struct q2s_image *image;

	made_extension(&made, Q2S_EXT_BACKING_FORMAT, "qcow2", 5);
	made_extension(&made, Q2S_EXT_DATA_FILE, "a\0b", 3);
	made_extension(&made, 0x12345678, "unknown to us", 13);
	made.backing = "../base.qcow2";
	made_finish(&made);
	assert_ok(open_made(&made, 0, &image, &diag));
	ck_assert(bytes_are(q2s_image_backing_name(image), "../base.qcow2"));
	ck_assert(bytes_are(q2s_image_backing_format(image), "qcow2"));
	ck_assert_uint_eq(q2s_image_data_file_name(image).len, 3);
	ck_assert_mem_eq(q2s_image_data_file_name(image).data, "a\0b", 3);
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

START_TEST(a_data_file_name_without_its_bit_means_nothing)
{
	struct made made = made_v3(9, false, 512);
	struct q2s_image *image;

	made_extension(&made, Q2S_EXT_DATA_FILE, "name", 4);
	made_finish(&made);
	assert_ok(open_made(&made, 0, &image, &diag));
	ck_assert_ptr_null(q2s_image_data_file_name(image).data);
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

START_TEST(a_backing_name_of_no_bytes_is_no_backing_file)
{
	struct made made = made_v3(9, false, 512);
	struct q2s_image *image;

	made.backing = "";
	made_finish(&made);
	assert_ok(open_made(&made, 0, &image, &diag));
	ck_assert_ptr_null(q2s_image_backing_name(image).data);
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

START_TEST(probing_looks_at_the_magic_alone)
{
	static const char *const starts[] = { "QFI\xfb", "QFI\xfa", "QF", "" };

	for (size_t i = 0; i < COUNT(starts); i++) {
		struct made made = made_v3(9, false, 512);
		struct q2s_store *file;

		made_resize(&made, 0);
		made.end = 0;
		made_bytes(&made, starts[i], strlen(starts[i]));
		file = made_file(&made);
		ck_assert_int_eq(q2s_image_probe(file), i == 0);
		q2s_store_unref(file);
		made_free(&made);
	}
}
END_TEST

/* ---- features ---------------------------------------------------------------------------- */

START_TEST(unknown_features_are_named_by_the_image)
{
	const struct q2s_feature_item items[] = {
		{ .kind = 1, .bit = 40, .name = "another word's bit" },
		{ .kind = 0, .bit = 40, .name = "warp\x1b[2Jdrive" },
		{ .kind = 0, .bit = 2, .name = "a known bit" },
		{ .kind = 0, .bit = 63, .name = "the last of the bits, as long as a name goes.." },
	};
	uint8_t table[COUNT(items) * Q2S_FEATURE_NAME_SIZE];
	struct made made = made_v3(16, false, 512);
	char text[512];

	for (size_t i = 0; i < COUNT(items); i++)
		q2s_feature_item_encode(&items[i], table + i * Q2S_FEATURE_NAME_SIZE);
	made_extension(&made, 0x11111111, "in front", 8);
	made_extension(&made, Q2S_EXT_FEATURE_NAMES, table, sizeof(table));
	made_finish(&made);
	ck_assert_int_eq(refused_as(&made), Q2S_OK);
	made_put64(&made, 72, 1ull << 63 | 1ull << 40 | 1ull << 5 | Q2S_INCOMPAT_DIRTY);
	ck_assert_int_eq(refusal(&made, 0, text, sizeof(text)), Q2S_E_UNSUPPORTED);
	ck_assert_str_eq(text, "incompatible_features at host offset 0x48: unknown feature: bit 5, "
			       "'warp?[2Jdrive' (bit 40), 'the last of the bits, as long as a name "
			       "goes..' (bit 63) (found 0x8000010000000020)");
	made_free(&made);
}
END_TEST

START_TEST(unknown_features_without_a_table_have_numbers)
{
	struct made made = made_v3(9, false, 512);
	char text[512];

	made_finish(&made);
	made_put64(&made, 72, UINT64_MAX & ~Q2S_INCOMPAT_KNOWN);
	ck_assert_int_eq(refusal(&made, 0, text, sizeof(text)), Q2S_E_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(text, "bit 5, bit 6, "));
	made_put32(&made, 100, 80); /* a header that is wrong in other ways too */
	ck_assert_int_eq(refusal(&made, 0, text, sizeof(text)), Q2S_E_UNSUPPORTED);
	made_put64(&made, 72, 0);
	ck_assert_int_eq(refusal(&made, 0, text, sizeof(text)), Q2S_E_HEADER);
	made_free(&made);
}
END_TEST

/* ---- extensions -------------------------------------------------------------------------- */

START_TEST(wrong_extensions_are_refused)
{
	static const struct {
		enum q2s_err err;
		uint32_t types[2];
		uint32_t len;
	} rows[] = {
		{ Q2S_OK, { Q2S_EXT_BACKING_FORMAT }, 15 },
		{ Q2S_E_EXTENSION, { Q2S_EXT_BACKING_FORMAT }, 16 },
		{ Q2S_E_EXTENSION, { Q2S_EXT_BACKING_FORMAT, Q2S_EXT_BACKING_FORMAT }, 3 },
		{ Q2S_E_EXTENSION, { Q2S_EXT_DATA_FILE, Q2S_EXT_DATA_FILE }, 3 },
		{ Q2S_OK, { 0x11111111, 0x11111111 }, 3 },
		{ Q2S_E_EXTENSION, { Q2S_EXT_CRYPTO }, 16 }, /* not a LUKS image */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct made made = made_v3(12, false, 512);

		for (size_t k = 0; k < 2 && rows[i].types[k]; k++)
			made_extension(&made, rows[i].types[k], "0123456789abcdef", rows[i].len);
		made_finish(&made);
		ck_assert_msg(refused_as(&made) == rows[i].err, "row %zu", i);
		made_free(&made);
	}
}
END_TEST

START_TEST(an_extension_stays_within_its_area)
{
	struct made made = made_v3(9, false, 512);

	made_extension(&made, 0x11111111, "0123456", 7);
	made.backing = "base";
	made_finish(&made);
	ck_assert_int_eq(refused_as(&made), Q2S_OK);
	made_put32(&made, 112 + 4, 17); /* into the backing name */
	ck_assert_int_eq(refused_as(&made), Q2S_E_EXTENSION);
	made_put32(&made, 112 + 4, UINT32_MAX);
	ck_assert_int_eq(refused_as(&made), Q2S_E_EXTENSION);
	made_free(&made);
}
END_TEST

START_TEST(luks_needs_its_header)
{
	uint8_t raw[Q2S_EXT_CRYPTO_SIZE];
	const struct q2s_ext_crypto crypto = { .offset = { 4096 * 5 }, .length = 4096 };
	struct q2s_image *image;
	struct made made = made_v3(12, false, 512);

	made.header.crypt_method = Q2S_CRYPT_LUKS;
	made_finish(&made);
	ck_assert_int_eq(refused_as(&made), Q2S_E_CRYPTO);
	q2s_ext_crypto_encode(&crypto, raw);
	made_extension(&made, Q2S_EXT_CRYPTO, raw, sizeof(raw));
	made_finish(&made);
	assert_ok(open_made(&made, 0, &image, &diag));
	ck_assert_uint_eq(q2s_image_crypto(image)->offset.v, 4096 * 5);
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

/* ---- damage ------------------------------------------------------------------------------ */

START_TEST(damage_that_hides_no_data_may_be_passed_over)
{
	static const struct {
		uint64_t at;
		uint32_t value;
	} rows[] = {
		{ 56, 0 },          /* refcount_table_clusters */
		{ 52, 0x1001 },     /* refcount_table_offset */
		{ 60, 65537 },      /* nb_snapshots */
		{ 68, 0x1001 },     /* snapshots_offset */
	};
	char text[512];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct made made = made_v3(12, false, 512);

		made_finish(&made);
		made_put32(&made, rows[i].at, rows[i].value);
		ck_assert_int_ne(refused_as(&made), Q2S_OK);
		ck_assert_int_eq(refusal(&made, Q2S_IMAGE_DAMAGED, text, sizeof(text)), Q2S_OK);
		made_free(&made);
	}
}
END_TEST

START_TEST(the_l1_table_is_in_the_file)
{
	struct made made = made_v3(12, false, 4 * MIB); /* 2 entries */
	const uint64_t l1 = made.header.l1_table_offset.v;
	char text[512];

	made_finish(&made);
	made_resize(&made, l1 + 1); /* the tail of the last cluster may be missing */
	ck_assert_int_eq(refused_as(&made), Q2S_OK);
	made_resize(&made, l1);
	ck_assert_int_eq(refusal(&made, Q2S_IMAGE_DAMAGED, text, sizeof(text)), Q2S_OK);
	ck_assert_int_eq(refusal(&made, 0, text, sizeof(text)), Q2S_E_TRUNCATED);
	ck_assert_str_eq(text, "L1 table at host offset 0x1000: the file ends at 0x1000 "
			       "(found 0x10)");
	made_resize(&made, 100);
	ck_assert_int_eq(refused_as(&made), Q2S_E_SHORT);
	made_free(&made);
}
END_TEST

UNIT_MAIN("image", every_kind_of_image_opens, references_are_plain_bytes,
	  a_data_file_name_without_its_bit_means_nothing,
	  a_backing_name_of_no_bytes_is_no_backing_file, probing_looks_at_the_magic_alone,
	  unknown_features_are_named_by_the_image, unknown_features_without_a_table_have_numbers,
	  wrong_extensions_are_refused, an_extension_stays_within_its_area,
	  luks_needs_its_header, damage_that_hides_no_data_may_be_passed_over,
	  the_l1_table_is_in_the_file)
