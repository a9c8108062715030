/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Persistent bitmaps: records of the directory, and entries of a bitmap's table. */
#include <q2s/format.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "format/check.h"
#include "format/fields.h"

#define RECORD "bitmap directory record"
#define TABLE_ENTRY "bitmap table entry"
#define FLAGS_KNOWN (Q2S_BITMAP_IN_USE | Q2S_BITMAP_AUTO | Q2S_BITMAP_EXTRA_COMPATIBLE)
#define TYPE_DIRTY_TRACKING 1

enum { Q2SI_BITMAP_FIELDS(Q2SI_FIELD_AT) AT_EXTRA = 24 };
_Static_assert(AT_EXTRA == Q2S_BITMAP_FIXED_SIZE, "extra data follow the fixed part");

static enum q2s_err
refuse(struct q2s_diag *diag, const char *field, q2s_host at, uint64_t offset, uint64_t value,
       const char *rule)
{
	return q2si_fail(diag, Q2S_E_BITMAP, field, q2si_field_at(at, offset), value, "%s", rule);
}

/* ---- rules --------------------------------------------------------------------------------- */

static enum q2s_err
check_fields(const struct q2s_bitmap *b, q2s_host at, struct q2s_diag *diag)
{
	if (b->flags & ~FLAGS_KNOWN)
		return refuse(diag, "bitmap flags", at, AT_FLAGS, b->flags, "reserved bit set");
	if (b->type != TYPE_DIRTY_TRACKING)
		return refuse(diag, "bitmap type", at, AT_TYPE, b->type, "not dirty tracking");
	if (b->granularity_bits < Q2S_BITMAP_GRANULARITY_BITS_MIN ||
	    b->granularity_bits > Q2S_BITMAP_GRANULARITY_BITS_MAX)
		return refuse(diag, "bitmap granularity_bits", at, AT_GRANULARITY_BITS,
			      b->granularity_bits, "not in 9..31");
	if (b->name_len == 0 || b->name_len > Q2S_BITMAP_NAME_MAX)
		return refuse(diag, "bitmap name_size", at, AT_NAME_LEN, b->name_len,
			      "not in 1..1023");
	if (b->extra_size && !(b->flags & Q2S_BITMAP_EXTRA_COMPATIBLE))
		return refuse(diag, "bitmap extra_data_size", at, AT_EXTRA_SIZE, b->extra_size,
			      "extra data that must be understood");
	return Q2S_OK;
}

/* Table entries that the bitmap of this disk needs: a bit for each granule. */
static uint64_t
table_needed(const struct q2s_geom *geom, const struct q2s_bitmap *b)
{
	const uint64_t bits = q2si_div_up(geom->size, 1ull << b->granularity_bits);

	return q2si_div_up(bits, 8ull << geom->cluster_bits);
}

/* A bitmap that is in use may be stale, also in its length; it is kept but never read. */
static enum q2s_err
check_table(const struct q2s_geom *geom, const struct q2s_bitmap *b, q2s_host at,
	    struct q2s_diag *diag)
{
	const uint64_t bytes = (uint64_t)b->table_entries * Q2S_BITMAP_TABLE_ENTRY_SIZE;
	const bool in_use = b->flags & Q2S_BITMAP_IN_USE;

	if (b->table_entries == 0 || b->table_entries > Q2S_BITMAP_TABLE_MAX_ENTRIES)
		return refuse(diag, "bitmap_table_size", at, AT_TABLE_ENTRIES, b->table_entries,
			      "not in 1..2^27");
	if ((uint64_t)b->table_entries << geom->cluster_bits > Q2S_BITMAP_MAX_BYTES)
		return refuse(diag, "bitmap_table_size", at, AT_TABLE_ENTRIES, b->table_entries,
			      "bitmap over 512 MiB");
	if (!in_use && b->table_entries != table_needed(geom, b))
		return refuse(diag, "bitmap_table_size", at, AT_TABLE_ENTRIES, b->table_entries,
			      "does not match disk size and granularity");
	if (b->table_offset.v == 0)
		return refuse(diag, "bitmap_table_offset", at, AT_TABLE_OFFSET, 0,
			      "the bitmap table would lie over the header");
	if (!q2si_is_aligned(b->table_offset.v, geom->cluster_size))
		return refuse(diag, "bitmap_table_offset", at, AT_TABLE_OFFSET, b->table_offset.v,
			      "table not cluster-aligned");
	if (b->table_offset.v > INT64_MAX - bytes)
		return refuse(diag, "bitmap_table_offset", at, AT_TABLE_OFFSET, b->table_offset.v,
			      "table ends beyond 2^63 - 1");
	return Q2S_OK;
}

/* ---- directory record ---------------------------------------------------------------------- */

static uint64_t
record_len(const uint8_t *buf)
{
	return (uint64_t)AT_EXTRA + q2si_get_be32(buf + AT_EXTRA_SIZE) +
	       q2si_get_be16(buf + AT_NAME_LEN);
}

static struct q2s_bitmap
parse(const uint8_t *buf)
{
	const uint32_t extra_size = q2si_get_be32(buf + AT_EXTRA_SIZE);

	return (struct q2s_bitmap){
		.table_offset = { q2si_get_be64(buf + AT_TABLE_OFFSET) },
		.table_entries = q2si_get_be32(buf + AT_TABLE_ENTRIES),
		.flags = q2si_get_be32(buf + AT_FLAGS),
		.type = buf[AT_TYPE],
		.granularity_bits = buf[AT_GRANULARITY_BITS],
		.name = buf + AT_EXTRA + extra_size,
		.name_len = q2si_get_be16(buf + AT_NAME_LEN),
		.extra_size = extra_size,
		.extra = buf + AT_EXTRA,
	};
}

enum q2s_err
q2s_bitmap_decode(const struct q2s_geom *geom, const uint8_t *buf, size_t len, q2s_host at,
		  struct q2s_bitmap *out, size_t *used, struct q2s_diag *diag)
{
	struct q2s_bitmap bitmap;
	uint64_t need;

	*used = AT_EXTRA;
	if (len < AT_EXTRA)
		return q2si_fail(diag, Q2S_E_SHORT, RECORD, at, len, "ends within 24 bytes");
	need = record_len(buf);
	if (need > Q2S_BITMAP_DIRECTORY_MAX_BYTES)
		return refuse(diag, "bitmap extra_data_size", at, AT_EXTRA_SIZE,
			      q2si_get_be32(buf + AT_EXTRA_SIZE), "larger than any directory");
	*used = need;
	if (len < need)
		return q2si_fail(diag, Q2S_E_SHORT, RECORD, at, len, "ends within its %zu bytes",
				 *used);
	*used = q2si_round_up(need, 8);
	bitmap = parse(buf);
	Q2SI_TRY(check_fields(&bitmap, at, diag));
	Q2SI_TRY(check_table(geom, &bitmap, at, diag));
	*out = bitmap;
	return Q2S_OK;
}

static void
put(const struct q2s_bitmap *b, uint8_t *buf)
{
	q2si_put_be64(buf + AT_TABLE_OFFSET, b->table_offset.v);
	q2si_put_be32(buf + AT_TABLE_ENTRIES, b->table_entries);
	q2si_put_be32(buf + AT_FLAGS, b->flags);
	buf[AT_TYPE] = b->type;
	buf[AT_GRANULARITY_BITS] = b->granularity_bits;
	q2si_put_be16(buf + AT_NAME_LEN, b->name_len);
	q2si_put_be32(buf + AT_EXTRA_SIZE, b->extra_size);
	if (b->extra_size)
		memcpy(buf + AT_EXTRA, b->extra, b->extra_size);
	memcpy(buf + AT_EXTRA + b->extra_size, b->name, b->name_len);
}

enum q2s_err
q2s_bitmap_encode(const struct q2s_geom *geom, const struct q2s_bitmap *in, uint8_t *buf,
		  size_t cap, size_t *used, struct q2s_diag *diag)
{
	const uint64_t len = (uint64_t)AT_EXTRA + in->extra_size + in->name_len;
	const uint64_t padded = q2si_round_up(len, 8);

	Q2SI_TRY(check_fields(in, Q2S_NOWHERE, diag));
	Q2SI_TRY(check_table(geom, in, Q2S_NOWHERE, diag));
	if (padded > cap || padded > Q2S_BITMAP_DIRECTORY_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, RECORD, Q2S_NOWHERE, padded,
				 "no room for the record");
	put(in, buf);
	memset(buf + len, 0, padded - len);
	*used = padded;
	return Q2S_OK;
}

/* ---- table entry --------------------------------------------------------------------------- */

#define ONES 1ull
#define TABLE_RESERVED (~(Q2S_ENTRY_HOST_MASK | ONES))

enum q2s_err
q2s_bitmap_table_decode(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
			struct q2s_bitmap_table_entry *out, struct q2s_diag *diag)
{
	const uint64_t entry = q2si_get_be64(raw);
	const q2s_host cluster = { entry & Q2S_ENTRY_HOST_MASK };

	if (entry & TABLE_RESERVED)
		return q2si_fail(diag, Q2S_E_RESERVED, TABLE_ENTRY, at, entry, "reserved bit set");
	Q2SI_TRY(q2si_check_cluster(geom, cluster, TABLE_ENTRY, at, entry, diag));
	if (cluster.v && entry & ONES)
		return refuse(diag, TABLE_ENTRY, at, 0, entry, "all ones and a cluster");
	*out = (struct q2s_bitmap_table_entry){ .cluster = cluster, .ones = entry & ONES };
	return Q2S_OK;
}

enum q2s_err
q2s_bitmap_table_encode(const struct q2s_geom *geom, const struct q2s_bitmap_table_entry *in,
			uint8_t *raw, struct q2s_diag *diag)
{
	const uint64_t cluster = in->cluster.v;

	Q2SI_TRY(q2si_check_cluster(geom, in->cluster, TABLE_ENTRY, Q2S_NOWHERE, cluster, diag));
	if (cluster && in->ones)
		return refuse(diag, TABLE_ENTRY, Q2S_NOWHERE, 0, cluster, "all ones and a cluster");
	q2si_put_be64(raw, cluster | (in->ones ? ONES : 0));
	return Q2S_OK;
}
