/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A fast hash of bytes, to tell apart what chance made different; no defence against malice. */
#ifndef Q2SI_BASE_HASH_H
#define Q2SI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/** The hash of @len bytes, the same on every machine; @seed may be the hash of what came before. */
uint64_t q2si_hash(const void *data, size_t len, uint64_t seed);

#endif
