/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fixed header: fields to bytes and back. Its rules are in header_check.c. */
#include "format/header.h"

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"

static void
parse_v3(const uint8_t *raw, struct q2s_header *h)
{
	h->incompatible_features = q2si_get_be64(raw + AT_INCOMPATIBLE_FEATURES);
	h->compatible_features = q2si_get_be64(raw + AT_COMPATIBLE_FEATURES);
	h->autoclear_features = q2si_get_be64(raw + AT_AUTOCLEAR_FEATURES);
	h->refcount_order = q2si_get_be32(raw + AT_REFCOUNT_ORDER);
	h->header_length = q2si_get_be32(raw + AT_HEADER_LENGTH);
	h->compression_type = h->header_length > AT_COMPRESSION_TYPE ? raw[AT_COMPRESSION_TYPE] : 0;
}

void
q2s_header_as_stored(const uint8_t *raw, struct q2s_header *h)
{
	*h = (struct q2s_header){
		.version = q2si_get_be32(raw + AT_VERSION),
		.backing_file_offset = { q2si_get_be64(raw + AT_BACKING_FILE_OFFSET) },
		.backing_file_size = q2si_get_be32(raw + AT_BACKING_FILE_SIZE),
		.cluster_bits = q2si_get_be32(raw + AT_CLUSTER_BITS),
		.size = q2si_get_be64(raw + AT_SIZE),
		.crypt_method = q2si_get_be32(raw + AT_CRYPT_METHOD),
		.l1_size = q2si_get_be32(raw + AT_L1_SIZE),
		.l1_table_offset = { q2si_get_be64(raw + AT_L1_TABLE_OFFSET) },
		.refcount_table_offset = { q2si_get_be64(raw + AT_REFCOUNT_TABLE_OFFSET) },
		.refcount_table_clusters = q2si_get_be32(raw + AT_REFCOUNT_TABLE_CLUSTERS),
		.nb_snapshots = q2si_get_be32(raw + AT_NB_SNAPSHOTS),
		.snapshots_offset = { q2si_get_be64(raw + AT_SNAPSHOTS_OFFSET) },
		.refcount_order = Q2S_REFCOUNT_ORDER_DEFAULT,
		.header_length = Q2S_HEADER_V2_SIZE,
	};
	if (h->version >= 3)
		parse_v3(raw, h);
}

static enum q2s_err
check_length(const uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	static const uint8_t magic[] = { 'Q', 'F', 'I', 0xfb };
	const q2s_host start = { 0 };

	if (memcmp(buf, magic, q2si_min_size(len, sizeof(magic))) != 0)
		return q2si_fail_at(diag, Q2S_E_MAGIC, "magic", start, "not a qcow2 file");
	if (len < Q2S_HEADER_V2_SIZE)
		return q2si_fail(diag, Q2S_E_SHORT, "header", start, len,
				 "file ends within the 72 bytes of version 2");
	if (len < Q2S_HEADER_V3_MIN && q2si_get_be32(buf + AT_VERSION) == 3)
		return q2si_fail(diag, Q2S_E_SHORT, "header", start, len,
				 "file ends within the 104 bytes of version 3");
	return Q2S_OK;
}

enum q2s_err
q2s_header_decode(const uint8_t *buf, size_t len, struct q2s_header *out, struct q2s_diag *diag)
{
	uint8_t raw[Q2S_HEADER_V3_SIZE] = { 0 }; /* bytes behind a short file's end are zero */
	struct q2s_header header;

	Q2SI_TRY(check_length(buf, len, diag));
	memcpy(raw, buf, q2si_min_size(len, sizeof(raw)));
	q2s_header_as_stored(raw, &header);
	Q2SI_TRY(q2si_header_check(&header, diag));
	*out = header;
	return Q2S_OK;
}

static void
put_v3(const struct q2s_header *h, uint8_t *raw)
{
	q2si_put_be64(raw + AT_INCOMPATIBLE_FEATURES, h->incompatible_features);
	q2si_put_be64(raw + AT_COMPATIBLE_FEATURES, h->compatible_features);
	q2si_put_be64(raw + AT_AUTOCLEAR_FEATURES, h->autoclear_features);
	q2si_put_be32(raw + AT_REFCOUNT_ORDER, h->refcount_order);
	q2si_put_be32(raw + AT_HEADER_LENGTH, h->header_length);
	if (h->header_length > AT_COMPRESSION_TYPE)
		raw[AT_COMPRESSION_TYPE] = h->compression_type;
}

static void
put(const struct q2s_header *h, uint8_t *raw)
{
	memset(raw, 0, h->header_length);
	q2si_put_be32(raw + AT_MAGIC, Q2S_MAGIC);
	q2si_put_be32(raw + AT_VERSION, h->version);
	q2si_put_be64(raw + AT_BACKING_FILE_OFFSET, h->backing_file_offset.v);
	q2si_put_be32(raw + AT_BACKING_FILE_SIZE, h->backing_file_size);
	q2si_put_be32(raw + AT_CLUSTER_BITS, h->cluster_bits);
	q2si_put_be64(raw + AT_SIZE, h->size);
	q2si_put_be32(raw + AT_CRYPT_METHOD, h->crypt_method);
	q2si_put_be32(raw + AT_L1_SIZE, h->l1_size);
	q2si_put_be64(raw + AT_L1_TABLE_OFFSET, h->l1_table_offset.v);
	q2si_put_be64(raw + AT_REFCOUNT_TABLE_OFFSET, h->refcount_table_offset.v);
	q2si_put_be32(raw + AT_REFCOUNT_TABLE_CLUSTERS, h->refcount_table_clusters);
	q2si_put_be32(raw + AT_NB_SNAPSHOTS, h->nb_snapshots);
	q2si_put_be64(raw + AT_SNAPSHOTS_OFFSET, h->snapshots_offset.v);
	if (h->version == 3)
		put_v3(h, raw);
}

enum q2s_err
q2s_header_encode(const struct q2s_header *header, uint8_t *buf, size_t cap, struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_header_check(header, diag));
	if (!q2si_is_aligned(header->header_length, 8))
		return q2si_fail(diag, Q2S_E_HEADER, "header_length",
				 (q2s_host){ AT_HEADER_LENGTH }, header->header_length,
				 "not a multiple of 8");
	if (cap < header->header_length)
		return q2si_fail(diag, Q2S_E_USAGE, "header", Q2S_NOWHERE, cap, "buffer too small");
	put(header, buf);
	return Q2S_OK;
}

enum q2s_err
q2s_header_geom(const struct q2s_header *header, struct q2s_geom *out, struct q2s_diag *diag)
{
	const struct q2s_geom_params params = {
		.version = header->version,
		.cluster_bits = header->cluster_bits,
		.refcount_order = header->refcount_order,
		.extended = header->incompatible_features & Q2S_INCOMPAT_EXTENDED_L2,
		.data_file = header->incompatible_features & Q2S_INCOMPAT_DATA_FILE,
		.size = q2si_round_down(header->size, Q2S_SECTOR),
	};

	return q2s_geom_init(&params, out, diag);
}
