/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a file for inspection, also where the library refuses it. */
#include "inspect/subject.h"

#include <string.h>

#include <q2s/http.h>

#include "base/bytes.h"
#include "common/container.h"
#include "common/guard.h"
#include "common/url.h"
#include "common/open_source.h"

static enum q2s_err
open_parts(struct subject *subject, const char *format, struct q2s_diag *diag)
{
	uint8_t magic[4];
	enum q2s_err err =
		q2s_store_read_padded(subject->file, 0, magic, sizeof(magic), NULL, diag);

	if (err == Q2S_OK && !format)
		err = container_refuse(q2s_container_probe(subject->file), diag);
	if (err != Q2S_OK || (format && strcmp(format, "raw") == 0))
		return err;
	if (!format && q2si_get_be32(magic) != Q2S_MAGIC)
		return Q2S_OK;
	err = q2s_image_open(subject->file, Q2S_IMAGE_TOLERANT, &subject->opened, diag);
	if (err != Q2S_OK)
		return err;
	if (q2s_image_fault(subject->opened))
		subject->fault = *q2s_image_fault(subject->opened);
	else
		subject->image = subject->opened;
	subject->head = q2s_image_cluster0(subject->opened);
	subject->head_size = q2s_image_cluster0_size(subject->opened);
	subject->header = q2s_image_header(subject->opened);
	subject->has_geom = q2s_image_has_geom(subject->opened);
	subject->geom = q2s_image_geom(subject->opened);
	return Q2S_OK;
}

static enum q2s_err
lock(struct q2s_store *file, const struct options *options, struct q2s_diag *diag)
{
	if (options->force_share)
		return Q2S_OK;
	return q2s_store_lock(file, Q2S_LOCK_CONSISTENT_READ, Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE,
			      diag);
}

enum q2s_err
subject_open(const char *name, const struct options *options, struct subject *out,
	     struct q2s_diag *diag)
{
	enum q2s_err err;

	*out = (struct subject){ .name = name };
	err = url_explain(name, open_source(name, &out->file, diag), diag);
	if (err == Q2S_OK)
		err = lock(out->file, options, diag);
	if (err == Q2S_OK && q2s_store_is_remote(out->file))
		out->name = q2s_store_name(out->file); /* its query may be a signature */
	if (err == Q2S_OK)
		err = guard_read_store(out->file, diag);
	if (err == Q2S_OK)
		err = guard_output(NULL, "standard output", diag);
	if (err == Q2S_OK)
		err = open_parts(out, options->format, diag);
	if (err != Q2S_OK)
		subject_close(out);
	return err;
}

enum q2s_err
subject_open_sound(const char *name, const struct options *options, struct subject *out,
		   struct q2s_diag *diag)
{
	const enum q2s_err err = subject_open(name, options, out, diag);

	if (err != Q2S_OK || out->fault.err == Q2S_OK)
		return err;
	*diag = out->fault;
	subject_close(out);
	return diag->err;
}

enum q2s_err
subject_open_image(const char *name, const struct options *options, struct subject *out,
		   struct q2s_diag *diag)
{
	struct options as_qcow2 = *options;

	as_qcow2.format = "qcow2";
	return subject_open_sound(name, &as_qcow2, out, diag);
}

enum q2s_err
subject_chain(const struct subject *subject, const struct options *options, struct q2s_chain **out,
	      struct q2s_diag *diag)
{
	const struct q2s_chain_options how = {
		.size = sizeof(how),
		.format = subject->image ? "qcow2" : "raw",
		.follow = options->follow,
		.partial = true,
		.force_share = options->force_share,
	};

	enum q2s_err err = q2s_chain_open(subject->file, &how, out, diag);

	if (err != Q2S_OK)
		return err;
	err = guard_read_chain(*out, diag);
	if (err == Q2S_OK)
		err = guard_output(NULL, "standard output", diag);
	if (err != Q2S_OK) {
		q2s_chain_unref(*out);
		*out = NULL;
	}
	return err;
}

bool
data_range(const struct subject *subject, const struct q2s_table_entry *it, struct data_range *out)
{
	const struct q2s_comp_range sectors = q2s_comp_sectors(it->l2.comp_at, it->l2.comp_bytes);

	*out = it->l2.compressed ? (struct data_range){ sectors.first, sectors.bytes }
				 : (struct data_range){ it->l2.host, subject->geom->cluster_size };
	return it->has_to;
}

enum q2s_err
data_visit(const struct subject *subject, entry_visit visit, void *opaque, struct q2s_diag *diag)
{
	const struct q2s_walk_options how = { .size = sizeof(how),
					      .kinds = Q2S_WALK_KIND(Q2S_STRUCTURE_L2),
					      .entry = visit,
					      .opaque = opaque };

	return subject->geom->data_file ? Q2S_OK : q2s_walk(subject->opened, &how, diag);
}

void
subject_close(struct subject *subject)
{
	q2s_image_close(subject->opened);
	q2s_store_unref(subject->file);
	*subject = (struct subject){ 0 };
}
