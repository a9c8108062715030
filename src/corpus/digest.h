/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of what a guest would read. */
#ifndef CORPUS_DIGEST_H
#define CORPUS_DIGEST_H

#include <q2s/disk.h>

#define DIGEST_TEXT 65 /* 64 digits and NUL */

/** Can digests be made? */
bool digest_is_there(void);

/**
 * The digest of the raw image that a disk makes, in hexadecimal. Q2S_E_MISSING without libgcrypt.
 */
enum q2s_err digest_disk(struct q2s_disk *disk, char out[DIGEST_TEXT], struct q2s_diag *diag);

#endif
