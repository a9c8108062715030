/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a file for inspection, also where the library refuses it. */
#include "inspect/subject.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "common/fault.h"
#include "format/header.h"

/* Without a cluster size to go by: enough for the header and what usually follows it. */
#define HEAD_UNKNOWN 4096u

enum subject_format
subject_format(const char *word)
{
	if (!word)
		return SUBJECT_PROBE;
	return strcmp(word, "raw") == 0 ? SUBJECT_RAW : SUBJECT_QCOW2;
}

static enum q2s_err
read_head(struct subject *subject, size_t size, struct q2s_diag *diag)
{
	uint8_t *const head = realloc(subject->head, size);

	if (!head)
		return fault_nomem(diag, "cluster 0");
	subject->head = head;
	subject->head_size = size;
	return q2s_file_read_padded(subject->file, 0, head, size, &subject->head_read, diag);
}

void
header_as_stored(const uint8_t *head, struct q2s_header *out)
{
	*out = (struct q2s_header){
		.version = q2si_get_be32(head + AT_VERSION),
		.backing_file_offset = { q2si_get_be64(head + AT_BACKING_FILE_OFFSET) },
		.backing_file_size = q2si_get_be32(head + AT_BACKING_FILE_SIZE),
		.cluster_bits = q2si_get_be32(head + AT_CLUSTER_BITS),
		.size = q2si_get_be64(head + AT_SIZE),
		.crypt_method = q2si_get_be32(head + AT_CRYPT_METHOD),
		.l1_size = q2si_get_be32(head + AT_L1_SIZE),
		.l1_table_offset = { q2si_get_be64(head + AT_L1_TABLE_OFFSET) },
		.refcount_table_offset = { q2si_get_be64(head + AT_REFCOUNT_TABLE_OFFSET) },
		.refcount_table_clusters = q2si_get_be32(head + AT_REFCOUNT_TABLE_CLUSTERS),
		.nb_snapshots = q2si_get_be32(head + AT_NB_SNAPSHOTS),
		.snapshots_offset = { q2si_get_be64(head + AT_SNAPSHOTS_OFFSET) },
		.refcount_order = Q2S_REFCOUNT_ORDER_DEFAULT,
		.header_length = Q2S_HEADER_V2_SIZE,
	};
	if (out->version < 3)
		return;
	out->incompatible_features = q2si_get_be64(head + AT_INCOMPATIBLE_FEATURES);
	out->compatible_features = q2si_get_be64(head + AT_COMPATIBLE_FEATURES);
	out->autoclear_features = q2si_get_be64(head + AT_AUTOCLEAR_FEATURES);
	out->refcount_order = q2si_get_be32(head + AT_REFCOUNT_ORDER);
	out->header_length = q2si_get_be32(head + AT_HEADER_LENGTH);
	if (out->header_length > AT_COMPRESSION_TYPE)
		out->compression_type = head[AT_COMPRESSION_TYPE];
}

static bool
geom_of(const struct q2s_header *header, struct q2s_geom *out)
{
	const struct q2s_geom_params params = {
		.version = header->version,
		.cluster_bits = header->cluster_bits,
		.refcount_order = header->refcount_order,
		.extended = header->incompatible_features & Q2S_INCOMPAT_EXTENDED_L2,
		.data_file = header->incompatible_features & Q2S_INCOMPAT_DATA_FILE,
		.size = header->size & ~(uint64_t)(Q2S_SECTOR - 1),
	};

	return q2s_geom_init(&params, out, NULL) == Q2S_OK;
}

static bool
is_operational(enum q2s_err err)
{
	return q2s_err_class(err) == Q2S_CLASS_IO && err != Q2S_E_SHORT;
}

static enum q2s_err
open_parts(struct subject *subject, enum subject_format format, struct q2s_diag *diag)
{
	enum q2s_err err = read_head(subject, HEAD_UNKNOWN, diag);

	if (err != Q2S_OK || format == SUBJECT_RAW)
		return err;
	subject->is_qcow2 = q2si_get_be32(subject->head) == Q2S_MAGIC;
	if (!subject->is_qcow2 && format == SUBJECT_PROBE)
		return Q2S_OK;
	if (!subject->is_qcow2)
		return q2s_header_decode(subject->head, subject->head_read, &subject->header, diag);
	header_as_stored(subject->head, &subject->header);
	subject->has_geom = geom_of(&subject->header, &subject->geom);
	if (subject->has_geom) {
		err = read_head(subject, subject->geom.cluster_size, diag);
		if (err != Q2S_OK)
			return err;
	}
	err = q2s_image_open(subject->file, Q2S_IMAGE_DAMAGED, &subject->image, &subject->fault);
	if (!is_operational(err))
		return Q2S_OK;
	*diag = subject->fault;
	return err;
}

enum q2s_err
subject_open(const char *name, enum subject_format format, struct subject *out,
	     struct q2s_diag *diag)
{
	enum q2s_err err;

	*out = (struct subject){ .name = name };
	err = q2s_file_open(name, &out->file, diag);
	if (err == Q2S_OK)
		err = open_parts(out, format, diag);
	if (err != Q2S_OK)
		subject_close(out);
	return err;
}

enum q2s_err
subject_open_sound(const char *name, enum subject_format format, struct subject *out,
		   struct q2s_diag *diag)
{
	const enum q2s_err err = subject_open(name, format, out, diag);

	if (err != Q2S_OK || out->fault.err == Q2S_OK)
		return err;
	*diag = out->fault;
	subject_close(out);
	return diag->err;
}

enum q2s_err
subject_open_image(const char *name, struct subject *out, struct q2s_diag *diag)
{
	return subject_open_sound(name, SUBJECT_QCOW2, out, diag);
}

void
subject_close(struct subject *subject)
{
	q2s_image_close(subject->image);
	q2s_file_close(subject->file);
	free(subject->head);
	*subject = (struct subject){ 0 };
}
