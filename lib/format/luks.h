/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the fields of a LUKS header lie, for its codec and for whoever names its bytes. */
#ifndef Q2SI_FORMAT_LUKS_H
#define Q2SI_FORMAT_LUKS_H

#include "format/fields.h"

enum { Q2SI_LUKS_FIELDS(Q2SI_FIELD_AT) AT_LUKS_SLOTS = 208 };

/* Within a key slot. */
enum { Q2SI_LUKS_SLOT_FIELDS(Q2SI_FIELD_AT) };

#define Q2SI_LUKS_MAGIC_SIZE 6u
extern const uint8_t q2si_luks_magic[Q2SI_LUKS_MAGIC_SIZE];

#endif
