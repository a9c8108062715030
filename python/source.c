/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening what is read. */
#include "module.h"

#include <stdio.h>
#include <string.h>

/* A file in a format that is not read would be taken for a raw disk. */
static enum q2s_err
refuse_container(struct q2s_store *file, struct q2s_diag *diag)
{
	const struct q2s_container *const container = q2s_container_probe(file);
	char text[Q2S_DIAG_TEXT];

	if (!container)
		return Q2S_OK;
	snprintf(text, sizeof(text),
		 "it is %s, and no raw disk; format='raw' takes it for one all the same",
		 container->name);
	return error_fill(diag, Q2S_E_UNSUPPORTED, "format", text);
}

enum q2s_err
source_file(const struct source *source, struct q2s_store **out, struct q2s_diag *diag)
{
	enum q2s_err err = q2s_store_open(source->name, out, diag);

	if (err != Q2S_OK)
		return err;
	if (!source->format)
		err = refuse_container(*out, diag);
	if (err == Q2S_OK && !source->force_share)
		err = q2s_store_lock(*out, Q2S_LOCK_CONSISTENT_READ,
				     Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE, diag);
	if (err != Q2S_OK)
		q2s_store_unref(*out);
	return err;
}

enum q2s_err
source_chain(const struct source *source, struct q2s_chain **out, struct q2s_diag *diag)
{
	const struct q2s_chain_options how = {
		.size = sizeof(how),
		.format = source->format,
		.follow = (enum q2s_follow)source->follow,
		.partial = source->follow == Q2S_FOLLOW_NONE,
		.force_share = source->force_share,
	};
	struct q2s_store *file;
	enum q2s_err err = source_file(source, &file, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_chain_open(file, &how, out, diag);
	q2s_store_unref(file);
	return err;
}

static enum q2s_err
open_disk(const struct source *source, struct q2s_store *file, struct q2s_disk **out,
	  struct q2s_diag *diag)
{
	const struct q2s_disk_qcow2_options how = {
		.size = sizeof(how),
		.follow = (enum q2s_follow)source->follow,
		.force_share = source->force_share,
		.snapshot = source->snapshot,
		.key = (const uint8_t *)source->key,
		.key_len = (size_t)source->key_len,
	};

	if (source->format ? strcmp(source->format, "qcow2") == 0 : q2s_image_probe(file))
		return q2s_disk_qcow2(file, &how, out, diag);
	if (source->snapshot)
		return error_fill(diag, Q2S_E_USAGE, "snapshot", "only qcow2 images have them");
	return q2s_disk_raw(file, out, diag);
}

enum q2s_err
source_disk(const struct source *source, struct q2s_disk **out, struct q2s_diag *diag)
{
	const struct q2s_disk_nbd_options nbd = { .size = sizeof(nbd), .uri = source->name };
	struct q2s_store *file;
	enum q2s_err err;

	if (q2s_nbd_is_uri(source->name))
		return q2s_disk_nbd(&nbd, out, diag);
	err = source_file(source, &file, diag);
	if (err != Q2S_OK)
		return err;
	err = open_disk(source, file, out, diag);
	q2s_store_unref(file);
	return err;
}
