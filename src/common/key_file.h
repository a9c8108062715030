/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The passphrase of an encrypted image, from a file: a command line is seen by all users. */
#ifndef COMMON_KEY_FILE_H
#define COMMON_KEY_FILE_H

#include <q2s/base.h>

/** The longest passphrase; a disk image that is named by mistake is longer. */
#define KEY_FILE_MAX (1u << 20)

/** Zero-initialise. @bytes is not NULL once a file was read, even an empty one. */
struct key_file {
	uint8_t *bytes;
	size_t len;
};

/**
 * Read all of @path, which may be a pipe. Every byte counts, a line end too, as in QEMU's secrets.
 *
 * Q2S_E_IO, Q2S_E_LIMIT (more than KEY_FILE_MAX bytes), Q2S_E_NOMEM; the diagnostic names @path.
 */
enum q2s_err key_file_read(const char *path, struct key_file *out, struct q2s_diag *diag);

/** Wipe and free. */
void key_file_free(struct key_file *key);

#endif
