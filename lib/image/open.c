/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening one qcow2 file: its first cluster, and nothing but this file. */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/diag.h"

/* Without a cluster size to go by: enough for the header and what usually follows it. */
#define HEAD_UNKNOWN 4096u

bool
q2s_image_probe(struct q2s_store *file)
{
	uint8_t magic[4];

	return q2s_store_size(file) >= sizeof(magic) &&
	       q2s_store_read(file, 0, magic, sizeof(magic), NULL) == Q2S_OK &&
	       q2si_get_be32(magic) == Q2S_MAGIC;
}

/* Was a header refused for feature bits that nobody here knows? */
static bool
is_unknown_feature(const struct q2s_diag *refusal)
{
	return refusal->err == Q2S_E_UNSUPPORTED &&
	       strcmp(refusal->what, "incompatible_features") == 0;
}

static enum q2s_err
header_read(struct q2s_image *image, struct q2s_diag *diag)
{
	uint8_t raw[Q2S_HEADER_V3_SIZE];
	struct q2s_diag refusal = { 0 };
	size_t len;

	Q2SI_TRY(q2s_store_read_padded(image->file, 0, raw, sizeof(raw), &len, diag));
	if (q2s_header_decode(raw, len, &image->header, &refusal) == Q2S_OK) {
		Q2SI_TRY(q2s_header_geom(&image->header, &image->geom, diag));
		image->has_geom = true;
		return Q2S_OK;
	}
	if (is_unknown_feature(&refusal))
		return q2si_features_refuse(image->file, &refusal, diag);
	return q2s_header_decode(raw, len, &image->header, diag);
}

static enum q2s_err
cluster0_read(struct q2s_image *image, size_t size, struct q2s_diag *diag)
{
	uint8_t *const cluster0 = realloc(image->cluster0, size);

	if (!cluster0)
		return q2si_fail_nomem(diag, "cluster 0");
	image->cluster0 = cluster0;
	image->cluster0_size = size;
	return q2s_store_read_padded(image->file, 0, cluster0, size, NULL, diag);
}

static void
backing_name_set(struct q2s_image *image)
{
	const struct q2s_header *header = &image->header;

	/* A name of no bytes is no backing file, as in QEMU. */
	if (header->backing_file_offset.v == 0 || header->backing_file_size == 0)
		return;
	image->backing_name.data = image->cluster0 + header->backing_file_offset.v;
	image->backing_name.len = header->backing_file_size;
}

static enum q2s_err
image_fill(struct q2s_image *image, unsigned flags, struct q2s_diag *diag)
{
	Q2SI_TRY(header_read(image, diag));
	if (!(flags & Q2S_IMAGE_DAMAGED))
		Q2SI_TRY(q2s_header_check_tables(&image->header, diag));
	Q2SI_TRY(cluster0_read(image, image->geom.cluster_size, diag));
	backing_name_set(image);
	Q2SI_TRY(q2si_extensions_read(image, flags, diag));

	const struct q2s_l1_table l1 = q2s_image_active_l1(image);

	/* Whoever walks the table of a damaged image is told by q2s_map_open(). */
	return flags & Q2S_IMAGE_DAMAGED ? Q2S_OK : q2si_l1_check(image, &l1, diag);
}

/* Does a file that was refused begin with the magic, and was it not only that it cannot be read? */
static bool
is_refused(const struct q2s_image *image, enum q2s_err err)
{
	return err != Q2S_OK && err != Q2S_E_NOMEM &&
	       (q2s_err_class(err) != Q2S_CLASS_IO || err == Q2S_E_SHORT) &&
	       q2s_image_probe(image->file);
}

/* What can be made of a refused image: its fields as stored, and of cluster 0 what is known. */
static enum q2s_err
damaged_fill(struct q2s_image *image, struct q2s_diag *diag)
{
	struct q2s_image found = { .file = image->file,
				   .cluster0 = image->cluster0,
				   .fault = image->fault };

	*image = found;
	Q2SI_TRY(cluster0_read(image, HEAD_UNKNOWN, diag));
	q2s_header_as_stored(image->cluster0, &image->header);
	image->has_geom = q2s_header_geom(&image->header, &image->geom, NULL) == Q2S_OK;
	return image->has_geom ? cluster0_read(image, image->geom.cluster_size, diag) : Q2S_OK;
}

static enum q2s_err
tolerant_fill(struct q2s_image *image, struct q2s_diag *diag)
{
	const enum q2s_err err = image_fill(image, Q2S_IMAGE_DAMAGED, &image->fault);

	if (is_refused(image, err))
		return damaged_fill(image, diag);
	if (err != Q2S_OK && diag && diag->err == Q2S_OK)
		*diag = image->fault;
	return err;
}

enum q2s_err
q2s_image_open(struct q2s_store *file, unsigned flags, struct q2s_image **out,
	       struct q2s_diag *diag)
{
	struct q2s_image *image = calloc(1, sizeof(*image));
	enum q2s_err err;

	if (!image)
		return q2si_fail_nomem(diag, "image");
	image->file = q2s_store_ref(file);
	err = flags & Q2S_IMAGE_TOLERANT ? tolerant_fill(image, diag)
					 : image_fill(image, flags, diag);
	if (err != Q2S_OK) {
		q2si_in_file(diag, err, q2s_store_name(file));
		q2s_image_close(image);
		return err;
	}
	*out = image;
	return Q2S_OK;
}

void
q2s_image_close(struct q2s_image *image)
{
	if (!image)
		return;
	q2s_store_unref(image->file);
	free(image->cluster0);
	free(image);
}

const struct q2s_header *
q2s_image_header(const struct q2s_image *image)
{
	return &image->header;
}

const struct q2s_geom *
q2s_image_geom(const struct q2s_image *image)
{
	return &image->geom;
}

struct q2s_store *
q2s_image_file(const struct q2s_image *image)
{
	return image->file;
}

struct q2s_bytes
q2s_image_backing_name(const struct q2s_image *image)
{
	return image->backing_name;
}

struct q2s_bytes
q2s_image_backing_format(const struct q2s_image *image)
{
	return image->backing_format;
}

struct q2s_bytes
q2s_image_data_file_name(const struct q2s_image *image)
{
	return image->data_file_name;
}

const uint8_t *
q2s_image_cluster0(const struct q2s_image *image)
{
	return image->cluster0;
}

size_t
q2s_image_cluster0_size(const struct q2s_image *image)
{
	return image->cluster0_size;
}

bool
q2s_image_has_geom(const struct q2s_image *image)
{
	return image->has_geom;
}

const struct q2s_diag *
q2s_image_fault(const struct q2s_image *image)
{
	return image->fault.err == Q2S_OK ? NULL : &image->fault;
}

enum q2s_err
q2si_image_sound(const struct q2s_image *image, struct q2s_diag *diag)
{
	if (image->fault.err != Q2S_OK && diag && diag->err == Q2S_OK)
		*diag = image->fault;
	return image->fault.err;
}

const struct q2s_ext_bitmaps *
q2s_image_bitmaps(const struct q2s_image *image)
{
	return image->has_bitmaps ? &image->bitmaps : NULL;
}

bool
q2s_image_has_stale_bitmaps(const struct q2s_image *image)
{
	return image->stale_bitmaps;
}

const struct q2s_ext_crypto *
q2s_image_crypto(const struct q2s_image *image)
{
	return image->has_crypto ? &image->crypto : NULL;
}

const struct q2s_mark *
q2s_image_mark(const struct q2s_image *image, bool *valid)
{
	*valid = image->has_mark && image->header.autoclear_features & Q2S_AUTOCLEAR_MARK;
	return image->has_mark ? &image->mark : NULL;
}

struct q2s_l1_table
q2s_image_active_l1(const struct q2s_image *image)
{
	return (struct q2s_l1_table){ .at = image->header.l1_table_offset,
				      .entries = image->header.l1_size,
				      .size = image->geom.size };
}
