/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much memory there is for what can be lost again. */
#ifndef Q2SI_IO_MEMORY_H
#define Q2SI_IO_MEMORY_H

#include <stdint.h>

/**
 * Bytes that the kernel could give to the pages of files right now: what the machine has available,
 * or what the control group (version 2) of this process may have at all, if that is less. 0 where
 * the system does not tell.
 */
uint64_t q2si_memory_available(void);

#endif
