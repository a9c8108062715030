/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nothing that the backing file is made of may be overwritten by the image that stands on it. */
#ifndef CREATE_CHAIN_H
#define CREATE_CHAIN_H

#include <q2s/io.h>

/**
 * Refuse @target if it is @backing, or a layer or data file below it.
 *
 * Looks as far as each layer lies in the folder of the one above it, or below that; a layer
 * elsewhere is not opened.
 *
 * @format  of @backing
 * @target  path of a file that is about to be replaced; one that does not exist is fine
 * @what    the target, for the message
 * Returns Q2S_OK or Q2S_E_CONFLICT. A layer that cannot be opened ends the search.
 */
enum q2s_err chain_spare(struct q2s_file *backing, const char *format, const char *target,
			 const char *what, struct q2s_diag *diag);

#endif
