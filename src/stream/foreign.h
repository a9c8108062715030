/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images of formats that q2s does not read itself: qemu-storage-daemon reads them for it. */
#ifndef STREAM_FOREIGN_H
#define STREAM_FOREIGN_H

#include <q2s/q2s.h>

#include "stream/daemon.h"

/** The names of the formats, separated by ", ". */
#define FOREIGN_FORMATS                                                                           \
	"bochs, cloop, dmg, luks, parallels, qcow, qed, vdi, vhdx, vmdk, vpc"

/** Is this the name of such a format? */
bool foreign_knows(const char *format);

/**
 * Which image to open, and how.
 *
 * @format   one that foreign_knows()
 * @path     the image's name, when it may have companions; NULL: it has none
 * @follow   which other files it may make QEMU open
 * @threads  as many connections are useful
 */
struct foreign_image {
	const char *format;
	struct q2s_store *file;
	const char *path;
	enum q2s_follow follow;
	bool force_share;
	unsigned threads;
	const uint8_t *key; /* passphrase of a LUKS image, or NULL */
	size_t key_len;
};

/**
 * Start a daemon on the image, and open what it shows.
 *
 * @daemon  the caller's on success: daemon_free() after the disk is closed
 * Returns Q2S_OK; Q2S_E_POLICY for a reference that is not to be followed; Q2S_E_MISSING without
 * the daemon or libnbd; Q2S_E_KEY without the key that it takes, or with a wrong one;
 * Q2S_E_UNSUPPORTED with the daemon's reason.
 */
enum q2s_err foreign_open(const struct foreign_image *image, struct q2s_disk **disk,
			  struct daemon **daemon, struct q2s_diag *diag);

#endif
