/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The LUKS header. No cryptography: nothing here needs or touches a key. */
#include <stdio.h>
#include <string.h>

#include <q2s/format.h>

#include "base/bytes.h"
#include "base/diag.h"
#include "format/luks.h"

#define LUKS_VERSION 1u
#define SLOT_ACTIVE 0x00ac71f3u
#define SLOT_INACTIVE 0x0000deadu

const uint8_t q2si_luks_magic[Q2SI_LUKS_MAGIC_SIZE] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };

/* ---- decode ------------------------------------------------------------------------------ */

static void
text_get(char *to, const uint8_t *from, size_t len)
{
	memcpy(to, from, len);
	to[len] = '\0';
}

static enum q2s_err
slot_decode(const uint8_t *raw, q2s_host at, struct q2s_luks_slot *out, struct q2s_diag *diag)
{
	const uint32_t state = q2si_get_be32(raw + AT_SLOT_STATE);

	if (state != SLOT_ACTIVE && state != SLOT_INACTIVE)
		return q2si_fail(diag, Q2S_E_CRYPTO, "LUKS key slot", at, state,
				 "neither active nor inactive");
	out->active = state == SLOT_ACTIVE;
	out->iterations = q2si_get_be32(raw + AT_SLOT_ITERATIONS);
	out->stripes = q2si_get_be32(raw + AT_SLOT_STRIPES);
	out->key_offset = (uint64_t)q2si_get_be32(raw + AT_SLOT_KEY) * Q2S_SECTOR;
	memcpy(out->salt, raw + AT_SLOT_SALT, sizeof(out->salt));
	return Q2S_OK;
}

static enum q2s_err
start_check(const uint8_t *raw, q2s_host at, struct q2s_diag *diag)
{
	const uint16_t version = q2si_get_be16(raw + AT_LUKS_VERSION);

	if (memcmp(raw, q2si_luks_magic, sizeof(q2si_luks_magic)) != 0)
		return q2si_fail_at(diag, Q2S_E_CRYPTO, "LUKS header", at, "wrong magic");
	if (version != LUKS_VERSION)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "LUKS header",
				 (q2s_host){ at.v + AT_LUKS_VERSION }, version,
				 "version %u instead of 1", version);
	return Q2S_OK;
}

enum q2s_err
q2s_luks_decode(const uint8_t *raw, q2s_host at, struct q2s_luks *out, struct q2s_diag *diag)
{
	struct q2s_luks luks = { 0 };

	Q2SI_TRY(start_check(raw, at, diag));
	text_get(luks.cipher_name, raw + AT_LUKS_CIPHER_NAME, Q2S_LUKS_NAME_SIZE);
	text_get(luks.cipher_mode, raw + AT_LUKS_CIPHER_MODE, Q2S_LUKS_NAME_SIZE);
	text_get(luks.hash, raw + AT_LUKS_HASH, Q2S_LUKS_NAME_SIZE);
	text_get(luks.uuid, raw + AT_LUKS_UUID, Q2S_LUKS_UUID_SIZE);
	luks.payload_offset = (uint64_t)q2si_get_be32(raw + AT_LUKS_PAYLOAD) * Q2S_SECTOR;
	luks.key_bytes = q2si_get_be32(raw + AT_LUKS_KEY_BYTES);
	memcpy(luks.master_digest, raw + AT_LUKS_MASTER_DIGEST, sizeof(luks.master_digest));
	memcpy(luks.master_salt, raw + AT_LUKS_MASTER_SALT, sizeof(luks.master_salt));
	luks.master_iterations = q2si_get_be32(raw + AT_LUKS_MASTER_ITERATIONS);
	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS; i++) {
		const uint32_t slot = AT_LUKS_SLOTS + i * Q2S_LUKS_SLOT_SIZE;

		Q2SI_TRY(slot_decode(raw + slot, (q2s_host){ at.v + slot }, &luks.slots[i], diag));
	}
	*out = luks;
	return Q2S_OK;
}

/* ---- encode ------------------------------------------------------------------------------ */

static enum q2s_err
sectors_put(uint8_t *raw, uint64_t bytes, const char *what, struct q2s_diag *diag)
{
	if (bytes % Q2S_SECTOR != 0 || bytes / Q2S_SECTOR > UINT32_MAX)
		return q2si_fail(diag, Q2S_E_OFFSET, what, Q2S_NOWHERE, bytes,
				 "no multiple of 512 below 2^41");
	q2si_put_be32(raw, (uint32_t)(bytes / Q2S_SECTOR));
	return Q2S_OK;
}

static enum q2s_err
slot_encode(const struct q2s_luks_slot *slot, uint8_t *raw, struct q2s_diag *diag)
{
	q2si_put_be32(raw + AT_SLOT_STATE, slot->active ? SLOT_ACTIVE : SLOT_INACTIVE);
	q2si_put_be32(raw + AT_SLOT_ITERATIONS, slot->iterations);
	memcpy(raw + AT_SLOT_SALT, slot->salt, sizeof(slot->salt));
	q2si_put_be32(raw + AT_SLOT_STRIPES, slot->stripes);
	return sectors_put(raw + AT_SLOT_KEY, slot->key_offset, "LUKS key slot", diag);
}

enum q2s_err
q2s_luks_encode(const struct q2s_luks *in, uint8_t *raw, struct q2s_diag *diag)
{
	memcpy(raw + AT_LUKS_MAGIC, q2si_luks_magic, sizeof(q2si_luks_magic));
	q2si_put_be16(raw + AT_LUKS_VERSION, LUKS_VERSION);
	memcpy(raw + AT_LUKS_CIPHER_NAME, in->cipher_name, Q2S_LUKS_NAME_SIZE);
	memcpy(raw + AT_LUKS_CIPHER_MODE, in->cipher_mode, Q2S_LUKS_NAME_SIZE);
	memcpy(raw + AT_LUKS_HASH, in->hash, Q2S_LUKS_NAME_SIZE);
	Q2SI_TRY(sectors_put(raw + AT_LUKS_PAYLOAD, in->payload_offset, "LUKS payload offset",
			     diag));
	q2si_put_be32(raw + AT_LUKS_KEY_BYTES, in->key_bytes);
	memcpy(raw + AT_LUKS_MASTER_DIGEST, in->master_digest, sizeof(in->master_digest));
	memcpy(raw + AT_LUKS_MASTER_SALT, in->master_salt, sizeof(in->master_salt));
	q2si_put_be32(raw + AT_LUKS_MASTER_ITERATIONS, in->master_iterations);
	memcpy(raw + AT_LUKS_UUID, in->uuid, Q2S_LUKS_UUID_SIZE);
	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS; i++)
		Q2SI_TRY(slot_encode(&in->slots[i], raw + AT_LUKS_SLOTS + i * Q2S_LUKS_SLOT_SIZE,
				     diag));
	return Q2S_OK;
}

/* ---- what can be opened ------------------------------------------------------------------ */

static enum q2s_err
slot_check(const struct q2s_luks *luks, const struct q2s_luks_slot *slot, q2s_host at,
	   uint64_t length, struct q2s_diag *diag)
{
	static const char what[] = "LUKS key slot";
	const q2s_host key_at = { at.v + AT_SLOT_KEY };
	const uint64_t end = slot->key_offset + (uint64_t)luks->key_bytes * Q2S_LUKS_STRIPES;

	if (slot->iterations == 0)
		return q2si_fail(diag, Q2S_E_CRYPTO, what, (q2s_host){ at.v + AT_SLOT_ITERATIONS },
				 0, "no iterations");
	if (slot->stripes != Q2S_LUKS_STRIPES)
		return q2si_fail(diag, Q2S_E_CRYPTO, what, (q2s_host){ at.v + AT_SLOT_STRIPES },
				 slot->stripes, "other than %u stripes", Q2S_LUKS_STRIPES);
	if (slot->key_offset < Q2S_LUKS_SIZE)
		return q2si_fail(diag, Q2S_E_CRYPTO, what, key_at, slot->key_offset,
				 "its key material lies over the LUKS header");
	if (end > length)
		return q2si_fail(diag, Q2S_E_CRYPTO, what, key_at, slot->key_offset,
				 "its key material lies behind the end of the encryption header");
	if (end > luks->payload_offset)
		return q2si_fail(diag, Q2S_E_CRYPTO, what, key_at, slot->key_offset,
				 "its key material lies over the payload");
	return Q2S_OK;
}

enum q2s_err
q2s_luks_check(const struct q2s_luks *luks, q2s_host at, uint64_t length, struct q2s_diag *diag)
{
	if (luks->key_bytes == 0 || luks->key_bytes > Q2S_LUKS_KEY_MAX)
		return q2si_fail(diag, Q2S_E_CRYPTO, "LUKS key-bytes",
				 (q2s_host){ at.v + AT_LUKS_KEY_BYTES }, luks->key_bytes,
				 "not in 1..%u", Q2S_LUKS_KEY_MAX);
	if (luks->master_iterations == 0)
		return q2si_fail(diag, Q2S_E_CRYPTO, "LUKS mk-digest-iter",
				 (q2s_host){ at.v + AT_LUKS_MASTER_ITERATIONS }, 0,
				 "no iterations");
	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS; i++) {
		const q2s_host slot = { at.v + AT_LUKS_SLOTS + i * Q2S_LUKS_SLOT_SIZE };

		if (luks->slots[i].active)
			Q2SI_TRY(slot_check(luks, &luks->slots[i], slot, length, diag));
	}
	return Q2S_OK;
}

/* ---- QEMU's words ------------------------------------------------------------------------ */

/* The part of @text before @mark into @head, the part behind it into @tail (empty without it). */
static void
cut(const char *text, char mark, char *head, char *tail)
{
	const char *const at = strchr(text, mark);
	const size_t len = at ? (size_t)(at - text) : strlen(text);

	memcpy(head, text, len);
	head[len] = '\0';
	strcpy(tail, at ? at + 1 : "");
}

void
q2s_luks_words(const struct q2s_luks *luks, struct q2s_luks_words *out)
{
	char iv[Q2S_LUKS_NAME_SIZE + 1];
	uint32_t bytes = luks->key_bytes;

	cut(luks->cipher_mode, '-', out->mode, iv);
	cut(iv, ':', out->ivgen, out->ivhash);
	if (strcmp(out->mode, "xts") == 0)
		bytes /= 2; /* half of an XTS key is for the tweak */
	snprintf(out->alg, sizeof(out->alg), "%s-%llu", luks->cipher_name,
		 (unsigned long long)bytes * 8);
}
