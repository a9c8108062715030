/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoding the LUKS header. No cryptography: nothing here needs or touches a key. */
#include "inspect/luks.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "common/fault.h"

#define SECTOR 512u
#define SLOT_ACTIVE 0x00ac71f3u
#define SLOT_INACTIVE 0x0000deadu

enum {
	AT_LUKS_VERSION = 6,
	AT_CIPHER_NAME = 8,
	AT_CIPHER_MODE = 40,
	AT_HASH = 72,
	AT_PAYLOAD = 104,
	AT_KEY_BYTES = 108,
	AT_MASTER_DIGEST = 112,
	AT_MASTER_SALT = 132,
	AT_MASTER_ITERATIONS = 164,
	AT_UUID = 168,
};

enum {
	AT_SLOT_STATE = 0,
	AT_SLOT_ITERATIONS = 4,
	AT_SLOT_SALT = 8,
	AT_SLOT_KEY = 40,
	AT_SLOT_STRIPES = 44,
};

const struct luks_field luks_fields[] = {
	{ 0, 6, "magic" },
	{ AT_LUKS_VERSION, 2, "version" },
	{ AT_CIPHER_NAME, 32, "cipher-name" },
	{ AT_CIPHER_MODE, 32, "cipher-mode" },
	{ AT_HASH, 32, "hash-spec" },
	{ AT_PAYLOAD, 4, "payload-offset" },
	{ AT_KEY_BYTES, 4, "key-bytes" },
	{ AT_MASTER_DIGEST, 20, "mk-digest" },
	{ AT_MASTER_SALT, 32, "mk-digest-salt" },
	{ AT_MASTER_ITERATIONS, 4, "mk-digest-iter" },
	{ AT_UUID, 40, "uuid" },
};
const size_t luks_field_count = sizeof(luks_fields) / sizeof(luks_fields[0]);

const struct luks_field luks_slot_fields[] = {
	{ AT_SLOT_STATE, 4, "active" },    { AT_SLOT_ITERATIONS, 4, "iterations" },
	{ AT_SLOT_SALT, 32, "salt" },      { AT_SLOT_KEY, 4, "key-material-offset" },
	{ AT_SLOT_STRIPES, 4, "stripes" },
};
const size_t luks_slot_field_count = sizeof(luks_slot_fields) / sizeof(luks_slot_fields[0]);

static void
copy_name(char *to, const uint8_t *from, size_t len)
{
	memcpy(to, from, len);
	to[len] = '\0';
}

static enum q2s_err
slot_decode(const uint8_t *raw, q2s_host at, struct luks_slot *out, struct q2s_diag *diag)
{
	const uint32_t state = q2si_get_be32(raw + AT_SLOT_STATE);

	if (state != SLOT_ACTIVE && state != SLOT_INACTIVE) {
		fault(diag, Q2S_E_CRYPTO, "LUKS key slot", "neither active nor inactive");
		if (diag)
			diag->at = at;
		return Q2S_E_CRYPTO;
	}
	out->active = state == SLOT_ACTIVE;
	out->iterations = q2si_get_be32(raw + AT_SLOT_ITERATIONS);
	out->stripes = q2si_get_be32(raw + AT_SLOT_STRIPES);
	out->key_offset = (uint64_t)q2si_get_be32(raw + AT_SLOT_KEY) * SECTOR;
	return Q2S_OK;
}

static enum q2s_err
check_magic(const uint8_t *raw, q2s_host at, struct q2s_diag *diag)
{
	static const uint8_t magic[] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };
	enum q2s_err err = Q2S_OK;

	if (memcmp(raw, magic, sizeof(magic)) != 0)
		err = fault(diag, Q2S_E_CRYPTO, "LUKS header", "wrong magic");
	else if (q2si_get_be16(raw + AT_LUKS_VERSION) != 1)
		err = fault(diag, Q2S_E_UNSUPPORTED, "LUKS header", "version %u instead of 1",
			    q2si_get_be16(raw + AT_LUKS_VERSION));
	if (err != Q2S_OK && diag)
		diag->at = at;
	return err;
}

enum q2s_err
luks_decode(const uint8_t *raw, q2s_host at, struct luks_header *out, struct q2s_diag *diag)
{
	struct luks_header header = { 0 };
	enum q2s_err err = check_magic(raw, at, diag);

	header.version = 1;
	copy_name(header.cipher_name, raw + AT_CIPHER_NAME, 32);
	copy_name(header.cipher_mode, raw + AT_CIPHER_MODE, 32);
	copy_name(header.hash, raw + AT_HASH, 32);
	copy_name(header.uuid, raw + AT_UUID, 40);
	header.payload_offset = (uint64_t)q2si_get_be32(raw + AT_PAYLOAD) * SECTOR;
	header.key_bytes = q2si_get_be32(raw + AT_KEY_BYTES);
	header.master_iterations = q2si_get_be32(raw + AT_MASTER_ITERATIONS);
	for (uint32_t i = 0; i < LUKS_SLOTS && err == Q2S_OK; i++) {
		const uint32_t slot = LUKS_SLOTS_AT + i * LUKS_SLOT_SIZE;

		err = slot_decode(raw + slot, (q2s_host){ at.v + slot }, &header.slots[i], diag);
	}
	if (err == Q2S_OK)
		*out = header;
	return err;
}

/* The part of @text before @mark into @head, the part behind it into @tail (empty without it). */
static void
cut(const char *text, char mark, char head[LUKS_NAME], char tail[LUKS_NAME])
{
	const char *const at = strchr(text, mark);
	const size_t len = at ? (size_t)(at - text) : strlen(text);

	memcpy(head, text, len);
	head[len] = '\0';
	strcpy(tail, at ? at + 1 : "");
}

void
luks_words(const struct luks_header *header, struct luks_words *out)
{
	char iv[LUKS_NAME];
	uint32_t bits = header->key_bytes;

	cut(header->cipher_mode, '-', out->mode, iv);
	cut(iv, ':', out->ivgen, out->ivhash);
	if (strcmp(out->mode, "xts") == 0)
		bits /= 2; /* half of an XTS key is for the tweak */
	snprintf(out->alg, sizeof(out->alg), "%s-%llu", header->cipher_name,
		 (unsigned long long)bits * 8);
}
