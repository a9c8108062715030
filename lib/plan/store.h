/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A byte string that only grows, in blocks: no growth ever copies or doubles what is there. */
#ifndef Q2SI_PLAN_STORE_H
#define Q2SI_PLAN_STORE_H

#include <q2s/base.h>

#define Q2SI_STORE_BLOCK_BITS 14

struct q2si_store {
	uint8_t **blocks;
	size_t count;
	uint64_t len;
};

/** Append one byte. Q2S_E_NOMEM. */
enum q2s_err q2si_store_put(struct q2si_store *store, uint8_t byte, struct q2s_diag *diag);
void q2si_store_free(struct q2si_store *store);

/** The byte at @pos, which is below store->len. */
static inline uint8_t
q2si_store_get(const struct q2si_store *store, uint64_t pos)
{
	return store->blocks[pos >> Q2SI_STORE_BLOCK_BITS]
			    [pos & ((1u << Q2SI_STORE_BLOCK_BITS) - 1)];
}

#endif
