/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Zero detection: the inner loop of every scan. */
#ifndef Q2SI_BASE_ZERO_H
#define Q2SI_BASE_ZERO_H

#include <stdbool.h>
#include <stddef.h>

/** Are all @len bytes at @buf zero? Fast on both kinds: looks at a few places first. */
bool q2si_is_zero(const void *buf, size_t len);

#endif
