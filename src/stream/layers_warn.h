/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --layers: what marks do not decide, but names and the lack of names make doubtful. */
#ifndef STREAM_LAYERS_WARN_H
#define STREAM_LAYERS_WARN_H

#include <q2s/image.h>

/**
 * Warn of each of @count layers, from the bottom up, that may not belong on the one below it: its
 * recorded backing file has another name, it names no parent at all, or what its mark names cannot
 * be found out. Where both marks are valid they have decided already, and names do not matter.
 *
 * @raw_bottom  the first one is a raw disk
 */
enum q2s_err layers_warn(struct q2s_store *const *files, size_t count, bool raw_bottom,
			 struct q2s_diag *diag);

#endif
