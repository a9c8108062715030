/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One new image, from options to the finished file. */
#include "create/create.h"

#include "common/fault.h"
#include "common/guard.h"
#include "create/encrypt.h"
#include "create/references.h"
#include "create/write.h"

/* Their default granularity follows the cluster size, which is known by now. */
static enum q2s_err
add_bitmaps(struct create_options *options, struct q2s_spec *spec, struct q2s_diag *diag)
{
	struct bitmap_options *bitmaps = &options->bitmaps;

	for (size_t i = 0; i < bitmaps->count; i++)
		if (bitmaps->list[i].granularity_bits == 0)
			bitmaps->list[i].granularity_bits = bitmap_default_granularity(&spec->geom);
	spec->bitmaps = bitmaps->list;
	spec->bitmap_count = bitmaps->count;
	return q2s_spec_check(spec, diag);
}

/* Zero clusters are what the oldest readers take for data, so the profile has none. */
static enum q2s_err
check_portable(const struct create_options *options, struct q2s_diag *diag)
{
	for (size_t i = 0; options->image.portable && i < options->writes.count; i++) {
		const struct region *const region = &options->writes.items[i];

		if (region->kind == REGION_ZERO || region->kind == REGION_ZERO_ALLOC)
			return spec_fault(diag, Q2S_E_CONFLICT, region,
					  "makes zero clusters, which profile=portable has not; "
					  "what is not written is zero too");
	}
	return Q2S_OK;
}

enum q2s_err
create_image(struct create_options *options, struct q2s_spec *spec, struct q2s_diag *diag)
{
	struct encryption encryption = { 0 };
	enum q2s_err err;

	err = guard_read_path(options->key_file, diag);
	if (err == Q2S_OK)
		err = encrypt_check(options, diag);
	if (err == Q2S_OK)
		err = references_data_file(options, diag);
	if (err == Q2S_OK)
		err = references_backing(options, diag);
	if (err == Q2S_OK)
		err = guard_output(options->file, "new image", diag);
	if (err == Q2S_OK && options->image.data_file)
		err = guard_output(options->image.data_file, "data_file", diag);
	if (err == Q2S_OK)
		err = image_options_spec(&options->image, options->image.size, spec, diag);
	if (err == Q2S_OK)
		err = check_portable(options, diag);
	if (err == Q2S_OK && !options->image.has_size)
		err = fault(diag, Q2S_E_USAGE, "SIZE", "is missing%s",
			    options->image.backing_file ? "; -u does not look at the backing file"
							: "");
	if (err == Q2S_OK)
		err = add_bitmaps(options, spec, diag);
	if (err == Q2S_OK)
		err = encrypt_make(options, spec, &encryption, diag);
	if (err == Q2S_OK)
		err = write_image(options, spec, encryption.crypt, diag);
	spec->luks = (struct q2s_bytes){ 0 };
	encryption_free(&encryption);
	return err;
}
