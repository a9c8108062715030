/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ownership by scope: a local that frees or closes itself, and a visible way to hand it on. */
#ifndef Q2SI_BASE_CLEANUP_H
#define Q2SI_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void
q2si_auto_free_(void *slot)
{
	free(*(void **)slot);
}

static inline void
q2si_auto_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define Q2SI_AUTO_FREE __attribute__((cleanup(q2si_auto_free_)))
#define Q2SI_AUTO_CLOSE __attribute__((cleanup(q2si_auto_close_)))

/** Give away what @slot owns: its value now, NULL from now on. */
#define Q2SI_STEAL(slot)                                                                          \
	({                                                                                        \
		__typeof__(slot) q2si_stolen_ = (slot);                                           \
		(slot) = NULL;                                                                    \
		q2si_stolen_;                                                                     \
	})

#endif
