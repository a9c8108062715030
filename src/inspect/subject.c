/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a file for inspection, also where the library refuses it. */
#include "inspect/subject.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "common/fault.h"

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
	q2s_header_as_stored(subject->head, &subject->header);
	subject->has_geom = q2s_header_geom(&subject->header, &subject->geom, NULL) == Q2S_OK;
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
