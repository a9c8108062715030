/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layers below an image, one by one, as far as --follow lets us open them. */
#ifndef INSPECT_CHAIN_H
#define INSPECT_CHAIN_H

#include <q2s/image.h>

#include "inspect/subject.h"

/** QEMU sets no limit and runs out of descriptors; more than this is never meant. */
#define CHAIN_MAX 256u

/**
 * One layer.
 *
 * @image    NULL: a raw layer
 * @size     guest bytes; of a raw layer: the file's size rounded up to 512, as QEMU has it
 * @guessed  nobody but its own bytes says how it is to be read
 */
struct layer {
	struct q2s_file *file;
	struct q2s_image *image;
	uint64_t size;
	bool guessed;
};

/**
 * Layer 0 is the file that was named, each next one the backing file of the one before.
 *
 * @cut  the last layer has a backing file that was not opened, as the policy is "none"
 */
struct chain {
	struct layer *layers;
	size_t count;
	bool cut;
};

/**
 * Open the layers below @subject, which stays the caller's.
 *
 * Returns Q2S_OK, Q2S_E_POLICY (a file outside of what @follow allows), Q2S_E_LIMIT (deeper than
 * CHAIN_MAX), Q2S_E_HEADER (a file that is its own backing file, directly or not),
 * Q2S_E_UNSUPPORTED (a backing format other than raw and qcow2), or why a layer cannot be opened.
 */
enum q2s_err chain_open(const struct subject *subject, enum q2s_follow follow, struct chain *out,
			struct q2s_diag *diag);

/**
 * May @layer make us open a file of @kind, "backing file"? Q2S_E_POLICY when its format was guessed
 * and the user did not allow any file: a guest that may write all of a raw disk can make it look
 * like an image.
 */
enum q2s_err chain_may_refer(const struct layer *layer, const char *kind, enum q2s_follow follow,
			     struct q2s_diag *diag);

/** A zeroed one is fine. */
void chain_close(struct chain *chain);

#endif
