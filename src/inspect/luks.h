/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The LUKS header inside an encrypted image (LUKS On-Disk Format Specification 1.2.3). */
#ifndef INSPECT_LUKS_H
#define INSPECT_LUKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <q2s/base.h>

#define LUKS_HEADER_SIZE 592u /* without the key material */
#define LUKS_SLOTS 8u
#define LUKS_NAME 33 /* 32 bytes of text and a NUL */

/** One key slot. Offsets are in bytes from the LUKS header. */
struct luks_slot {
	bool active;
	uint32_t iterations;
	uint32_t stripes;
	uint64_t key_offset;
};

/** The header. Names hold whatever the image holds, NUL-terminated. */
struct luks_header {
	uint16_t version;
	char cipher_name[LUKS_NAME];
	char cipher_mode[LUKS_NAME];
	char hash[LUKS_NAME];
	char uuid[41];
	uint32_t key_bytes;
	uint32_t master_iterations;
	uint64_t payload_offset;
	struct luks_slot slots[LUKS_SLOTS];
};

/** One field, for hex dumps: where it lies and what it is called. */
struct luks_field {
	uint32_t at;
	uint32_t size;
	const char *name;
};
extern const struct luks_field luks_fields[];
extern const size_t luks_field_count;
/** The fields of a key slot, relative to its start. */
extern const struct luks_field luks_slot_fields[];
extern const size_t luks_slot_field_count;
#define LUKS_SLOTS_AT 208u
#define LUKS_SLOT_SIZE 48u

/**
 * Decode LUKS_HEADER_SIZE bytes. Pure.
 *
 * Returns Q2S_OK; Q2S_E_CRYPTO for a wrong magic or key slot state, Q2S_E_UNSUPPORTED for another
 * version than 1.
 */
enum q2s_err luks_decode(const uint8_t *raw, q2s_host at, struct luks_header *out,
			 struct q2s_diag *diag);

/**
 * What QEMU calls cipher, mode and IV generator.
 *
 * @alg     "aes-256": the name with the bits of one key
 * @mode    "xts"
 * @ivgen   "plain64"
 * @ivhash  of "essiv:sha256": "sha256"; empty for others
 */
struct luks_words {
	char alg[LUKS_NAME + 12];
	char mode[LUKS_NAME];
	char ivgen[LUKS_NAME];
	char ivhash[LUKS_NAME];
};
void luks_words(const struct luks_header *header, struct luks_words *out);

#endif
