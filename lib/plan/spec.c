/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Would QEMU accept such an image? */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "plan/plan.h"

enum q2s_err
q2s_spec_init(struct q2s_spec *spec, uint64_t size, struct q2s_diag *diag)
{
	const struct q2s_geom_params params = {
		.version = 3,
		.cluster_bits = Q2S_CLUSTER_BITS_DEFAULT,
		.refcount_order = Q2S_REFCOUNT_ORDER_DEFAULT,
		.size = size,
	};

	*spec = (struct q2s_spec){ 0 };
	return q2s_geom_init(&params, &spec->geom, diag);
}

struct q2s_slot
q2s_spec_space(const struct q2s_spec *spec)
{
	const bool visible = !spec->geom.extended || spec->data_file_raw;
	const uint32_t mask = visible ? spec->geom.sub_mask : 0;

	if (spec->luks.data)
		return (struct q2s_slot){ .host = true, .zero = mask };
	return (struct q2s_slot){ .host = true, .alloc = mask };
}

static enum q2s_err
conflict(struct q2s_diag *diag, const char *what, const char *why)
{
	return q2si_fail_at(diag, Q2S_E_CONFLICT, what, Q2S_NOWHERE, "%s", why);
}

static enum q2s_err
check_version(const struct q2s_spec *spec, struct q2s_diag *diag)
{
	if (spec->geom.version >= 3)
		return Q2S_OK;
	if (spec->lazy_refcounts)
		return conflict(diag, "lazy_refcounts", "needs version 3");
	if (spec->compression_type != Q2S_COMPRESSION_ZLIB)
		return conflict(diag, "compression_type", "zstd needs version 3");
	if (spec->bitmap_count)
		return conflict(diag, "bitmap", "needs version 3");
	if (!q2s_id_is_none(&spec->mark.id))
		return conflict(diag, "mark", "needs version 3");
	return Q2S_OK;
}

/* The content of a data file can change without a word in the image. */
static enum q2s_err
check_mark(const struct q2s_spec *spec, struct q2s_diag *diag)
{
	const struct q2s_mark *const mark = &spec->mark;

	if (q2s_id_is_none(&mark->id))
		return q2s_id_is_none(&mark->parent) ?
			       Q2S_OK :
			       q2si_fail_at(diag, Q2S_E_USAGE, "mark", Q2S_NOWHERE,
					    "a parent, but no id");
	if (q2s_id_equal(&mark->id, &mark->parent))
		return conflict(diag, "mark", "the layer would be its own parent");
	if (spec->geom.data_file)
		return conflict(diag, "mark", "says nothing of what is in an external data file");
	return Q2S_OK;
}

static enum q2s_err
check_data_file(const struct q2s_spec *spec, struct q2s_diag *diag)
{
	if (!spec->geom.data_file && (spec->data_file_raw || spec->data_file_name.data))
		return conflict(diag, "data_file_raw", "needs an external data file");
	if (spec->data_file_raw && spec->backing_name.data)
		return conflict(diag, "data_file_raw", "excludes a backing file");
	if (spec->data_file_raw && spec->luks.data)
		return conflict(diag, "data_file_raw", "excludes encryption");
	return Q2S_OK;
}

static enum q2s_err
check_backing(const struct q2s_spec *spec, struct q2s_diag *diag)
{
	if (spec->backing_format.data && !spec->backing_name.data)
		return conflict(diag, "backing_fmt", "needs a backing file");
	if (spec->backing_name.data && spec->backing_name.len == 0)
		return q2si_fail_at(diag, Q2S_E_USAGE, "backing_file", Q2S_NOWHERE,
				    "the name is empty");
	if (spec->backing_name.len > Q2S_BACKING_NAME_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "backing_file", Q2S_NOWHERE,
				 spec->backing_name.len, "the name is longer than %u bytes",
				 Q2S_BACKING_NAME_MAX);
	if (spec->backing_format.len > Q2S_FORMAT_NAME_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "backing_fmt", Q2S_NOWHERE,
				 spec->backing_format.len, "the name is longer than %u bytes",
				 Q2S_FORMAT_NAME_MAX);
	return Q2S_OK;
}

enum q2s_err
q2s_spec_check(const struct q2s_spec *spec, struct q2s_diag *diag)
{
	/* Any place will do to see whether the names fit. */
	const struct q2s_layout layout = {
		.refcount_table = { spec->geom.cluster_size },
		.refcount_table_clusters = 1,
		.l1 = { (uint64_t)2 * spec->geom.cluster_size },
		.luks = { (uint64_t)3 * spec->geom.cluster_size },
	};
	Q2SI_AUTO_FREE uint8_t *scratch = NULL;

	Q2SI_TRY(check_version(spec, diag));
	Q2SI_TRY(check_data_file(spec, diag));
	Q2SI_TRY(check_backing(spec, diag));
	Q2SI_TRY(check_mark(spec, diag));
	Q2SI_TRY(q2si_bitmaps_check(spec, diag));
	if (spec->compression_type > Q2S_COMPRESSION_ZSTD)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "compression_type", Q2S_NOWHERE,
				 spec->compression_type, "unknown");
	scratch = malloc(spec->geom.cluster_size);
	if (!scratch)
		return q2si_fail_nomem(diag, "header cluster");
	return q2si_header_cluster(spec, &layout, scratch, diag);
}
