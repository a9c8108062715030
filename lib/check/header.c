/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is odd about the header and its extensions, though the image could be opened. */
#include "checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arith.h"
#include "base/zero.h"
#include "format/header.h"

#define HERE(offset) .host = { offset }

static void
check_features(struct q2si_checker *ck)
{
	const struct q2s_header *header = ck->header;
	const uint64_t compatible = header->compatible_features & ~Q2S_COMPAT_LAZY_REFCOUNTS;
	const uint64_t autoclear = header->autoclear_features & ~Q2S_AUTOCLEAR_KNOWN;

	if (header->incompatible_features & Q2S_INCOMPAT_DIRTY)
		q2si_report(ck, HEADER_DIRTY, HERE(AT_INCOMPATIBLE_FEATURES));
	if (header->incompatible_features & Q2S_INCOMPAT_CORRUPT)
		q2si_report(ck, HEADER_CORRUPT, HERE(AT_INCOMPATIBLE_FEATURES));
	if (compatible)
		q2si_report(ck, HEADER_COMPATIBLE_UNKNOWN, HERE(AT_COMPATIBLE_FEATURES),
			    Q2SI_VALUES(compatible, 0));
	if (autoclear)
		q2si_report(ck, HEADER_AUTOCLEAR_UNKNOWN, HERE(AT_AUTOCLEAR_FEATURES),
			    Q2SI_VALUES(autoclear, 0));
}

static void
check_string(struct q2si_checker *ck, q2s_host at, struct q2s_bytes bytes, const char *name)
{
	if (bytes.len && memchr(bytes.data, 0, bytes.len))
		q2si_report(ck, HEADER_STRING_NUL, .host = at, .detail = name);
}

static void
check_fields(struct q2si_checker *ck)
{
	const struct q2s_header *header = ck->header;
	const uint8_t *raw = q2s_image_cluster0(ck->image);

	if (!q2si_is_aligned(header->size, Q2S_SECTOR))
		q2si_report(ck, HEADER_SIZE_UNALIGNED, HERE(AT_SIZE),
			    Q2SI_VALUES(header->size, q2si_round_down(header->size, Q2S_SECTOR)));
	if (header->version >= 3 && !q2si_is_aligned(header->header_length, 8))
		q2si_report(ck, HEADER_LENGTH_UNALIGNED, HERE(AT_HEADER_LENGTH),
			    Q2SI_VALUES(header->header_length,
					q2si_round_up(header->header_length, 8)));
	if (header->header_length >= Q2S_HEADER_V3_SIZE &&
	    !q2si_is_zero(raw + AT_HEADER_PADDING, Q2S_HEADER_V3_SIZE - AT_HEADER_PADDING))
		q2si_report(ck, HEADER_PADDING, HERE(AT_HEADER_PADDING));
	if (header->header_length > Q2S_HEADER_V3_SIZE &&
	    !q2si_is_zero(raw + Q2S_HEADER_V3_SIZE, header->header_length - Q2S_HEADER_V3_SIZE))
		q2si_report(ck, HEADER_FIELDS_UNKNOWN, HERE(Q2S_HEADER_V3_SIZE));
	if (header->backing_file_offset.v && header->backing_file_size == 0)
		q2si_report(ck, HEADER_BACKING_EMPTY, HERE(AT_BACKING_FILE_OFFSET));
	check_string(ck, header->backing_file_offset, q2s_image_backing_name(ck->image),
		     "backing file name");
}

/* ---- extensions -------------------------------------------------------------------------- */

static void
check_bitmaps_extension(struct q2si_checker *ck, const struct q2s_ext *ext)
{
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_diag diag = { 0 };

	const bool stale = !(ck->header->autoclear_features & Q2S_AUTOCLEAR_BITMAPS);
	const bool bad = q2s_ext_bitmaps_decode(ck->geom, ext, &bitmaps, &diag) != Q2S_OK;

	/* Nobody reads what stale bitmaps say, but QEMU looks at the length first. */
	if (bad && (!stale || ext->len != Q2S_EXT_BITMAPS_SIZE))
		q2si_report(ck, EXTENSION_BITMAPS_BAD, .host = ext->at, .detail = diag.text);
	else if (stale)
		q2si_report(ck, EXTENSION_BITMAPS_STALE, .host = ext->at);
}

static void
check_feature_names(struct q2si_checker *ck, const struct q2s_ext *ext)
{
	const uint32_t items = ext->len / Q2S_FEATURE_NAME_SIZE;
	bool good = ext->len % Q2S_FEATURE_NAME_SIZE == 0;
	struct q2s_feature_item item;

	for (uint32_t i = 0; good && i < items; i++)
		good = q2s_feature_item_decode(ext, i, &item, NULL) == Q2S_OK;
	if (!good)
		q2si_report(ck, EXTENSION_FEATURE_NAMES, .host = ext->at);
}

static void
check_pointless(struct q2si_checker *ck, const struct q2s_ext *ext, bool used, const char *name)
{
	if (!used)
		q2si_report(ck, EXTENSION_POINTLESS, .host = ext->at, .detail = name);
}

static void
check_unknown(struct q2si_checker *ck, const struct q2s_ext *ext)
{
	char type[16];

	snprintf(type, sizeof(type), "0x%08" PRIx32, ext->type);
	q2si_report(ck, EXTENSION_UNKNOWN, .host = ext->at, .detail = type);
}

static void
check_mark(struct q2si_checker *ck, const struct q2s_ext *ext)
{
	struct q2s_diag diag = { 0 };
	struct q2s_mark mark;

	if (q2s_ext_mark_decode(ext, &mark, &diag) != Q2S_OK)
		q2si_report(ck, EXTENSION_MARK_BAD, .host = ext->at, .detail = diag.text);
	else if (!(ck->header->autoclear_features & Q2S_AUTOCLEAR_MARK))
		q2si_report(ck, EXTENSION_MARK_STALE, .host = ext->at);
}

static void
check_extension(struct q2si_checker *ck, const struct q2s_ext *ext)
{
	const bool backing = ck->header->backing_file_offset.v != 0;
	const struct q2s_bytes bytes = { ext->data, ext->len };

	switch (ext->type) {
	case Q2S_EXT_BACKING_FORMAT:
		check_pointless(ck, ext, backing, "backing format");
		check_string(ck, ext->at, bytes, "backing format");
		break;
	case Q2S_EXT_FEATURE_NAMES:
		check_feature_names(ck, ext);
		break;
	case Q2S_EXT_BITMAPS:
		check_bitmaps_extension(ck, ext);
		break;
	case Q2S_EXT_CRYPTO: /* opened, so it is right */
		break;
	case Q2S_EXT_DATA_FILE:
		check_pointless(ck, ext, ck->geom->data_file, "external data file");
		check_string(ck, ext->at, bytes, "external data file name");
		break;
	case Q2S_EXT_MARK:
		check_mark(ck, ext);
		break;
	default:
		check_unknown(ck, ext);
	}
}

static void
check_extensions(struct q2si_checker *ck)
{
	const uint8_t *raw = q2s_image_cluster0(ck->image);
	const q2s_host end = q2s_ext_area_end(ck->header);
	uint64_t pos = ck->header->header_length;
	bool bitmaps = false, data_file = false;
	struct q2s_ext ext;

	while (q2s_ext_next(raw, ck->geom->cluster_size, end, &pos, &ext, NULL) == Q2S_OK &&
	       ext.type != Q2S_EXT_END) {
		check_extension(ck, &ext);
		bitmaps |= ext.type == Q2S_EXT_BITMAPS;
		data_file |= ext.type == Q2S_EXT_DATA_FILE && ext.len > 0;
	}
	if (ck->header->autoclear_features & Q2S_AUTOCLEAR_BITMAPS && !bitmaps)
		q2si_report(ck, EXTENSION_BITMAPS_MISSING, HERE(AT_AUTOCLEAR_FEATURES));
	if (ck->geom->data_file && !data_file)
		q2si_report(ck, DATA_FILE_UNNAMED, HERE(AT_INCOMPATIBLE_FEATURES));
}

void
q2si_check_header(struct q2si_checker *ck)
{
	check_features(ck);
	check_fields(ck);
	check_extensions(ck);
}
