/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "base/diag.h"
#include "plan/store.h"

#define BLOCK_SIZE ((size_t)1 << Q2SI_STORE_BLOCK_BITS)

/* The list of blocks doubles; it is a thousandth of what the blocks hold. */
static enum q2s_err
add_block(struct q2si_store *store, struct q2s_diag *diag)
{
	if ((store->count & (store->count - 1)) == 0) {
		const size_t room = store->count ? 2 * store->count : 1;
		uint8_t **blocks = reallocarray(store->blocks, room, sizeof(*blocks));

		if (!blocks)
			return q2si_fail_nomem(diag, "allocation map");
		store->blocks = blocks;
	}
	store->blocks[store->count] = malloc(BLOCK_SIZE);
	if (!store->blocks[store->count])
		return q2si_fail_nomem(diag, "allocation map");
	store->count++;
	return Q2S_OK;
}

enum q2s_err
q2si_store_put(struct q2si_store *store, uint8_t byte, struct q2s_diag *diag)
{
	if (store->len == (uint64_t)store->count << Q2SI_STORE_BLOCK_BITS)
		Q2SI_TRY(add_block(store, diag));
	store->blocks[store->len >> Q2SI_STORE_BLOCK_BITS][store->len & (BLOCK_SIZE - 1)] = byte;
	store->len++;
	return Q2S_OK;
}

void
q2si_store_free(struct q2si_store *store)
{
	for (size_t i = 0; i < store->count; i++)
		free(store->blocks[i]);
	free(store->blocks);
	*store = (struct q2si_store){ 0 };
}
