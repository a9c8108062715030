/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a name to guest content: what is it, and in which format? */
#include <string.h>

#include <q2s/disk.h>

#include "base/diag.h"
#include "base/options.h"
#include "image/image.h"

static enum q2s_err
refuse_snapshot(const struct q2s_disk_qcow2_options *qcow2, struct q2s_diag *diag)
{
	if (!qcow2 || !qcow2->snapshot)
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_USAGE, "snapshot", Q2S_NOWHERE,
			    "only a qcow2 image has snapshots");
}

/* What nobody named: the bytes decide, and what is surely no disk is none. */
static enum q2s_err
find_format(struct q2s_store *store, const char **out, struct q2s_diag *diag)
{
	const struct q2s_container *const container = q2s_container_probe(store);

	*out = q2s_image_probe(store) ? "qcow2" : "raw";
	if (!container)
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "format", Q2S_NOWHERE,
			    "it begins as a %s file, and no format was named", container->name);
}

static enum q2s_err
open_raw(struct q2s_store *store, const struct q2s_disk_qcow2_options *qcow2,
	 struct q2s_disk **out, struct q2s_diag *diag)
{
	Q2SI_TRY(refuse_snapshot(qcow2, diag));
	Q2SI_TRY(q2si_lock_to_read(store, qcow2 && qcow2->force_share, diag));
	return q2s_disk_raw(store, out, diag);
}

static enum q2s_err
open_store(struct q2s_store *store, const struct q2s_disk_open_options *options,
	   struct q2s_disk **out, struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options qcow2 = Q2S_DISK_QCOW2_OPTIONS_INIT;
	const char *format = options->format;

	Q2SI_TRY(q2si_options_copy(&qcow2, options->qcow2, diag));
	if (!format)
		Q2SI_TRY(find_format(store, &format, diag));
	if (strcmp(format, "qcow2") == 0)
		return q2s_disk_qcow2(store, &qcow2, out, diag);
	if (strcmp(format, "raw") == 0)
		return open_raw(store, &qcow2, out, diag);
	return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "format", Q2S_NOWHERE,
			    "'%.32s' is neither qcow2 nor raw", format);
}

enum q2s_err
q2s_disk_open_store(struct q2s_store *store, const struct q2s_disk_open_options *given,
		    struct q2s_disk **out, struct q2s_diag *diag)
{
	struct q2s_disk_open_options options = Q2S_DISK_OPEN_OPTIONS_INIT;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	return open_store(store, &options, out, diag);
}

/* An export is the raw disk that it shows. */
static enum q2s_err
open_nbd(const char *uri, const struct q2s_disk_open_options *options, struct q2s_disk **out,
	 struct q2s_diag *diag)
{
	const struct q2s_disk_nbd_options nbd = { .size = sizeof(nbd), .uri = uri };

	if (options->format && strcmp(options->format, "raw") != 0)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "format", Q2S_NOWHERE,
				    "an NBD export is read as the raw disk that it shows");
	Q2SI_TRY(refuse_snapshot(options->qcow2, diag));
	return q2s_disk_nbd(&nbd, out, diag);
}

enum q2s_err
q2s_disk_open(const char *name, const struct q2s_disk_open_options *given, struct q2s_disk **out,
	      struct q2s_diag *diag)
{
	struct q2s_disk_open_options options = Q2S_DISK_OPEN_OPTIONS_INIT;
	struct q2s_store *store;
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	if (q2s_nbd_is_uri(name))
		return open_nbd(name, &options, out, diag);
	Q2SI_TRY(q2s_store_open_any(name, options.http, &store, diag));
	err = q2s_disk_open_store(store, &options, out, diag);
	q2s_store_unref(store);
	return err;
}
