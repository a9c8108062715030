/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Buffers for the bytes of files. */
#ifndef Q2SI_BASE_PAGES_H
#define Q2SI_BASE_PAGES_H

#include <stdlib.h>

#include "base/arith.h"

#define Q2SI_PAGE 4096u

/**
 * @size bytes, not 0, that begin where a page may begin: read() and pread() copy whole pages faster
 * to there. NULL when out of memory; free() it.
 */
static inline void *
q2si_pages(size_t size)
{
	return aligned_alloc(Q2SI_PAGE, q2si_round_up(size, Q2SI_PAGE));
}

#endif
