/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules of the fixed header, judged on decoded fields. One list stands between the bytes and
 * the world in both directions, so that nothing is written that would not be read.
 */
#include "format/header.h"

#include "base/arith.h"
#include "base/diag.h"
#include "format/check.h"

/* Refuse the field at byte @at of the file: every rule below is one call. */
static enum q2s_err
refuse(struct q2s_diag *diag, enum q2s_err err, const char *field, uint64_t at, uint64_t value,
       const char *rule)
{
	return q2si_fail(diag, err, field, (q2s_host){ at }, value, "%s", rule);
}

/* What decides how the rest is read: it comes first, and before any shift by cluster_bits. */
static enum q2s_err
check_frame(const struct q2s_header *h, struct q2s_diag *diag)
{
	const uint64_t unknown = h->incompatible_features & ~Q2S_INCOMPAT_KNOWN;

	if (h->version != 2 && h->version != 3)
		return refuse(diag, Q2S_E_UNSUPPORTED, "version", AT_VERSION, h->version,
			      "not 2 or 3");
	if (unknown)
		return refuse(diag, Q2S_E_UNSUPPORTED, "incompatible_features",
			      AT_INCOMPATIBLE_FEATURES, unknown, "unknown feature bits");
	if (h->cluster_bits < Q2S_CLUSTER_BITS_MIN || h->cluster_bits > Q2S_CLUSTER_BITS_MAX)
		return refuse(diag, Q2S_E_HEADER, "cluster_bits", AT_CLUSTER_BITS, h->cluster_bits,
			      "not in 9..21");
	if (h->refcount_order > Q2S_REFCOUNT_ORDER_MAX)
		return refuse(diag, Q2S_E_HEADER, "refcount_order", AT_REFCOUNT_ORDER,
			      h->refcount_order, "over 6");
	if (h->crypt_method > Q2S_CRYPT_LUKS)
		return refuse(diag, Q2S_E_UNSUPPORTED, "crypt_method", AT_CRYPT_METHOD,
			      h->crypt_method, "unknown encryption method");
	return Q2S_OK;
}

/* Version 2 has no fields behind byte 72: only the values that it implies can be stored. */
static enum q2s_err
check_v2(const struct q2s_header *h, struct q2s_diag *diag)
{
	const uint64_t features =
		h->incompatible_features | h->compatible_features | h->autoclear_features;

	if (features)
		return refuse(diag, Q2S_E_HEADER, "version", AT_VERSION, features,
			      "version 2 has no feature bits");
	if (h->refcount_order != Q2S_REFCOUNT_ORDER_DEFAULT)
		return refuse(diag, Q2S_E_HEADER, "refcount_order", AT_REFCOUNT_ORDER,
			      h->refcount_order, "version 2 has 16-bit refcounts only");
	if (h->header_length != Q2S_HEADER_V2_SIZE)
		return refuse(diag, Q2S_E_HEADER, "header_length", AT_HEADER_LENGTH,
			      h->header_length, "version 2 has 72 bytes");
	if (h->compression_type != Q2S_COMPRESSION_ZLIB)
		return refuse(diag, Q2S_E_HEADER, "compression_type", AT_COMPRESSION_TYPE,
			      h->compression_type, "version 2 has deflate only");
	return Q2S_OK;
}

static enum q2s_err
check_compression(const struct q2s_header *h, struct q2s_diag *diag)
{
	const bool flagged = h->incompatible_features & Q2S_INCOMPAT_COMPRESSION;

	if (h->compression_type > Q2S_COMPRESSION_ZSTD)
		return refuse(diag, Q2S_E_UNSUPPORTED, "compression_type", AT_COMPRESSION_TYPE,
			      h->compression_type, "unknown compression type");
	if (flagged && h->compression_type == Q2S_COMPRESSION_ZLIB)
		return refuse(diag, Q2S_E_HEADER, "compression_type", AT_COMPRESSION_TYPE,
			      h->compression_type, "deflate, or absent, though its bit is set");
	if (!flagged && h->compression_type != Q2S_COMPRESSION_ZLIB)
		return refuse(diag, Q2S_E_HEADER, "compression_type", AT_COMPRESSION_TYPE,
			      h->compression_type, "not deflate, though its bit is clear");
	/* A field behind the end of the header does not exist, so it cannot say zstd. */
	if (h->compression_type && h->header_length <= AT_COMPRESSION_TYPE)
		return refuse(diag, Q2S_E_HEADER, "header_length", AT_HEADER_LENGTH,
			      h->header_length, "too short for compression_type");
	return Q2S_OK;
}

static enum q2s_err
check_v3(const struct q2s_header *h, struct q2s_diag *diag)
{
	const uint64_t incompatible = h->incompatible_features;

	if (h->header_length < Q2S_HEADER_V3_MIN)
		return refuse(diag, Q2S_E_HEADER, "header_length", AT_HEADER_LENGTH,
			      h->header_length, "under 104");
	if (h->header_length > 1u << h->cluster_bits)
		return refuse(diag, Q2S_E_HEADER, "header_length", AT_HEADER_LENGTH,
			      h->header_length, "over one cluster");
	if (incompatible & Q2S_INCOMPAT_EXTENDED_L2 &&
	    h->cluster_bits < Q2S_CLUSTER_BITS_MIN_EXTENDED)
		return refuse(diag, Q2S_E_HEADER, "cluster_bits", AT_CLUSTER_BITS, h->cluster_bits,
			      "extended L2 needs clusters of 16 KiB or more");
	if (h->autoclear_features & Q2S_AUTOCLEAR_DATA_FILE_RAW &&
	    !(incompatible & Q2S_INCOMPAT_DATA_FILE))
		return refuse(diag, Q2S_E_HEADER, "autoclear_features", AT_AUTOCLEAR_FEATURES,
			      h->autoclear_features, "raw data file without a data file");
	return check_compression(h, diag);
}

/* The name lies in cluster 0 (a second read elsewhere would be an attacker's choice). */
static enum q2s_err
check_backing(const struct q2s_header *h, struct q2s_diag *diag)
{
	const uint64_t offset = h->backing_file_offset.v;
	const uint64_t cluster_size = 1u << h->cluster_bits;

	if (offset > cluster_size)
		return refuse(diag, Q2S_E_HEADER, "backing_file_offset", AT_BACKING_FILE_OFFSET,
			      offset, "outside cluster 0");
	if (offset && h->backing_file_size > Q2S_BACKING_NAME_MAX)
		return refuse(diag, Q2S_E_HEADER, "backing_file_size", AT_BACKING_FILE_SIZE,
			      h->backing_file_size, "name over 1023 bytes");
	if (offset && h->backing_file_size > cluster_size - offset)
		return refuse(diag, Q2S_E_HEADER, "backing_file_size", AT_BACKING_FILE_SIZE,
			      h->backing_file_size, "name leaves cluster 0");
	return Q2S_OK;
}

/* L1 entries that the virtual size needs; @size as stored, as QEMU counts. */
static uint64_t
l1_needed(const struct q2s_header *h)
{
	const bool extended = h->incompatible_features & Q2S_INCOMPAT_EXTENDED_L2;
	const uint32_t span_bits = 2 * h->cluster_bits - (extended ? 4 : 3);

	return q2si_div_up(h->size, 1ull << span_bits);
}

static enum q2s_err
check_mapping(const struct q2s_header *h, struct q2s_diag *diag)
{
	const uint64_t l1_max = Q2S_L1_MAX_BYTES / Q2S_L1_ENTRY_SIZE;
	const uint64_t l1_bytes = (uint64_t)h->l1_size * Q2S_L1_ENTRY_SIZE;

	if (h->size >= Q2S_SIZE_LIMIT)
		return refuse(diag, Q2S_E_LIMIT, "size", AT_SIZE, h->size, "2^63 bytes or more");
	if (l1_needed(h) > l1_max)
		return refuse(diag, Q2S_E_LIMIT, "size", AT_SIZE, h->size,
			      "needs an L1 table over 32 MiB at this cluster size");
	if (h->l1_size > l1_max)
		return refuse(diag, Q2S_E_LIMIT, "l1_size", AT_L1_SIZE, h->l1_size,
			      "L1 table over 32 MiB");
	if (h->l1_size < l1_needed(h))
		return refuse(diag, Q2S_E_HEADER, "l1_size", AT_L1_SIZE, h->l1_size,
			      "too small for the virtual size");
	if (h->l1_table_offset.v == 0 && h->l1_size && h->size)
		return refuse(diag, Q2S_E_OFFSET, "l1_table_offset", AT_L1_TABLE_OFFSET, 0,
			      "the L1 table would lie over the header");
	return q2si_check_table(1u << h->cluster_bits, h->l1_table_offset, l1_bytes,
				"l1_table_offset", (q2s_host){ AT_L1_TABLE_OFFSET }, diag);
}

enum q2s_err
q2si_header_check(const struct q2s_header *h, struct q2s_diag *diag)
{
	Q2SI_TRY(check_frame(h, diag));
	Q2SI_TRY(h->version == 2 ? check_v2(h, diag) : check_v3(h, diag));
	Q2SI_TRY(check_backing(h, diag));
	return check_mapping(h, diag);
}

static enum q2s_err
check_refcount_table(const struct q2s_header *h, struct q2s_diag *diag)
{
	const uint64_t bytes = (uint64_t)h->refcount_table_clusters << h->cluster_bits;

	if (bytes == 0)
		return refuse(diag, Q2S_E_REFCOUNT, "refcount_table_clusters",
			      AT_REFCOUNT_TABLE_CLUSTERS, 0, "no refcount table");
	if (bytes > Q2S_REFTABLE_MAX_BYTES)
		return refuse(diag, Q2S_E_LIMIT, "refcount_table_clusters",
			      AT_REFCOUNT_TABLE_CLUSTERS, h->refcount_table_clusters,
			      "refcount table over 8 MiB");
	if (h->refcount_table_offset.v == 0)
		return refuse(diag, Q2S_E_OFFSET, "refcount_table_offset", AT_REFCOUNT_TABLE_OFFSET,
			      0, "the refcount table would lie over the header");
	return q2si_check_table(1u << h->cluster_bits, h->refcount_table_offset, bytes,
				"refcount_table_offset", (q2s_host){ AT_REFCOUNT_TABLE_OFFSET },
				diag);
}

/* The offset must be aligned even when there is no snapshot: QEMU asks for it. */
static enum q2s_err
check_snapshot_table(const struct q2s_header *h, struct q2s_diag *diag)
{
	const uint64_t bytes = (uint64_t)h->nb_snapshots * Q2S_SNAPSHOT_FIXED_SIZE;

	if (h->nb_snapshots > Q2S_SNAPSHOTS_MAX)
		return refuse(diag, Q2S_E_LIMIT, "nb_snapshots", AT_NB_SNAPSHOTS, h->nb_snapshots,
			      "over 65536 snapshots");
	if (h->nb_snapshots && h->snapshots_offset.v == 0)
		return refuse(diag, Q2S_E_OFFSET, "snapshots_offset", AT_SNAPSHOTS_OFFSET, 0,
			      "the snapshot table would lie over the header");
	return q2si_check_table(1u << h->cluster_bits, h->snapshots_offset, bytes,
				"snapshots_offset", (q2s_host){ AT_SNAPSHOTS_OFFSET }, diag);
}

enum q2s_err
q2s_header_check_tables(const struct q2s_header *header, struct q2s_diag *diag)
{
	Q2SI_TRY(check_refcount_table(header, diag));
	return check_snapshot_table(header, diag);
}
