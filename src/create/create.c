/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One new image, from options to the finished file. */
#include "create/create.h"

#include "common/fault.h"
#include "create/encryption.h"
#include "create/references.h"
#include "create/write.h"

enum q2s_err
create_image(struct create_options *options, struct q2s_spec *spec, struct q2s_diag *diag)
{
	struct encryption encryption = { 0 };
	enum q2s_err err = encryption_check(options, diag);

	if (err == Q2S_OK)
		err = references_data_file(options, diag);
	if (err == Q2S_OK)
		err = references_backing(options, diag);
	if (err == Q2S_OK)
		err = image_options_spec(&options->image, options->image.size, spec, diag);
	if (err == Q2S_OK && !options->image.has_size)
		err = fault(diag, Q2S_E_USAGE, "SIZE", "is missing%s",
			    options->image.backing_file ? "; -u does not look at the backing file"
							: "");
	if (err == Q2S_OK)
		err = encryption_make(options, spec, &encryption, diag);
	if (err == Q2S_OK)
		err = write_image(options, spec, encryption.crypt, diag);
	encryption_free(&encryption, spec);
	return err;
}
