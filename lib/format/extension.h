/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the table of header extensions says beside their names. */
#ifndef Q2SI_FORMAT_EXTENSION_H
#define Q2SI_FORMAT_EXTENSION_H

#include <q2s/format.h>

/**
 * Is this a second record of a type that may be there only once?
 *
 * @seen  what came before; 0 at first
 */
bool q2si_ext_is_repeated(uint32_t type, unsigned *seen);

#endif
