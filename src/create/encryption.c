/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "create/encryption.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/key_file.h"
#include "common/utf8.h"

static bool
writes_kind(const struct spec_list *writes, enum region_kind kind)
{
	for (size_t i = 0; i < writes->count; i++)
		if (writes->items[i].kind == kind)
			return true;
	return false;
}

enum q2s_err
encryption_check(const struct create_options *options, struct q2s_diag *diag)
{
	const struct image_options *image = &options->image;

	if (image->encrypt.any && !image->encrypt.luks)
		return fault(diag, Q2S_E_CONFLICT, "encrypt.format",
			     "is missing, though other encrypt options are given");
	if (!image->encrypt.luks)
		return options->key_file ? fault(diag, Q2S_E_CONFLICT, "--key-file",
						 "needs -o encrypt.format=luks") :
					   Q2S_OK;
	if (!options->key_file)
		return fault(diag, Q2S_E_CONFLICT, "encrypt.format",
			     "needs a passphrase: --key-file");
	if (image->encrypt.iter_time > UINT32_MAX)
		return fault(diag, Q2S_E_USAGE, "encrypt.iter-time",
			     "%" PRIu64 " is too large", image->encrypt.iter_time);
	if (image->version == 2 && image->preallocation != IMAGE_PREALLOCATION_OFF)
		return fault(diag, Q2S_E_CONFLICT, "preallocation",
			     "of an encrypted image needs compat=v3 (1.1): what is not written yet "
			     "would be noise for the guest");
	if (image->data_file_raw)
		return fault(diag, Q2S_E_CONFLICT, "data_file_raw",
			     "an encrypted data file is no raw image");
	if (image->data_file && (options->writes.count > 0 ||
				 image->preallocation != IMAGE_PREALLOCATION_OFF))
		return fault(diag, Q2S_E_UNSUPPORTED, "data_file",
			     "with encryption it can only be made empty");
	if (writes_kind(&options->writes, REGION_COMPRESSED))
		return fault(diag, Q2S_E_CONFLICT, "--write",
			     "compressed clusters of an encrypted image would not be encrypted");
	return Q2S_OK;
}

/* QEMU's secrets are text: another passphrase would make an image that it cannot open. */
static enum q2s_err
check_text(const struct key_file *key, struct q2s_diag *diag)
{
	for (size_t at = 0, n; at < key->len; at += n) {
		uint32_t code = 0;

		n = utf8_decode(key->bytes + at, key->len - at, &code);
		if (n == 0 || code == 0)
			return fault(diag, Q2S_E_UNSUPPORTED, "key file",
				     "is no text in UTF-8 (at byte %zu); QEMU could not open the "
				     "image", at);
	}
	return Q2S_OK;
}

static enum q2s_err
create(const struct encrypt_options *options, const struct key_file *key, struct q2s_spec *spec,
       struct encryption *out, struct q2s_diag *diag)
{
	const char *const dash = strchr(options->cipher, '-');
	const bool essiv = strcmp(options->ivgen, "essiv") == 0;
	const bool xts = strcmp(options->mode, "xts") == 0;
	char name[Q2S_LUKS_NAME_SIZE], mode[Q2S_LUKS_NAME_SIZE];
	const struct q2s_luks_params params = {
		.cipher_name = name,
		.cipher_mode = mode,
		.hash = options->hash,
		.key_bytes = (uint32_t)strtoul(dash + 1, NULL, 10) / 8 * (xts ? 2 : 1),
		.iter_time = (uint32_t)options->iter_time,
	};
	size_t len;
	enum q2s_err err;

	snprintf(name, sizeof(name), "%.*s", (int)(dash - options->cipher), options->cipher);
	snprintf(mode, sizeof(mode), "%s-%s%s%s", options->mode, options->ivgen, essiv ? ":" : "",
		 !essiv ? "" : options->ivgen_hash ? options->ivgen_hash : "sha256");
	err = q2s_luks_create(&params, key->bytes, key->len, &out->crypt, &out->area, &len, diag);
	if (err == Q2S_OK)
		spec->luks = (struct q2s_bytes){ out->area, len };
	return err;
}

enum q2s_err
encryption_make(const struct create_options *options, struct q2s_spec *spec,
		struct encryption *out, struct q2s_diag *diag)
{
	struct key_file key = { 0 };
	enum q2s_err err;

	if (!options->image.encrypt.luks)
		return Q2S_OK;
	err = key_file_read(options->key_file, &key, diag);
	if (err == Q2S_OK)
		err = fault_in(diag, check_text(&key, diag), options->key_file);
	if (err == Q2S_OK)
		err = create(&options->image.encrypt, &key, spec, out, diag);
	key_file_free(&key);
	if (err == Q2S_OK)
		err = q2s_spec_check(spec, diag);
	return err;
}

void
encryption_free(struct encryption *encryption, struct q2s_spec *spec)
{
	q2s_crypt_close(encryption->crypt);
	free(encryption->area);
	spec->luks = (struct q2s_bytes){ 0 };
	*encryption = (struct encryption){ 0 };
}
