/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can only be written when all else is there: the header, what it points at, the counts. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

/* As QEMU: raw deflate, a window of 4 KiB. */
static size_t
compress_zlib(const uint8_t *in, size_t size, uint8_t *out, size_t room)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)in,
			    .avail_in = (uInt)size,
			    .next_out = out,
			    .avail_out = (uInt)room };
	size_t len;

	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) !=
		    Z_OK ||
	    deflate(&stream, Z_FINISH) != Z_STREAM_END)
		die("deflate failed");
	len = stream.total_out;
	deflateEnd(&stream);
	return len;
}

size_t
model_compress(const struct model *model, const uint8_t *in, uint8_t *out)
{
	const size_t size = model->geom.cluster_size;
	size_t len;

	if (model->compression == Q2S_COMPRESSION_ZLIB)
		return compress_zlib(in, size, out, 2 * size);
	len = ZSTD_compress(out, 2 * size, in, size, 3);
	if (ZSTD_isError(len))
		die("zstd failed");
	return len;
}

/* ---- tables ------------------------------------------------------------------------------ */

static void
finish_snapshots(struct model *model)
{
	struct q2s_diag diag = { 0 };
	uint8_t buf[256];
	uint64_t pos = 0;
	size_t used;

	if (model->snapshot_count)
		model->snapshots_at = model_alloc(model, 1, 1);
	for (uint32_t i = 0; i < model->snapshot_count; i++) {
		struct model_snapshot *s = &model->snapshots[i];
		const uint8_t id = (uint8_t)('1' + i);
		const struct q2s_snapshot record = {
			.l1_offset = { s->l1 },
			.l1_entries = s->l1_entries,
			.id = &id,
			.id_len = 1,
			.name = (const uint8_t *)s->name,
			.name_len = (uint16_t)strlen(s->name),
			.vm_state_size = s->vm_state_size,
			.has_disk_size = true,
			.disk_size = model->geom.size,
		};

		must(q2s_snapshot_encode(&model->geom, &record, buf, sizeof(buf), &used, &diag),
		     &diag);
		if (pos + used > model->geom.cluster_size)
			die("the snapshot table is larger than a cluster");
		s->at = model->snapshots_at + pos;
		memcpy(model_at(model, s->at, used), buf, used);
		pos += used;
	}
}

static uint64_t
finish_bitmaps(struct model *model)
{
	struct q2s_diag diag = { 0 };
	uint64_t pos = 0;
	size_t used;

	if (model->bitmap_count == 0)
		return 0;
	model->bitmaps_at = model_alloc(model, 1, 1);
	for (uint32_t i = 0; i < model->bitmap_count; i++) {
		struct model_bitmap *b = &model->bitmaps[i];
		const struct q2s_bitmap record = {
			.table_offset = { b->table },
			.table_entries = b->entries,
			.flags = b->flags,
			.type = 1,
			.granularity_bits = b->granularity_bits,
			.name = (const uint8_t *)b->name,
			.name_len = (uint16_t)strlen(b->name),
		};

		b->at = model->bitmaps_at + pos;
		must(q2s_bitmap_encode(&model->geom, &record, model_at(model, b->at, 1),
				       model->geom.cluster_size - pos, &used, &diag),
		     &diag);
		pos += used;
	}
	return pos;
}

/* The records that follow from the options come before those that the spec asks for. */
static void
add_extensions(struct model *model, uint64_t directory_size)
{
	const struct q2s_ext_bitmaps bitmaps = { model->bitmap_count,
						 directory_size,
						 { model->bitmaps_at } };
	const struct q2s_ext_crypto crypto = { { model->crypto }, model->geom.cluster_size };
	uint8_t raw[Q2S_EXT_BITMAPS_SIZE];

	if (model->backing_format[0])
		model_extension(model, Q2S_EXT_BACKING_FORMAT, model->backing_format,
				(uint32_t)strlen(model->backing_format));
	if (model->data_file[0])
		model_extension(model, Q2S_EXT_DATA_FILE, model->data_file,
				(uint32_t)strlen(model->data_file));
	if (model->crypto) {
		memcpy(model_at(model, model->crypto, 6), "LUKS\xba\xbe", 6);
		q2s_ext_crypto_encode(&crypto, raw);
		model_extension(model, Q2S_EXT_CRYPTO, raw, Q2S_EXT_CRYPTO_SIZE);
	}
	if (model->bitmaps_at) {
		q2s_ext_bitmaps_encode(&bitmaps, raw);
		model_extension(model, Q2S_EXT_BITMAPS, raw, Q2S_EXT_BITMAPS_SIZE);
	}
}

/* ---- header ------------------------------------------------------------------------------ */

static uint64_t
incompatible_features(const struct model *model)
{
	return (model->geom.data_file ? Q2S_INCOMPAT_DATA_FILE : 0) |
	       (model->geom.extended ? Q2S_INCOMPAT_EXTENDED_L2 : 0) |
	       (model->compression ? Q2S_INCOMPAT_COMPRESSION : 0);
}

static struct q2s_header
make_header(const struct model *model)
{
	const bool v3 = model->geom.version >= 3;
	struct q2s_header header = {
		.version = model->geom.version,
		.cluster_bits = model->geom.cluster_bits,
		.size = model->geom.size,
		.crypt_method = model->luks ? Q2S_CRYPT_LUKS : Q2S_CRYPT_NONE,
		.l1_size = model->l1_entries,
		.l1_table_offset = { model->l1 },
		.refcount_table_offset = { model->reftable },
		.refcount_table_clusters = 1,
		.nb_snapshots = model->snapshot_count,
		.snapshots_offset = { model->snapshots_at },
		.incompatible_features = v3 ? incompatible_features(model) : 0,
		.autoclear_features = (model->bitmaps_at ? Q2S_AUTOCLEAR_BITMAPS : 0) |
				      (model->data_file_raw ? Q2S_AUTOCLEAR_DATA_FILE_RAW : 0),
		.refcount_order = model->geom.refcount_order,
		.header_length = v3 ? model->header_length : Q2S_HEADER_V2_SIZE,
		.compression_type = model->compression,
	};

	return header;
}

static void
finish_header(struct model *model)
{
	struct q2s_header header = make_header(model);
	uint8_t *raw = model_at(model, 0, model->geom.cluster_size);
	uint64_t pos = header.header_length;
	struct q2s_diag diag = { 0 };

	for (uint32_t i = 0; i < model->extension_count; i++) {
		struct model_extension *ext = &model->extensions[i];

		ext->at = pos;
		must(q2s_ext_encode(ext->type, ext->data, ext->len, raw, model->geom.cluster_size,
				    &pos, &diag),
		     &diag);
	}
	if (pos + Q2S_EXT_HEAD_SIZE <= model->geom.cluster_size)
		must(q2s_ext_encode(Q2S_EXT_END, NULL, 0, raw, model->geom.cluster_size, &pos,
				    &diag),
		     &diag);
	if (model->backing[0]) {
		header.backing_file_offset.v = pos;
		header.backing_file_size = (uint32_t)strlen(model->backing);
		memcpy(model_at(model, pos, header.backing_file_size), model->backing,
		       header.backing_file_size);
	}
	must(q2s_header_encode(&header, raw, model->geom.cluster_size, &diag), &diag);
}

/* ---- refcounts --------------------------------------------------------------------------- */

static void
finish_refcounts(struct model *model)
{
	const struct q2s_geom *geom = &model->geom;
	struct q2s_diag diag = { 0 };

	for (uint32_t i = 0; i < model->block_count; i++)
		must(q2s_reftable_encode(geom, (q2s_host){ model->blocks[i] },
					 model_at(model, model->reftable + 8 * i, 8), &diag),
		     &diag);
	for (uint64_t c = 0; c < model->clusters; c++) {
		const uint64_t block = model->blocks[c >> geom->block_bits];

		must(q2s_refcount_set(geom, model_at(model, block, geom->cluster_size),
				      (uint32_t)c & (geom->block_entries - 1), model->counts[c],
				      &diag),
		     &diag);
	}
}

void
model_finish(struct model *model)
{
	uint64_t directory_size;

	if (model->finished)
		return;
	model_begin(model);
	model->finished = true;
	finish_snapshots(model);
	directory_size = finish_bitmaps(model);
	add_extensions(model, directory_size);
	finish_refcounts(model);
	finish_header(model);
}
