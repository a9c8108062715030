/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as the start of a file: header, extensions, feature names. */
#include <q2s/format.h>

#include "fuzz.h"
#include "invariant.h"

/* What was decoded can be written, and reads the same again. */
static void
check_round(const struct q2s_header *header)
{
	static uint8_t raw[1u << Q2S_CLUSTER_BITS_MAX], raw_again[sizeof(raw)];
	struct q2s_header again;
	struct q2s_diag diag = { 0 };
	const enum q2s_err err = q2s_header_encode(header, raw, sizeof(raw), &diag);

	if (header->header_length % 8 != 0) {
		INVARIANT(err == Q2S_E_HEADER);
		return;
	}
	INVARIANT(err == Q2S_OK);
	INVARIANT(q2s_header_decode(raw, header->header_length, &again, &diag) == Q2S_OK);
	INVARIANT(q2s_header_encode(&again, raw_again, sizeof(raw_again), &diag) == Q2S_OK);
	INVARIANT(memcmp(raw, raw_again, header->header_length) == 0);
}

static void
check_record(const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	struct q2s_feature_item item, again;
	uint8_t raw[Q2S_FEATURE_NAME_SIZE];
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_ext_crypto crypto;
	struct q2s_mark mark;

	if (ext->type == Q2S_EXT_BITMAPS &&
	    q2s_ext_bitmaps_decode(geom, ext, &bitmaps, NULL) == Q2S_OK) {
		q2s_ext_bitmaps_encode(&bitmaps, raw);
		INVARIANT(memcmp(raw, ext->data, Q2S_EXT_BITMAPS_SIZE) == 0);
	}
	if (ext->type == Q2S_EXT_CRYPTO &&
	    q2s_ext_crypto_decode(geom, ext, &crypto, NULL) == Q2S_OK) {
		q2s_ext_crypto_encode(&crypto, raw);
		INVARIANT(memcmp(raw, ext->data, Q2S_EXT_CRYPTO_SIZE) == 0);
	}
	if (ext->type == Q2S_EXT_MARK && q2s_ext_mark_decode(ext, &mark, NULL) == Q2S_OK) {
		INVARIANT(!q2s_id_is_none(&mark.id));
		q2s_ext_mark_encode(&mark, raw);
		INVARIANT(memcmp(raw, ext->data, Q2S_EXT_MARK_SIZE) == 0);
	}
	for (uint32_t i = 0; i <= ext->len / Q2S_FEATURE_NAME_SIZE; i++) {
		const struct q2s_ext one = { .len = Q2S_FEATURE_NAME_SIZE, .data = raw };

		if (q2s_feature_item_decode(ext, i, &item, NULL) != Q2S_OK)
			continue;
		INVARIANT(item.kind <= 2 && item.bit < 64);
		q2s_feature_item_encode(&item, raw);
		INVARIANT(q2s_feature_item_decode(&one, 0, &again, NULL) == Q2S_OK);
		INVARIANT(strcmp(item.name, again.name) == 0);
	}
}

static void
check_extensions(const struct q2s_header *header, const uint8_t *data, size_t size)
{
	const q2s_host end = q2s_ext_area_end(header);
	uint64_t pos = header->header_length;
	struct q2s_geom geom;
	struct q2s_ext ext;

	INVARIANT(q2s_header_geom(header, &geom, NULL) == Q2S_OK);
	do {
		const uint64_t start = pos;
		struct q2s_diag diag = { 0 };
		const enum q2s_err err = q2s_ext_next(data, size, end, &pos, &ext, &diag);

		judge(err, &diag);
		if (err != Q2S_OK)
			return;
		INVARIANT(ext.type == Q2S_EXT_END || pos >= start + Q2S_EXT_HEAD_SIZE);
		INVARIANT(ext.len == 0 || (ext.data >= data && ext.len <= size &&
					   (size_t)(ext.data - data) <= size - ext.len));
		check_record(&geom, &ext);
	} while (ext.type != Q2S_EXT_END);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct q2s_feature_item item;
	struct q2s_header header;
	struct q2s_diag diag = { 0 };
	enum q2s_err err;

	for (unsigned bit = 5; bit < 64; bit += 29)
		q2s_feature_find(data, size, 0, bit, &item);
	err = q2s_header_decode(data, size, &header, &diag);
	judge(err, &diag);
	if (err != Q2S_OK)
		return 0;
	check_round(&header);
	err = q2s_header_check_tables(&header, &diag);
	judge(err, &diag);
	check_extensions(&header, data, size);
	return 0;
}

/* Each version, each kind of record. */
size_t
fuzz_seed(unsigned int index, uint8_t *data, size_t capacity)
{
	static const struct q2s_header headers[] = {
		{ .version = 2, .cluster_bits = 9, .size = 1 << 20, .l1_size = 32,
		  .l1_table_offset = { 1536 }, .refcount_table_offset = { 512 },
		  .refcount_table_clusters = 1, .refcount_order = 4, .header_length = 72 },
		{ .version = 3, .cluster_bits = 12, .size = 1 << 20, .l1_size = 1,
		  .l1_table_offset = { 0x3000 }, .refcount_table_offset = { 0x1000 },
		  .refcount_table_clusters = 1, .refcount_order = 6, .header_length = 104,
		  .backing_file_offset = { 1000 }, .backing_file_size = 9 },
		{ .version = 3, .cluster_bits = 14, .size = 1 << 20, .l1_size = 1,
		  .l1_table_offset = { 0xc000 }, .refcount_table_offset = { 0x4000 },
		  .refcount_table_clusters = 1, .refcount_order = 0, .header_length = 112,
		  .incompatible_features = 0x18, .compression_type = 1, .crypt_method = 2 },
	};
	const struct q2s_ext_bitmaps bitmaps = { 1, 32, { 1 << 16 } };
	const struct q2s_ext_crypto crypto = { { 1 << 16 }, 2068480 };
	const struct q2s_feature_item item = { 0, 5, "five" };
	uint8_t raw[Q2S_FEATURE_NAME_SIZE];
	uint64_t pos;

	if (index >= sizeof(headers) / sizeof(headers[0]))
		return 0;
	capacity = capacity < 1024 ? capacity : 1024;
	memset(data, 0, capacity);
	INVARIANT(q2s_header_encode(&headers[index], data, capacity, NULL) == Q2S_OK);
	pos = headers[index].header_length;
	INVARIANT(q2s_ext_encode(Q2S_EXT_BACKING_FORMAT, "raw", 3, data, capacity, &pos, NULL) ==
		  Q2S_OK);
	q2s_ext_bitmaps_encode(&bitmaps, raw);
	INVARIANT(q2s_ext_encode(Q2S_EXT_BITMAPS, raw, 24, data, capacity, &pos, NULL) == Q2S_OK);
	q2s_ext_crypto_encode(&crypto, raw);
	INVARIANT(q2s_ext_encode(Q2S_EXT_CRYPTO, raw, 16, data, capacity, &pos, NULL) == Q2S_OK);
	q2s_feature_item_encode(&item, raw);
	INVARIANT(q2s_ext_encode(Q2S_EXT_FEATURE_NAMES, raw, 48, data, capacity, &pos, NULL) ==
		  Q2S_OK);
	INVARIANT(q2s_ext_encode(Q2S_EXT_END, NULL, 0, data, capacity, &pos, NULL) == Q2S_OK);
	return (size_t)pos;
}
