/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Header extensions: which there are, the walk over them, and the two that hold a pointer. */
#include "format/extension.h"

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "format/check.h"
#include "format/fields.h"

#define RECORD "header extension"

enum { Q2SI_EXTENSION_FIELDS(Q2SI_FIELD_AT) };
enum { Q2SI_EXT_BITMAPS_FIELDS(Q2SI_FIELD_AT) };
enum { Q2SI_EXT_CRYPTO_FIELDS(Q2SI_FIELD_AT) };

/* @once: a second one would let programs differ in which of the two they believe. Of one that is not
 * the format's own that is nothing to refuse an image for. */
static const struct {
	uint32_t type;
	bool once;
	const char *name;
} kinds[] = {
	{ Q2S_EXT_END, false, "end" },
	{ Q2S_EXT_BACKING_FORMAT, true, "backing format" },
	{ Q2S_EXT_FEATURE_NAMES, true, "feature name table" },
	{ Q2S_EXT_BITMAPS, true, "bitmaps" },
	{ Q2S_EXT_CRYPTO, true, "encryption header pointer" },
	{ Q2S_EXT_DATA_FILE, true, "external data file name" },
	{ Q2S_EXT_MARK, false, "mark of the layer (private to q2s)" },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t
kind_of(uint32_t type)
{
	size_t i = 0;

	while (i < KINDS && kinds[i].type != type)
		i++;
	return i;
}

const char *
q2s_ext_name(uint32_t type)
{
	const size_t kind = kind_of(type);

	return kind < KINDS ? kinds[kind].name : NULL;
}

bool
q2si_ext_is_repeated(uint32_t type, unsigned *seen)
{
	const size_t kind = kind_of(type);
	const unsigned bit = kind < KINDS && kinds[kind].once ? 1u << kind : 0;
	const bool repeated = *seen & bit;

	*seen |= bit;
	return repeated;
}

q2s_host
q2s_ext_area_end(const struct q2s_header *header)
{
	if (header->backing_file_offset.v)
		return header->backing_file_offset;
	return (q2s_host){ 1ull << header->cluster_bits };
}

/* The head of the record at @pos; bytes behind the end of a short file are zero. */
static struct q2s_ext
load_head(const uint8_t *buf, size_t len, uint64_t pos)
{
	uint8_t head[Q2S_EXT_HEAD_SIZE] = { 0 };

	if (pos < len)
		memcpy(head, buf + pos, q2si_min_size(len - pos, sizeof(head)));
	return (struct q2s_ext){
		.type = q2si_get_be32(head + AT_EXT_TYPE),
		.len = q2si_get_be32(head + AT_EXT_LENGTH),
		.at = { pos },
	};
}

/* Bound the record before anybody looks at its data. Its padding may cross the end, as in QEMU. */
static enum q2s_err
check_record(const struct q2s_ext *ext, size_t len, uint64_t end, struct q2s_diag *diag)
{
	const uint64_t data = ext->at.v + Q2S_EXT_HEAD_SIZE;

	if (data > end || ext->len > end - data)
		return q2si_fail(diag, Q2S_E_EXTENSION, RECORD, ext->at, ext->len,
				 "record crosses the end of the extension area");
	if (ext->len > 0 && (data > len || ext->len > len - data))
		return q2si_fail(diag, Q2S_E_EXTENSION, RECORD, ext->at, ext->len,
				 "record crosses the end of the file");
	return Q2S_OK;
}

enum q2s_err
q2s_ext_next(const uint8_t *buf, size_t len, q2s_host end, uint64_t *pos, struct q2s_ext *out,
	     struct q2s_diag *diag)
{
	struct q2s_ext ext;

	if (*pos >= end.v) {
		*out = (struct q2s_ext){ .type = Q2S_EXT_END, .at = { *pos } };
		return Q2S_OK;
	}
	ext = load_head(buf, len, *pos);
	Q2SI_TRY(check_record(&ext, len, end.v, diag));
	if (ext.len > 0)
		ext.data = buf + *pos + Q2S_EXT_HEAD_SIZE;
	*pos += Q2S_EXT_HEAD_SIZE + q2si_round_up(ext.len, 8);
	*out = ext;
	return Q2S_OK;
}

enum q2s_err
q2s_ext_encode(uint32_t type, const void *data, uint32_t len, uint8_t *buf, size_t cap,
	       uint64_t *pos, struct q2s_diag *diag)
{
	const uint64_t padded = q2si_round_up(len, 8);
	uint8_t *at;

	if (*pos > cap || Q2S_EXT_HEAD_SIZE + padded > cap - *pos)
		return q2si_fail(diag, Q2S_E_LIMIT, RECORD, (q2s_host){ *pos }, len,
				 "no room for the record");
	at = buf + *pos;
	q2si_put_be32(at + AT_EXT_TYPE, type);
	q2si_put_be32(at + AT_EXT_LENGTH, len);
	memset(at + Q2S_EXT_HEAD_SIZE, 0, padded);
	if (len > 0)
		memcpy(at + Q2S_EXT_HEAD_SIZE, data, len);
	*pos += Q2S_EXT_HEAD_SIZE + padded;
	return Q2S_OK;
}

/* Place of byte @offset of the record's data. */
static q2s_host
in_data(const struct q2s_ext *ext, uint64_t offset)
{
	return q2si_field_at(ext->at, Q2S_EXT_HEAD_SIZE + offset);
}

/* The smallest directory record: the fixed part and a name of one byte, padded to 8. */
#define BITMAP_RECORD_MIN (Q2S_BITMAP_FIXED_SIZE + 8u)

static enum q2s_err
check_bitmaps(const struct q2s_geom *geom, const struct q2s_ext *ext,
	      const struct q2s_ext_bitmaps *b, struct q2s_diag *diag)
{
	const uint64_t smallest = (uint64_t)b->count * BITMAP_RECORD_MIN;

	if (b->count == 0 || b->count > Q2S_BITMAPS_MAX)
		return q2si_fail(diag, Q2S_E_BITMAP, "nb_bitmaps", in_data(ext, AT_BITMAPS_COUNT), b->count,
				 "not in 1..65535");
	if (b->directory_size > Q2S_BITMAP_DIRECTORY_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_BITMAP, "bitmap_directory_size", in_data(ext, AT_BITMAPS_SIZE),
				 b->directory_size, "over 1024 * 65535 bytes");
	if (b->directory_size < smallest)
		return q2si_fail(diag, Q2S_E_BITMAP, "bitmap_directory_size", in_data(ext, AT_BITMAPS_SIZE),
				 b->directory_size, "too small for its bitmaps");
	if (b->directory_offset.v == 0)
		return q2si_fail(diag, Q2S_E_OFFSET, "bitmap_directory_offset", in_data(ext, AT_BITMAPS_OFFSET), 0,
				 "the bitmap directory would lie over the header");
	return q2si_check_table(geom->cluster_size, b->directory_offset, b->directory_size,
				"bitmap_directory_offset", in_data(ext, AT_BITMAPS_OFFSET), diag);
}

enum q2s_err
q2s_ext_bitmaps_decode(const struct q2s_geom *geom, const struct q2s_ext *ext,
		       struct q2s_ext_bitmaps *out, struct q2s_diag *diag)
{
	struct q2s_ext_bitmaps bitmaps;
	uint32_t reserved;

	if (ext->len != Q2S_EXT_BITMAPS_SIZE)
		return q2si_fail(diag, Q2S_E_BITMAP, "bitmaps extension", ext->at, ext->len,
				 "not 24 bytes");
	reserved = q2si_get_be32(ext->data + AT_BITMAPS_RESERVED);
	if (reserved)
		return q2si_fail(diag, Q2S_E_BITMAP, "bitmaps extension", in_data(ext, AT_BITMAPS_RESERVED), reserved,
				 "reserved field not zero");
	bitmaps = (struct q2s_ext_bitmaps){
		.count = q2si_get_be32(ext->data + AT_BITMAPS_COUNT),
		.directory_size = q2si_get_be64(ext->data + AT_BITMAPS_SIZE),
		.directory_offset = { q2si_get_be64(ext->data + AT_BITMAPS_OFFSET) },
	};
	Q2SI_TRY(check_bitmaps(geom, ext, &bitmaps, diag));
	*out = bitmaps;
	return Q2S_OK;
}

void
q2s_ext_bitmaps_encode(const struct q2s_ext_bitmaps *in, uint8_t *raw)
{
	q2si_put_be32(raw + AT_BITMAPS_COUNT, in->count);
	q2si_put_be32(raw + AT_BITMAPS_RESERVED, 0);
	q2si_put_be64(raw + AT_BITMAPS_SIZE, in->directory_size);
	q2si_put_be64(raw + AT_BITMAPS_OFFSET, in->directory_offset.v);
}

enum q2s_err
q2s_ext_crypto_decode(const struct q2s_geom *geom, const struct q2s_ext *ext,
		      struct q2s_ext_crypto *out, struct q2s_diag *diag)
{
	struct q2s_ext_crypto crypto;

	if (ext->len != Q2S_EXT_CRYPTO_SIZE)
		return q2si_fail(diag, Q2S_E_CRYPTO, "encryption extension", ext->at, ext->len,
				 "not 16 bytes");
	crypto.offset.v = q2si_get_be64(ext->data + AT_CRYPTO_OFFSET);
	crypto.length = q2si_get_be64(ext->data + AT_CRYPTO_LENGTH);
	if (crypto.length == 0 || crypto.length > INT64_MAX)
		return q2si_fail(diag, Q2S_E_CRYPTO, "encryption header length", in_data(ext, AT_CRYPTO_LENGTH),
				 crypto.length, "not in 1..2^63 - 1");
	if (crypto.offset.v == 0)
		return q2si_fail(diag, Q2S_E_OFFSET, "encryption header offset", in_data(ext, AT_CRYPTO_OFFSET), 0,
				 "the encryption header would lie over the header");
	Q2SI_TRY(q2si_check_table(geom->cluster_size, crypto.offset, crypto.length,
				  "encryption header offset", in_data(ext, AT_CRYPTO_OFFSET), diag));
	*out = crypto;
	return Q2S_OK;
}

void
q2s_ext_crypto_encode(const struct q2s_ext_crypto *in, uint8_t *raw)
{
	q2si_put_be64(raw + AT_CRYPTO_OFFSET, in->offset.v);
	q2si_put_be64(raw + AT_CRYPTO_LENGTH, in->length);
}
