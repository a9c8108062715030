/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of the snapshot table: a fixed part, extra data, id, name, padding to 8 bytes. */
#include <q2s/format.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "format/check.h"
#include "format/fields.h"

#define RECORD "snapshot record"
#define EXTRA_WRITTEN 24u   /* as QEMU: 64-bit VM state size, disk size, icount */
#define EXTRA_VERSION_3 16u /* at least: up to the disk size */
#define NO_ICOUNT UINT64_MAX

enum { Q2SI_SNAPSHOT_FIELDS(Q2SI_FIELD_AT) AT_EXTRA = AT_VM_STATE_SIZE_64 };
_Static_assert(AT_EXTRA == Q2S_SNAPSHOT_FIXED_SIZE, "extra data follow the fixed part");

/* Rules on the L1 table, for both directions; the record lies at @at. */
static enum q2s_err
check_l1(const struct q2s_geom *geom, const struct q2s_snapshot *s, q2s_host at,
	 struct q2s_diag *diag)
{
	const uint64_t l1_bytes = (uint64_t)s->l1_entries * Q2S_L1_ENTRY_SIZE;

	if (l1_bytes > Q2S_L1_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "snapshot l1_size",
				 q2si_field_at(at, AT_L1_ENTRIES), s->l1_entries,
				 "L1 table over 32 MiB");
	if (s->l1_entries && s->l1_offset.v == 0)
		return q2si_fail(diag, Q2S_E_OFFSET, "snapshot l1_table_offset",
				 q2si_field_at(at, AT_L1_OFFSET), 0,
				 "the L1 table would lie over the header");
	return q2si_check_table(geom->cluster_size, s->l1_offset, l1_bytes,
				"snapshot l1_table_offset", q2si_field_at(at, AT_L1_OFFSET), diag);
}

static enum q2s_err
check_disk_size(const struct q2s_snapshot *s, q2s_host at, struct q2s_diag *diag)
{
	if (!s->has_disk_size || s->disk_size < Q2S_SIZE_LIMIT)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_LIMIT, "snapshot disk size", q2si_field_at(at, AT_DISK_SIZE),
			 s->disk_size, "2^63 bytes or more");
}

/* ---- decode -------------------------------------------------------------------------------- */

static enum q2s_err
check_extra(uint32_t extra, uint32_t at_least, q2s_host at, struct q2s_diag *diag)
{
	if (extra > Q2S_SNAPSHOT_EXTRA_MAX)
		return q2si_fail(diag, Q2S_E_SNAPSHOT, RECORD, q2si_field_at(at, AT_EXTRA_SIZE),
				 extra, "extra data over 1024 bytes");
	if (extra < at_least)
		return q2si_fail(diag, Q2S_E_SNAPSHOT, RECORD, q2si_field_at(at, AT_EXTRA_SIZE),
				 extra, "extra data under 16 bytes in version 3");
	return Q2S_OK;
}

static void
parse_extra(struct q2s_snapshot *s, const uint8_t *buf)
{
	if (s->extra_size >= AT_DISK_SIZE - AT_EXTRA)
		s->vm_state_size = q2si_get_be64(buf + AT_VM_STATE_SIZE_64);
	s->has_disk_size = s->extra_size >= AT_ICOUNT - AT_EXTRA;
	if (s->has_disk_size)
		s->disk_size = q2si_get_be64(buf + AT_DISK_SIZE);
	if (s->extra_size >= EXTRA_WRITTEN && q2si_get_be64(buf + AT_ICOUNT) != NO_ICOUNT) {
		s->has_icount = true;
		s->icount = q2si_get_be64(buf + AT_ICOUNT);
	}
}

/* All but what lies in the extra data; the caller knows that the record is whole. */
static struct q2s_snapshot
parse(const uint8_t *buf)
{
	struct q2s_snapshot s = {
		.l1_offset = { q2si_get_be64(buf + AT_L1_OFFSET) },
		.l1_entries = q2si_get_be32(buf + AT_L1_ENTRIES),
		.id_len = q2si_get_be16(buf + AT_ID_LEN),
		.name_len = q2si_get_be16(buf + AT_NAME_LEN),
		.date_sec = q2si_get_be32(buf + AT_DATE_SEC),
		.date_nsec = q2si_get_be32(buf + AT_DATE_NSEC),
		.vm_clock_nsec = q2si_get_be64(buf + AT_VM_CLOCK_NSEC),
		.vm_state_size = q2si_get_be32(buf + AT_VM_STATE_SIZE),
		.extra_size = q2si_get_be32(buf + AT_EXTRA_SIZE),
		.extra = buf + AT_EXTRA,
	};

	s.id = s.extra + s.extra_size;
	s.name = s.id + s.id_len;
	return s;
}

/* Bytes of the record without its padding, from its fixed part. */
static uint64_t
record_len(const uint8_t *buf)
{
	return (uint64_t)AT_EXTRA + q2si_get_be32(buf + AT_EXTRA_SIZE) +
	       q2si_get_be16(buf + AT_ID_LEN) + q2si_get_be16(buf + AT_NAME_LEN);
}

static enum q2s_err
decode(const struct q2s_geom *geom, const uint8_t *buf, size_t len, q2s_host at, bool lenient,
       struct q2s_snapshot *out, size_t *used, struct q2s_diag *diag)
{
	const uint32_t extra = geom->version >= 3 && !lenient ? EXTRA_VERSION_3 : 0;
	struct q2s_snapshot snapshot;
	uint64_t need;

	*used = AT_EXTRA;
	if (len < AT_EXTRA)
		return q2si_fail(diag, Q2S_E_SHORT, RECORD, at, len, "ends within 40 bytes");
	Q2SI_TRY(check_extra(q2si_get_be32(buf + AT_EXTRA_SIZE), extra, at, diag));
	need = record_len(buf);
	*used = need;
	if (len < need)
		return q2si_fail(diag, Q2S_E_SHORT, RECORD, at, len, "ends within its %zu bytes",
				 *used);
	*used = q2si_round_up(need, 8);
	snapshot = parse(buf);
	parse_extra(&snapshot, buf);
	Q2SI_TRY(check_l1(geom, &snapshot, at, diag));
	if (!lenient)
		Q2SI_TRY(check_disk_size(&snapshot, at, diag));
	*out = snapshot;
	return Q2S_OK;
}

enum q2s_err
q2s_snapshot_decode(const struct q2s_geom *geom, const uint8_t *buf, size_t len, q2s_host at,
		    struct q2s_snapshot *out, size_t *used, struct q2s_diag *diag)
{
	return decode(geom, buf, len, at, false, out, used, diag);
}

enum q2s_err
q2s_snapshot_decode_lenient(const struct q2s_geom *geom, const uint8_t *buf, size_t len,
			    q2s_host at, struct q2s_snapshot *out, size_t *used,
			    struct q2s_diag *diag)
{
	return decode(geom, buf, len, at, true, out, used, diag);
}

/* ---- encode -------------------------------------------------------------------------------- */

static void
put(const struct q2s_geom *geom, const struct q2s_snapshot *s, uint8_t *buf)
{
	const bool fits = s->vm_state_size <= UINT32_MAX;

	q2si_put_be64(buf + AT_L1_OFFSET, s->l1_offset.v);
	q2si_put_be32(buf + AT_L1_ENTRIES, s->l1_entries);
	q2si_put_be16(buf + AT_ID_LEN, s->id_len);
	q2si_put_be16(buf + AT_NAME_LEN, s->name_len);
	q2si_put_be32(buf + AT_DATE_SEC, s->date_sec);
	q2si_put_be32(buf + AT_DATE_NSEC, s->date_nsec);
	q2si_put_be64(buf + AT_VM_CLOCK_NSEC, s->vm_clock_nsec);
	q2si_put_be32(buf + AT_VM_STATE_SIZE, fits ? (uint32_t)s->vm_state_size : 0);
	q2si_put_be32(buf + AT_EXTRA_SIZE, EXTRA_WRITTEN);
	q2si_put_be64(buf + AT_VM_STATE_SIZE_64, s->vm_state_size);
	q2si_put_be64(buf + AT_DISK_SIZE, s->has_disk_size ? s->disk_size : geom->size);
	q2si_put_be64(buf + AT_ICOUNT, s->has_icount ? s->icount : NO_ICOUNT);
}

enum q2s_err
q2s_snapshot_encode(const struct q2s_geom *geom, const struct q2s_snapshot *in, uint8_t *buf,
		    size_t cap, size_t *used, struct q2s_diag *diag)
{
	const size_t strings = AT_EXTRA + EXTRA_WRITTEN;
	const size_t len = strings + in->id_len + in->name_len;
	const size_t padded = q2si_round_up(len, 8);

	Q2SI_TRY(check_l1(geom, in, Q2S_NOWHERE, diag));
	Q2SI_TRY(check_disk_size(in, Q2S_NOWHERE, diag));
	if (padded > cap)
		return q2si_fail(diag, Q2S_E_LIMIT, RECORD, Q2S_NOWHERE, padded,
				 "no room for the record");
	put(geom, in, buf);
	if (in->id_len)
		memcpy(buf + strings, in->id, in->id_len);
	if (in->name_len)
		memcpy(buf + strings + in->id_len, in->name, in->name_len);
	memset(buf + len, 0, padded - len);
	*used = padded;
	return Q2S_OK;
}
