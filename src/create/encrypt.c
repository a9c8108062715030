/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "create/encrypt.h"

#include "common/fault.h"

static bool
writes_kind(const struct spec_list *writes, enum region_kind kind)
{
	for (size_t i = 0; i < writes->count; i++)
		if (writes->items[i].kind == kind)
			return true;
	return false;
}

enum q2s_err
encrypt_check(const struct create_options *options, struct q2s_diag *diag)
{
	const struct image_options *const image = &options->image;
	const enum q2s_err err = encryption_check(image, diag);

	if (err != Q2S_OK)
		return err;
	if (!image->encrypt.luks)
		return options->key_file ? fault(diag, Q2S_E_CONFLICT, "--key-file",
						 "needs -o encrypt.format=luks") :
					   Q2S_OK;
	if (!options->key_file)
		return fault(diag, Q2S_E_CONFLICT, "encrypt.format",
			     "needs a passphrase: --key-file");
	if (image->data_file && (options->writes.count > 0 ||
				 image->preallocation != IMAGE_PREALLOCATION_OFF))
		return fault(diag, Q2S_E_UNSUPPORTED, "data_file",
			     "with encryption it can only be made empty");
	if (writes_kind(&options->writes, REGION_COMPRESSED))
		return fault(diag, Q2S_E_CONFLICT, "--write",
			     "compressed clusters of an encrypted image would not be encrypted");
	return Q2S_OK;
}

enum q2s_err
encrypt_make(const struct create_options *options, struct q2s_spec *spec, struct encryption *out,
	     struct q2s_diag *diag)
{
	struct key_file key = { 0 };
	enum q2s_err err;

	if (!options->image.encrypt.luks)
		return Q2S_OK;
	err = key_file_read(options->key_file, &key, diag);
	if (err == Q2S_OK)
		err = encryption_make(&options->image.encrypt, &key, options->key_file, spec, out,
				      diag);
	key_file_free(&key);
	return err;
}
