/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can only be written when all else is there: the header, what it points at, the counts. */
#include <stdio.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "common/fault.h"
#include "model.h"

/* As QEMU: raw deflate, a window of 4 KiB. 0 when it fails. */
static size_t
compress_zlib(const uint8_t *in, size_t size, uint8_t *out, size_t room)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)in,
			    .avail_in = (uInt)size,
			    .next_out = out,
			    .avail_out = (uInt)room };
	size_t len = 0;

	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return 0;
	if (deflate(&stream, Z_FINISH) == Z_STREAM_END)
		len = stream.total_out;
	deflateEnd(&stream);
	return len;
}

size_t
model_compress(struct model *model, const uint8_t *in, uint8_t *out)
{
	const size_t size = model->geom.cluster_size;
	size_t len;

	if (model->compression == Q2S_COMPRESSION_ZLIB)
		len = compress_zlib(in, size, out, 2 * size);
	else
		len = ZSTD_compress(out, 2 * size, in, size, 3);
	if (len == 0 || ZSTD_isError(len)) {
		fault(&model->diag, Q2S_E_NOMEM, "spec", "cannot compress");
		return 0;
	}
	return len;
}

/* ---- tables ------------------------------------------------------------------------------ */

static enum q2s_err
finish_snapshot(struct model *model, uint32_t index, uint64_t *pos)
{
	struct model_snapshot *const s = &model->snapshots[index];
	char id[8];
	const struct q2s_snapshot record = {
		.l1_offset = { s->l1 },
		.l1_entries = s->l1_entries,
		.id = (const uint8_t *)id,
		.id_len = (uint16_t)snprintf(id, sizeof(id), "%u", index + 1),
		.name = (const uint8_t *)s->name,
		.name_len = (uint16_t)strlen(s->name),
		.vm_state_size = s->vm_state_size,
		.has_disk_size = true,
		.disk_size = model->geom.size,
	};
	size_t used = 0;
	uint8_t *raw;

	s->at = model->snapshots_at + *pos;
	raw = model_at(model, s->at, 0);
	if (raw && q2s_snapshot_encode(&model->geom, &record, raw, model->geom.cluster_size - *pos,
				       &used, &model->diag) == Q2S_OK)
		*pos += used;
	return model->diag.err;
}

static enum q2s_err
finish_snapshots(struct model *model)
{
	enum q2s_err err = Q2S_OK;
	uint64_t pos = 0;

	if (model->snapshot_count == 0)
		return Q2S_OK;
	model->snapshots_at = model_alloc(model, 1, 1);
	if (!model->snapshots_at)
		return model->diag.err;
	for (uint32_t i = 0; i < model->snapshot_count && err == Q2S_OK; i++)
		err = finish_snapshot(model, i, &pos);
	return err;
}

static enum q2s_err
finish_bitmap(struct model *model, struct model_bitmap *b, uint64_t *pos)
{
	const struct q2s_bitmap record = {
		.table_offset = { b->table },
		.table_entries = b->entries,
		.flags = b->flags,
		.type = 1,
		.granularity_bits = b->granularity_bits,
		.name = (const uint8_t *)b->name,
		.name_len = (uint16_t)strlen(b->name),
	};
	size_t used = 0;
	uint8_t *raw;

	b->at = model->bitmaps_at + *pos;
	raw = model_at(model, b->at, 0);
	if (raw && q2s_bitmap_encode(&model->geom, &record, raw, model->geom.cluster_size - *pos,
				     &used, &model->diag) == Q2S_OK)
		*pos += used;
	return model->diag.err;
}

/* @size: of the directory. */
static enum q2s_err
finish_bitmaps(struct model *model, uint64_t *size)
{
	enum q2s_err err = Q2S_OK;

	*size = 0;
	if (model->bitmap_count == 0)
		return Q2S_OK;
	model->bitmaps_at = model_alloc(model, 1, 1);
	if (!model->bitmaps_at)
		return model->diag.err;
	for (uint32_t i = 0; i < model->bitmap_count && err == Q2S_OK; i++)
		err = finish_bitmap(model, &model->bitmaps[i], size);
	return err;
}

/* An encryption header without an active key slot: nobody has its secret. */
static enum q2s_err
add_crypto(struct model *model)
{
	const struct q2s_ext_crypto crypto = { { model->crypto }, model->geom.cluster_size };
	const struct q2s_luks luks = { .cipher_name = "aes",
				       .cipher_mode = "xts-plain64",
				       .hash = "sha256",
				       .key_bytes = Q2S_LUKS_KEY_MAX,
				       .master_iterations = 1000 };
	uint8_t raw[Q2S_EXT_CRYPTO_SIZE], *const header =
						  model_at(model, model->crypto, Q2S_LUKS_SIZE);

	if (!header)
		return model->diag.err;
	q2s_luks_encode(&luks, header, NULL);
	q2s_ext_crypto_encode(&crypto, raw);
	return model_extension(model, Q2S_EXT_CRYPTO, raw, sizeof(raw));
}

static enum q2s_err
add_bitmaps(struct model *model, uint64_t directory_size)
{
	const struct q2s_ext_bitmaps bitmaps = { model->bitmap_count,
						 directory_size,
						 { model->bitmaps_at } };
	uint8_t raw[Q2S_EXT_BITMAPS_SIZE];

	q2s_ext_bitmaps_encode(&bitmaps, raw);
	return model_extension(model, Q2S_EXT_BITMAPS, raw, sizeof(raw));
}

/* The records that follow from the options come behind those that the spec asks for. */
static enum q2s_err
add_extensions(struct model *model, uint64_t directory_size)
{
	enum q2s_err err = Q2S_OK;

	if (model->backing_format[0])
		err = model_extension(model, Q2S_EXT_BACKING_FORMAT, model->backing_format,
				      (uint32_t)strlen(model->backing_format));
	if (err == Q2S_OK && model->data_file[0])
		err = model_extension(model, Q2S_EXT_DATA_FILE, model->data_file,
				      (uint32_t)strlen(model->data_file));
	if (err == Q2S_OK && model->crypto)
		err = add_crypto(model);
	if (err == Q2S_OK && model->bitmaps_at)
		err = add_bitmaps(model, directory_size);
	return err;
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
		.refcount_table_clusters = model->reftable_clusters,
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

/* The records, and behind them the end, where there is room for one. @pos: behind that. */
static enum q2s_err
put_extensions(struct model *model, uint8_t *raw, uint64_t *pos)
{
	const uint32_t size = model->geom.cluster_size;
	enum q2s_err err = Q2S_OK;

	for (uint32_t i = 0; i < model->extension_count && err == Q2S_OK; i++) {
		struct model_extension *const ext = &model->extensions[i];

		ext->at = *pos;
		err = q2s_ext_encode(ext->type, ext->data, ext->len, raw, size, pos, &model->diag);
	}
	if (err == Q2S_OK && *pos + Q2S_EXT_HEAD_SIZE <= size)
		err = q2s_ext_encode(Q2S_EXT_END, NULL, 0, raw, size, pos, &model->diag);
	return err;
}

static enum q2s_err
finish_header(struct model *model)
{
	struct q2s_header header = make_header(model);
	uint8_t *const raw = model_at(model, 0, model->geom.cluster_size);
	uint64_t pos = header.header_length;

	if (!raw || put_extensions(model, raw, &pos) != Q2S_OK)
		return model->diag.err;
	if (model->backing[0]) {
		header.backing_file_offset.v = pos;
		header.backing_file_size = (uint32_t)strlen(model->backing);
		if (!model_at(model, pos, header.backing_file_size))
			return model->diag.err;
		memcpy(raw + pos, model->backing, header.backing_file_size);
	}
	return q2s_header_encode(&header, raw, model->geom.cluster_size, &model->diag);
}

/* ---- refcounts --------------------------------------------------------------------------- */

static enum q2s_err
finish_refcounts(struct model *model)
{
	const struct q2s_geom *const geom = &model->geom;
	enum q2s_err err = Q2S_OK;
	uint8_t *const table = model_at(model, model->reftable,
					(uint64_t)model->block_count * Q2S_REFTABLE_ENTRY_SIZE);

	if (!table)
		return model->diag.err;
	for (uint32_t i = 0; i < model->block_count && err == Q2S_OK; i++)
		err = q2s_reftable_encode(geom, (q2s_host){ model->blocks[i] },
					  table + i * Q2S_REFTABLE_ENTRY_SIZE, &model->diag);
	for (uint64_t c = 0; c < model->clusters && err == Q2S_OK; c++) {
		uint8_t *const block =
			model_at(model, model->blocks[c >> geom->block_bits], geom->cluster_size);

		err = block ? q2s_refcount_set(geom, block, (uint32_t)c & (geom->block_entries - 1),
					       model->counts[c], &model->diag)
			    : model->diag.err;
	}
	return err;
}

enum q2s_err
model_finish(struct model *model)
{
	uint64_t directory_size = 0;
	enum q2s_err err;

	if (model->finished)
		return model->diag.err;
	err = model_begin(model);
	model->finished = true;
	if (err == Q2S_OK)
		err = finish_snapshots(model);
	if (err == Q2S_OK)
		err = finish_bitmaps(model, &directory_size);
	if (err == Q2S_OK)
		err = add_extensions(model, directory_size);
	if (err == Q2S_OK)
		err = finish_refcounts(model);
	if (err == Q2S_OK)
		err = finish_header(model);
	return err;
}
