/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * L2 entries of both kinds. A standard entry is treated as an extended one with a single
 * subcluster: its zero flag is the zero bit, its host offset without the flag the alloc bit.
 */
#include "format/l2.h"

#include "base/bytes.h"
#include "base/diag.h"
#include "format/check.h"

#define ENTRY "L2 entry"
#define MAP "subcluster bitmap"

/* Extended entries keep their zero bits in the bitmap; in the descriptor the flag is reserved. */
#define L2X_RESERVED (~(Q2S_ENTRY_COPIED | Q2S_ENTRY_COMPRESSED | Q2S_ENTRY_HOST_MASK))
#define L2_RESERVED (L2X_RESERVED & ~Q2S_ENTRY_ZERO)

static struct q2si_l2_raw
load(const struct q2s_geom *geom, const uint8_t *bytes)
{
	return (struct q2si_l2_raw){
		.desc = q2si_get_be64(bytes),
		.map = geom->extended ? q2si_get_be64(bytes + 8) : 0,
	};
}

static void
store(const struct q2s_geom *geom, const struct q2si_l2_raw *raw, uint8_t *bytes)
{
	q2si_put_be64(bytes, raw->desc);
	if (geom->extended)
		q2si_put_be64(bytes + 8, raw->map);
}

/* ---- decode -------------------------------------------------------------------------------- */

/*
 * With a data file, offset 0 is a host cluster when COPIED says so, and none otherwise; nor is it
 * one with the zero flag, which QEMU looks at first. The fields are written once, at the end: this
 * is the inner loop of every walk over a whole image.
 */
static enum q2s_err
plain_decode(const struct q2s_geom *geom, const struct q2si_l2_raw *raw, q2s_host at, bool lenient,
	     struct q2s_l2_entry *out, struct q2s_diag *diag)
{
	const uint64_t reserved = geom->extended ? L2X_RESERVED : L2_RESERVED;
	const q2s_host host = { raw->desc & Q2S_ENTRY_HOST_MASK };
	const bool copied = raw->desc & Q2S_ENTRY_COPIED;
	const bool flag = raw->desc & Q2S_ENTRY_ZERO;
	const bool has_host = host.v || (geom->data_file && copied && (geom->extended || !flag));
	const uint32_t zero = geom->extended ? (uint32_t)(raw->map >> 32) : flag;
	const uint32_t alloc = geom->extended ? (uint32_t)raw->map : has_host && !flag;

	if (!lenient && raw->desc & reserved)
		return q2si_fail(diag, Q2S_E_RESERVED, ENTRY, at, raw->desc, "reserved bit set");
	Q2SI_TRY(q2si_check_cluster(geom, host, ENTRY, at, raw->desc, diag));
	if (zero && geom->version == 2)
		return q2si_fail(diag, Q2S_E_ZERO_FLAG, ENTRY, at, raw->desc,
				 "zero flag in a version 2 image");
	if (alloc & zero)
		return q2si_fail(diag, Q2S_E_SUBCLUSTER, MAP, q2si_field_at(at, 8), raw->map,
				 "subcluster both allocated and zero");
	if (alloc && !has_host)
		return q2si_fail(diag, Q2S_E_SUBCLUSTER, MAP, q2si_field_at(at, 8), raw->map,
				 "subcluster allocated without a host cluster");
	*out = (struct q2s_l2_entry){
		.copied = copied && has_host,
		.has_host = has_host,
		.host = host,
		.alloc = alloc,
		.zero = zero,
	};
	return Q2S_OK;
}

/* Bit 62 comes first: it decides what all other bits mean. */
static enum q2s_err
decode(const struct q2s_geom *geom, const uint8_t *bytes, q2s_host at, bool lenient,
       struct q2s_l2_entry *out, struct q2s_diag *diag)
{
	const struct q2si_l2_raw raw = load(geom, bytes);

	if (raw.desc & Q2S_ENTRY_COMPRESSED)
		return q2si_l2_compressed_decode(geom, &raw, at, lenient, out, diag);
	return plain_decode(geom, &raw, at, lenient, out, diag);
}

enum q2s_err
q2s_l2_decode(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
	      struct q2s_l2_entry *out, struct q2s_diag *diag)
{
	return decode(geom, raw, at, false, out, diag);
}

enum q2s_err
q2s_l2_decode_lenient(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
		      struct q2s_l2_entry *out, struct q2s_diag *diag)
{
	return decode(geom, raw, at, true, out, diag);
}

/* ---- encode -------------------------------------------------------------------------------- */

static enum q2s_err
check_host(const struct q2s_geom *geom, const struct q2s_l2_entry *in, struct q2s_diag *diag)
{
	const uint64_t host = in->host.v;

	if (!in->has_host && host)
		return q2si_fail(diag, Q2S_E_OFFSET, ENTRY, Q2S_NOWHERE, host,
				 "host offset without a host cluster");
	if (!in->has_host && in->copied)
		return q2si_fail_at(diag, Q2S_E_COPIED, ENTRY, Q2S_NOWHERE,
				    "COPIED without a host cluster");
	if (in->has_host && host == 0 && !(geom->data_file && in->copied))
		return q2si_fail(diag, Q2S_E_OFFSET, ENTRY, Q2S_NOWHERE, host,
				 "host offset 0 needs a data file and COPIED");
	return q2si_check_cluster(geom, in->host, ENTRY, Q2S_NOWHERE, host, diag);
}

static enum q2s_err
check_subclusters(const struct q2s_geom *geom, const struct q2s_l2_entry *in, struct q2s_diag *diag)
{
	const uint64_t map = (uint64_t)in->zero << 32 | in->alloc;

	if (in->zero && geom->version == 2)
		return q2si_fail(diag, Q2S_E_ZERO_FLAG, ENTRY, Q2S_NOWHERE, map,
				 "zero flag in a version 2 image");
	if (in->alloc & in->zero)
		return q2si_fail(diag, Q2S_E_SUBCLUSTER, MAP, Q2S_NOWHERE, map,
				 "subcluster both allocated and zero");
	if (in->alloc && !in->has_host)
		return q2si_fail(diag, Q2S_E_SUBCLUSTER, MAP, Q2S_NOWHERE, map,
				 "subcluster allocated without a host cluster");
	if ((in->alloc | in->zero) & ~geom->sub_mask)
		return q2si_fail(diag, Q2S_E_SUBCLUSTER, MAP, Q2S_NOWHERE, map,
				 "more subclusters than the image has");
	if (!geom->extended && in->has_host && map == 0)
		return q2si_fail(diag, Q2S_E_SUBCLUSTER, MAP, Q2S_NOWHERE, map,
				 "a standard entry cannot own a host cluster that nothing reads");
	return Q2S_OK;
}

static struct q2si_l2_raw
pack(const struct q2s_geom *geom, const struct q2s_l2_entry *in)
{
	const uint64_t copied = in->copied ? Q2S_ENTRY_COPIED : 0;

	if (geom->extended)
		return (struct q2si_l2_raw){
			.desc = in->host.v | copied,
			.map = (uint64_t)in->zero << 32 | in->alloc,
		};
	return (struct q2si_l2_raw){
		.desc = in->host.v | copied | (in->zero ? Q2S_ENTRY_ZERO : 0),
	};
}

enum q2s_err
q2s_l2_encode(const struct q2s_geom *geom, const struct q2s_l2_entry *in, uint8_t *raw,
	      struct q2s_diag *diag)
{
	struct q2si_l2_raw entry;

	if (in->compressed) {
		Q2SI_TRY(q2si_l2_compressed_encode(geom, in, &entry, diag));
	} else {
		Q2SI_TRY(check_host(geom, in, diag));
		Q2SI_TRY(check_subclusters(geom, in, diag));
		entry = pack(geom, in);
	}
	store(geom, &entry, raw);
	return Q2S_OK;
}

/* ---- runs ---------------------------------------------------------------------------------- */

/* The loops that fill whole tables: the compiler vectorises the byte swaps. */
static void
fill_standard(uint64_t desc, uint64_t step, uint32_t count, uint8_t *bytes)
{
	for (uint32_t i = 0; i < count; i++, desc += step)
		q2si_put_be64(bytes + (size_t)i * Q2S_L2_ENTRY_SIZE, desc);
}

static void
fill_extended(const struct q2si_l2_raw *raw, uint64_t step, uint32_t count, uint8_t *bytes)
{
	uint64_t desc = raw->desc;

	for (uint32_t i = 0; i < count; i++, desc += step) {
		q2si_put_be64(bytes + (size_t)i * Q2S_L2X_ENTRY_SIZE, desc);
		q2si_put_be64(bytes + (size_t)i * Q2S_L2X_ENTRY_SIZE + 8, raw->map);
	}
}

enum q2s_err
q2s_l2_encode_run(const struct q2s_geom *geom, const struct q2s_l2_entry *in, uint32_t count,
		  uint8_t *raw, struct q2s_diag *diag)
{
	const uint64_t step = in->has_host ? geom->cluster_size : 0;
	struct q2s_l2_entry last = *in;
	uint8_t scratch[Q2S_L2X_ENTRY_SIZE];
	struct q2si_l2_raw first;

	if (in->compressed)
		return q2si_fail_at(diag, Q2S_E_USAGE, ENTRY, Q2S_NOWHERE,
				    "compressed entries do not come in runs");
	if (count == 0)
		return Q2S_OK;
	/* The first and the last are legal, so all between them are. */
	last.host.v += (count - 1) * step;
	Q2SI_TRY(q2s_l2_encode(geom, &last, scratch, diag));
	Q2SI_TRY(q2s_l2_encode(geom, in, scratch, diag));
	first = load(geom, scratch);
	if (geom->extended)
		fill_extended(&first, step, count, raw);
	else
		fill_standard(first.desc, step, count, raw);
	return Q2S_OK;
}
