/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the fields of a LUKS header lie, for its codec and for whoever names its bytes. */
#ifndef Q2SI_FORMAT_LUKS_H
#define Q2SI_FORMAT_LUKS_H

enum {
	AT_LUKS_MAGIC = 0,
	AT_LUKS_VERSION = 6,
	AT_LUKS_CIPHER_NAME = 8,
	AT_LUKS_CIPHER_MODE = 40,
	AT_LUKS_HASH = 72,
	AT_LUKS_PAYLOAD = 104,
	AT_LUKS_KEY_BYTES = 108,
	AT_LUKS_MASTER_DIGEST = 112,
	AT_LUKS_MASTER_SALT = 132,
	AT_LUKS_MASTER_ITERATIONS = 164,
	AT_LUKS_UUID = 168,
	AT_LUKS_SLOTS = 208,
};

/* Within a key slot. */
enum {
	AT_SLOT_STATE = 0,
	AT_SLOT_ITERATIONS = 4,
	AT_SLOT_SALT = 8,
	AT_SLOT_KEY = 40,
	AT_SLOT_STRIPES = 44,
};

#define Q2SI_LUKS_MAGIC_SIZE 6u
extern const uint8_t q2si_luks_magic[Q2SI_LUKS_MAGIC_SIZE];

#endif
