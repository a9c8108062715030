/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trying the key slots of a LUKS header, at a cost that is bounded whatever it says. */
#include "crypt/luks.h"

#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "crypt/split.h"
#include "format/luks.h"

/* What all slots share: the header, what it names, and what was spent on it so far. */
struct lock {
	const struct q2s_crypt_place *place;
	struct q2s_luks luks;
	struct q2si_cipher_spec spec;
	int hash;
	const void *key;
	size_t key_len;
	uint64_t iterations;
	unsigned tried;
	uint8_t *material; /* room for that of one slot */
	size_t material_len;
};

/* Read @len bytes of @what, @offset bytes into the encryption header. */
static enum q2s_err
part_read(struct lock *lock, uint64_t offset, uint8_t *buf, size_t len, const char *what,
	  struct q2s_diag *diag)
{
	struct q2s_store *file = lock->place->file;
	const q2s_host at = { lock->place->header.offset.v + offset };

	if (at.v > q2s_store_size(file) || len > q2s_store_size(file) - at.v)
		return q2si_fail(diag, Q2S_E_TRUNCATED, what, at, len,
				 "these bytes lie past the end of the file");
	return q2s_store_read(file, at.v, buf, len, diag);
}

static enum q2s_err
header_read(struct lock *lock, struct q2s_diag *diag)
{
	const struct q2s_ext_crypto *header = &lock->place->header;
	uint8_t raw[Q2S_LUKS_SIZE];

	if (header->length < sizeof(raw))
		return q2si_fail(diag, Q2S_E_CRYPTO, "encryption header length", header->offset,
				 header->length, "less than a LUKS header");
	Q2SI_TRY(part_read(lock, 0, raw, sizeof(raw), "LUKS header", diag));
	Q2SI_TRY(q2s_luks_decode(raw, header->offset, &lock->luks, diag));
	Q2SI_TRY(q2s_luks_check(&lock->luks, header->offset, header->length, diag));
	Q2SI_TRY(q2si_hash_find(&lock->luks, header->offset, &lock->hash, diag));
	return q2si_cipher_find(&lock->luks, header->offset, &lock->spec, diag);
}

enum q2s_err
q2si_luks_derive(int hash, const void *secret, size_t secret_len, const uint8_t *salt,
		 uint32_t iterations, uint8_t *out, size_t len, struct q2s_diag *diag)
{
	const gcry_error_t error =
		q2si_gcrypt.kdf_derive(secret, secret_len, GCRY_KDF_PBKDF2, hash, salt,
				       Q2S_LUKS_SALT_SIZE, iterations, len, out);

	return error == 0 ? Q2S_OK :
			    q2si_gcrypt_fail(diag, error, "PBKDF2",
					     q2si_gcrypt.md_algo_name(hash));
}

/* Both derivations of a slot cost what the header says; together all are bounded. */
static enum q2s_err
pay(struct lock *lock, uint32_t index, struct q2s_diag *diag)
{
	const uint32_t at = AT_LUKS_SLOTS + index * Q2S_LUKS_SLOT_SIZE + AT_SLOT_ITERATIONS;
	const struct q2s_luks_slot *slot = &lock->luks.slots[index];
	const uint64_t start = lock->place->header.offset.v;

	lock->iterations += lock->luks.master_iterations;
	if (lock->iterations > Q2S_LUKS_ITERATIONS_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "LUKS mk-digest-iter",
				 (q2s_host){ start + AT_LUKS_MASTER_ITERATIONS },
				 lock->luks.master_iterations,
				 "opening the image would cost more than %u iterations of PBKDF2",
				 Q2S_LUKS_ITERATIONS_MAX);
	lock->iterations += slot->iterations;
	if (lock->iterations > Q2S_LUKS_ITERATIONS_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "LUKS key slot", (q2s_host){ start + at },
				 slot->iterations,
				 "opening the image would cost more than %u iterations of PBKDF2",
				 Q2S_LUKS_ITERATIONS_MAX);
	return Q2S_OK;
}

/* The key material of @slot, decrypted with @slot_key and merged into a candidate. */
static enum q2s_err
candidate_read(struct lock *lock, const struct q2s_luks_slot *slot, const uint8_t *slot_key,
	       uint8_t *candidate, struct q2s_diag *diag)
{
	struct q2si_sectors sectors = { 0 };
	enum q2s_err err = part_read(lock, slot->key_offset, lock->material, lock->material_len,
				     "LUKS key material", diag);

	if (err == Q2S_OK)
		err = q2si_sectors_open(&lock->spec, slot_key, &sectors, diag);
	if (err == Q2S_OK)
		err = q2si_sectors_decrypt(&sectors, 0, lock->material, lock->material_len, diag);
	q2si_sectors_close(&sectors);
	if (err == Q2S_OK)
		q2si_split_merge(lock->hash, lock->material, lock->spec.key_bytes,
				 Q2S_LUKS_STRIPES, candidate);
	explicit_bzero(lock->material, lock->material_len);
	return err;
}

/* Does @candidate have the digest of the master key? */
static enum q2s_err
candidate_judge(const struct lock *lock, const uint8_t *candidate, bool *right,
		struct q2s_diag *diag)
{
	uint8_t digest[Q2S_LUKS_DIGEST_SIZE];

	Q2SI_TRY(q2si_luks_derive(lock->hash, candidate, lock->spec.key_bytes,
				  lock->luks.master_salt, lock->luks.master_iterations, digest,
				  sizeof(digest), diag));
	*right = memcmp(digest, lock->luks.master_digest, sizeof(digest)) == 0;
	return Q2S_OK;
}

static enum q2s_err
slot_try(struct lock *lock, uint32_t index, uint8_t *candidate, bool *right,
	 struct q2s_diag *diag)
{
	const struct q2s_luks_slot *slot = &lock->luks.slots[index];
	uint8_t slot_key[Q2S_LUKS_KEY_MAX];
	enum q2s_err err = pay(lock, index, diag);

	lock->tried++;
	if (err == Q2S_OK)
		err = q2si_luks_derive(lock->hash, lock->key, lock->key_len, slot->salt,
				       slot->iterations, slot_key, lock->spec.key_bytes, diag);
	if (err == Q2S_OK)
		err = candidate_read(lock, slot, slot_key, candidate, diag);
	explicit_bzero(slot_key, sizeof(slot_key));
	return err == Q2S_OK ? candidate_judge(lock, candidate, right, diag) : err;
}

static enum q2s_err
slots_try(struct lock *lock, uint8_t *master, struct q2s_diag *diag)
{
	uint8_t candidate[Q2S_LUKS_KEY_MAX];
	enum q2s_err err = Q2S_OK;
	bool right = false;

	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS && err == Q2S_OK && !right; i++)
		if (lock->luks.slots[i].active)
			err = slot_try(lock, i, candidate, &right, diag);
	if (right)
		memcpy(master, candidate, lock->spec.key_bytes);
	explicit_bzero(candidate, sizeof(candidate));
	if (right || err != Q2S_OK)
		return err;
	if (lock->tried == 0)
		return q2si_fail_at(diag, Q2S_E_KEY, "LUKS header", lock->place->header.offset,
				    "no key slot is active, so no key opens it");
	return q2si_fail_at(diag, Q2S_E_KEY, "LUKS header", lock->place->header.offset,
			    "the key is wrong: of %u active key slots it opens none", lock->tried);
}

enum q2s_err
q2si_luks_unlock(const struct q2s_crypt_place *place, const void *key, size_t key_len,
		 struct q2si_cipher_spec *spec, uint8_t *master, struct q2s_diag *diag)
{
	struct lock lock = { .place = place, .key = key, .key_len = key_len };
	enum q2s_err err;

	Q2SI_TRY(header_read(&lock, diag));
	lock.material_len = lock.spec.key_bytes * Q2S_LUKS_STRIPES;
	lock.material = malloc(lock.material_len);
	if (!lock.material)
		return q2si_fail_nomem(diag, "LUKS key material");
	err = slots_try(&lock, master, diag);
	free(lock.material);
	*spec = lock.spec;
	return err;
}
