/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/encryption.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/utf8.h"

enum q2s_err
encryption_check(const struct image_options *image, struct q2s_diag *diag)
{
	if (image->encrypt.any && !image->encrypt.luks)
		return fault(diag, Q2S_E_CONFLICT, "encrypt.format",
			     "is missing, though other encrypt options are given");
	if (!image->encrypt.luks)
		return Q2S_OK;
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
encryption_make(const struct encrypt_options *options, const struct key_file *key,
		const char *path, struct q2s_spec *spec, struct encryption *out,
		struct q2s_diag *diag)
{
	enum q2s_err err = fault_in(diag, check_text(key, diag), path);

	if (err == Q2S_OK)
		err = create(options, key, spec, out, diag);
	return err == Q2S_OK ? q2s_spec_check(spec, diag) : err;
}

void
encryption_free(struct encryption *encryption)
{
	q2s_crypt_close(encryption->crypt);
	free(encryption->area);
	*encryption = (struct encryption){ 0 };
}
