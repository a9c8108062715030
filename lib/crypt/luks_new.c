/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new LUKS header: random keys, one slot, and as many iterations as this machine is fast. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arith.h"
#include "base/diag.h"
#include "crypt/luks.h"
#include "crypt/split.h"

#define SLOTS_AT 4096u         /* bytes; also what slots are aligned to, as in QEMU */
#define ITERATIONS_MIN 1000u
#define MASTER_SHARE 8u        /* the digest of the master key takes an eighth of the time */
#define PROBE_FIRST 4096u      /* iterations that are timed, doubled until that can be done */
#define PROBE_NS 50000000ll

static int64_t
processor_time(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* Iterations that take @ms to derive @len bytes. */
static enum q2s_err
iterations_find(int hash, size_t len, uint32_t ms, double *out, struct q2s_diag *diag)
{
	static const uint8_t salt[Q2S_LUKS_SALT_SIZE];
	uint8_t bytes[Q2S_LUKS_KEY_MAX];

	for (uint32_t n = PROBE_FIRST;; n *= 2) {
		const int64_t start = processor_time();

		Q2SI_TRY(q2si_luks_derive(hash, "probe", 5, salt, n, bytes, len, diag));

		const int64_t took = processor_time() - start;

		/* Without a clock there is no answer; the doubling ends all the same. */
		if (took >= PROBE_NS || n >= Q2S_LUKS_ITERATIONS_MAX / 2) {
			*out = took > 0 ? (double)n / (double)took * 1e6 * ms : n;
			return Q2S_OK;
		}
	}
}

static enum q2s_err
iterations_set(struct q2s_luks *luks, int hash, uint32_t iter_time, struct q2s_diag *diag)
{
	double slot, master;

	Q2SI_TRY(iterations_find(hash, luks->key_bytes, iter_time, &slot, diag));
	Q2SI_TRY(iterations_find(hash, Q2S_LUKS_DIGEST_SIZE, iter_time, &master, diag));
	master /= MASTER_SHARE;
	if (slot + master > Q2S_LUKS_ITERATIONS_MAX - 2 * ITERATIONS_MIN)
		return q2si_fail(diag, Q2S_E_LIMIT, "iter-time", Q2S_NOWHERE, iter_time,
				 "would take more than %u iterations of PBKDF2",
				 Q2S_LUKS_ITERATIONS_MAX);
	luks->slots[0].iterations = (uint32_t)q2si_max((uint64_t)slot, ITERATIONS_MIN);
	luks->master_iterations = (uint32_t)q2si_max((uint64_t)master, ITERATIONS_MIN);
	return Q2S_OK;
}

/* A random UUID (RFC 4122, version 4). */
static void
uuid_make(char out[Q2S_LUKS_UUID_SIZE + 1])
{
	uint8_t b[16];

	q2si_gcrypt.create_nonce(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, Q2S_LUKS_UUID_SIZE + 1,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		       b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		       b[13], b[14], b[15]);
}

static void
slots_place(struct q2s_luks *luks)
{
	const uint64_t room =
		q2si_round_up((uint64_t)luks->key_bytes * Q2S_LUKS_STRIPES, SLOTS_AT);

	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS; i++) {
		luks->slots[i].stripes = Q2S_LUKS_STRIPES;
		luks->slots[i].key_offset = SLOTS_AT + i * room;
	}
	luks->payload_offset = SLOTS_AT + Q2S_LUKS_SLOTS * room;
}

/* The key material of slot 0: @master, split, and encrypted with what the passphrase gives. */
static enum q2s_err
slot_fill(const struct q2s_luks *luks, int hash, const void *key, size_t key_len,
	  const struct q2si_cipher_spec *spec, const uint8_t *master, uint8_t *material,
	  struct q2s_diag *diag)
{
	const struct q2s_luks_slot *slot = &luks->slots[0];
	const size_t len = (size_t)luks->key_bytes * Q2S_LUKS_STRIPES;
	struct q2si_sectors sectors = { 0 };
	uint8_t slot_key[Q2S_LUKS_KEY_MAX];
	enum q2s_err err = q2si_luks_derive(hash, key, key_len, slot->salt, slot->iterations,
					    slot_key, luks->key_bytes, diag);

	if (err == Q2S_OK)
		err = q2si_sectors_open(spec, slot_key, &sectors, diag);
	if (err == Q2S_OK) {
		q2si_gcrypt.randomize(material, len, GCRY_STRONG_RANDOM);
		q2si_split_close(hash, material, luks->key_bytes, Q2S_LUKS_STRIPES, master);
		err = q2si_sectors_encrypt(&sectors, 0, material, len, diag);
	}
	q2si_sectors_close(&sectors);
	explicit_bzero(slot_key, sizeof(slot_key));
	return err;
}

static enum q2s_err
area_fill(struct q2s_luks *luks, int hash, const void *key, size_t key_len,
	  const struct q2si_cipher_spec *spec, const uint8_t *master, uint8_t *area,
	  struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_luks_derive(hash, master, luks->key_bytes, luks->master_salt,
				  luks->master_iterations, luks->master_digest,
				  sizeof(luks->master_digest), diag));
	Q2SI_TRY(slot_fill(luks, hash, key, key_len, spec, master,
			   area + luks->slots[0].key_offset, diag));
	return q2s_luks_encode(luks, area, diag);
}

enum q2s_err
q2si_luks_fill(struct q2s_luks *luks, uint32_t iter_time, const void *key, size_t key_len,
	       const struct q2si_cipher_spec *spec, uint8_t *master, uint8_t **area,
	       size_t *area_len, struct q2s_diag *diag)
{
	enum q2s_err err;
	uint8_t *bytes;
	int hash;

	Q2SI_TRY(q2si_hash_find(luks, Q2S_NOWHERE, &hash, diag));
	slots_place(luks);
	uuid_make(luks->uuid);
	q2si_gcrypt.randomize(master, luks->key_bytes, GCRY_STRONG_RANDOM);
	q2si_gcrypt.create_nonce(luks->master_salt, sizeof(luks->master_salt));
	q2si_gcrypt.create_nonce(luks->slots[0].salt, sizeof(luks->slots[0].salt));
	luks->slots[0].active = true;
	Q2SI_TRY(iterations_set(luks, hash, iter_time, diag));
	bytes = calloc(1, q2si_size(luks->payload_offset));
	if (!bytes)
		return q2si_fail_nomem(diag, "LUKS header");
	err = area_fill(luks, hash, key, key_len, spec, master, bytes, diag);
	if (err != Q2S_OK) {
		explicit_bzero(bytes, luks->payload_offset);
		free(bytes);
		return err;
	}
	*area = bytes;
	*area_len = luks->payload_offset;
	return Q2S_OK;
}
