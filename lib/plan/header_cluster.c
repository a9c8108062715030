/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cluster 0 of a new image, in QEMU's order of extensions. */
#include <stdio.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "plan/plan.h"

/* Cluster 0 while it is filled. */
struct cluster0 {
	uint8_t *buf;
	size_t cap;
	uint64_t pos;
};

static enum q2s_err
put_ext(struct cluster0 *at, uint32_t type, struct q2s_bytes data, struct q2s_diag *diag)
{
	return q2s_ext_encode(type, data.data, (uint32_t)data.len, at->buf, at->cap, &at->pos,
			      diag);
}

static bool
is_marked(const struct q2s_spec *spec)
{
	return !q2s_id_is_none(&spec->mark.id);
}

/* What is no part of the format is named only where it is used. */
static bool
is_named(const struct q2s_spec *spec, unsigned kind, unsigned bit)
{
	return kind != 2 || 1ull << bit != Q2S_AUTOCLEAR_MARK || is_marked(spec);
}

/* All names that we know: they only serve messages, so a full cluster goes without them. */
static size_t
feature_table(const struct q2s_spec *spec, uint8_t *raw, size_t cap)
{
	size_t len = 0;

	for (uint8_t kind = 0; kind < 3; kind++) {
		for (uint8_t bit = 0; bit < 64 && len + Q2S_FEATURE_NAME_SIZE <= cap; bit++) {
			const char *name = q2s_feature_name(kind, bit);
			struct q2s_feature_item item = { .kind = kind, .bit = bit };

			if (!name || !is_named(spec, kind, bit))
				continue;
			(void)snprintf(item.name, sizeof(item.name), "%s", name);
			q2s_feature_item_encode(&item, raw + len);
			len += Q2S_FEATURE_NAME_SIZE;
		}
	}
	return len;
}

static enum q2s_err
put_feature_names(struct cluster0 *at, const struct q2s_spec *spec, size_t reserve,
		  struct q2s_diag *diag)
{
	uint8_t raw[16 * Q2S_FEATURE_NAME_SIZE];
	const size_t len = feature_table(spec, raw, sizeof(raw));

	if (at->pos + Q2S_EXT_HEAD_SIZE + len + reserve > at->cap)
		return Q2S_OK;
	return put_ext(at, Q2S_EXT_FEATURE_NAMES, (struct q2s_bytes){ raw, len }, diag);
}

static enum q2s_err
put_data_file(struct cluster0 *at, struct q2s_bytes name, struct q2s_diag *diag)
{
	/* the record, and the one that ends them all */
	const uint64_t need = Q2S_EXT_HEAD_SIZE + q2si_round_up(name.len, 8) + Q2S_EXT_HEAD_SIZE;

	if (need > at->cap - at->pos)
		return q2si_fail(diag, Q2S_E_LIMIT, "data_file", Q2S_NOWHERE, name.len,
				 "the name does not fit into the first cluster");
	return put_ext(at, Q2S_EXT_DATA_FILE, name, diag);
}

static enum q2s_err
put_luks(struct cluster0 *at, q2s_host luks, uint64_t length, struct q2s_diag *diag)
{
	const struct q2s_ext_crypto crypto = { .offset = luks, .length = length };
	uint8_t raw[Q2S_EXT_CRYPTO_SIZE];

	q2s_ext_crypto_encode(&crypto, raw);
	return put_ext(at, Q2S_EXT_CRYPTO, (struct q2s_bytes){ raw, sizeof(raw) }, diag);
}

static enum q2s_err
put_bitmaps(struct cluster0 *at, const struct q2s_spec *spec, const struct q2s_layout *layout,
	    struct q2s_diag *diag)
{
	const struct q2s_ext_bitmaps bitmaps = {
		.count = (uint32_t)spec->bitmap_count,
		.directory_size = layout->bitmap_directory_bytes,
		.directory_offset = layout->bitmap_directory,
	};
	uint8_t raw[Q2S_EXT_BITMAPS_SIZE];

	q2s_ext_bitmaps_encode(&bitmaps, raw);
	return put_ext(at, Q2S_EXT_BITMAPS, (struct q2s_bytes){ raw, sizeof(raw) }, diag);
}

static enum q2s_err
put_mark(struct cluster0 *at, const struct q2s_mark *mark, struct q2s_diag *diag)
{
	uint8_t raw[Q2S_EXT_MARK_SIZE];

	q2s_ext_mark_encode(mark, raw);
	return put_ext(at, Q2S_EXT_MARK, (struct q2s_bytes){ raw, sizeof(raw) }, diag);
}

static enum q2s_err
put_extensions(const struct q2s_spec *spec, const struct q2s_layout *layout, struct cluster0 *at,
	       struct q2s_diag *diag)
{
	const size_t bitmaps = spec->bitmap_count ? Q2S_EXT_HEAD_SIZE + Q2S_EXT_BITMAPS_SIZE : 0;
	const size_t mark = is_marked(spec) ? Q2S_EXT_HEAD_SIZE + Q2S_EXT_MARK_SIZE : 0;

	if (spec->backing_format.data)
		Q2SI_TRY(put_ext(at, Q2S_EXT_BACKING_FORMAT, spec->backing_format, diag));
	if (spec->data_file_name.data)
		Q2SI_TRY(put_data_file(at, spec->data_file_name, diag));
	if (spec->luks.data)
		Q2SI_TRY(put_luks(at, layout->luks, spec->luks.len, diag));
	if (spec->geom.version >= 3)
		Q2SI_TRY(put_feature_names(at, spec,
					   Q2S_EXT_HEAD_SIZE + spec->backing_name.len + bitmaps + mark,
					   diag));
	if (spec->bitmap_count)
		Q2SI_TRY(put_bitmaps(at, spec, layout, diag));
	if (is_marked(spec))
		Q2SI_TRY(put_mark(at, &spec->mark, diag));
	return put_ext(at, Q2S_EXT_END, (struct q2s_bytes){ 0 }, diag);
}

static uint64_t
incompatible_features(const struct q2s_spec *spec)
{
	uint64_t bits = 0;

	if (spec->geom.data_file)
		bits |= Q2S_INCOMPAT_DATA_FILE;
	if (spec->compression_type != Q2S_COMPRESSION_ZLIB)
		bits |= Q2S_INCOMPAT_COMPRESSION;
	if (spec->geom.extended)
		bits |= Q2S_INCOMPAT_EXTENDED_L2;
	return bits;
}

static uint64_t
autoclear_features(const struct q2s_spec *spec)
{
	return (spec->data_file_raw ? Q2S_AUTOCLEAR_DATA_FILE_RAW : 0) |
	       (spec->bitmap_count ? Q2S_AUTOCLEAR_BITMAPS : 0) |
	       (is_marked(spec) ? Q2S_AUTOCLEAR_MARK : 0);
}

static struct q2s_header
header_of(const struct q2s_spec *spec, const struct q2s_layout *layout)
{
	const struct q2s_geom *geom = &spec->geom;

	return (struct q2s_header){
		.version = geom->version,
		.cluster_bits = geom->cluster_bits,
		.size = geom->size,
		.crypt_method = spec->luks.data ? Q2S_CRYPT_LUKS : Q2S_CRYPT_NONE,
		.l1_size = (uint32_t)geom->l1_entries,
		.l1_table_offset = geom->l1_entries ? layout->l1 : (q2s_host){ 0 },
		.refcount_table_offset = layout->refcount_table,
		.refcount_table_clusters = (uint32_t)layout->refcount_table_clusters,
		.incompatible_features = incompatible_features(spec),
		.compatible_features = spec->lazy_refcounts ? Q2S_COMPAT_LAZY_REFCOUNTS : 0,
		.autoclear_features = autoclear_features(spec),
		.refcount_order = geom->refcount_order,
		.header_length = geom->version >= 3 ? Q2S_HEADER_V3_SIZE : Q2S_HEADER_V2_SIZE,
		.compression_type = spec->compression_type,
	};
}

enum q2s_err
q2si_header_cluster(const struct q2s_spec *spec, const struct q2s_layout *layout, uint8_t *buf,
		    struct q2s_diag *diag)
{
	struct q2s_header header = header_of(spec, layout);
	struct cluster0 at = { .buf = buf, .cap = spec->geom.cluster_size };

	memset(buf, 0, at.cap);
	at.pos = header.header_length;
	Q2SI_TRY(put_extensions(spec, layout, &at, diag));
	if (spec->backing_name.data) {
		if (spec->backing_name.len > at.cap - at.pos)
			return q2si_fail(diag, Q2S_E_LIMIT, "backing_file", Q2S_NOWHERE,
					 spec->backing_name.len,
					 "the name does not fit into the first cluster");
		header.backing_file_offset.v = at.pos;
		header.backing_file_size = (uint32_t)spec->backing_name.len;
		memcpy(buf + at.pos, spec->backing_name.data, spec->backing_name.len);
	}
	return q2s_header_encode(&header, buf, at.cap, diag);
}
