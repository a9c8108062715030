/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A block device tells of no change; some of what it holds is compared instead. */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/hash.h"
#include "io/store.h"

#define SAMPLES 64u
#define SAMPLE_SIZE 4096u

struct q2si_samples {
	uint64_t digests[SAMPLES];
};

/* Evenly from the first bytes to the last ones. */
static uint64_t
place_of(const struct q2s_store *store, unsigned index)
{
	const uint64_t size = q2s_store_size(store);

	if (size <= SAMPLE_SIZE)
		return 0;
	return index + 1 == SAMPLES ? size - SAMPLE_SIZE :
				      (size - SAMPLE_SIZE) / (SAMPLES - 1) * index;
}

static enum q2s_err
digest_at(struct q2s_store *store, unsigned index, uint64_t *out, struct q2s_diag *diag)
{
	uint8_t bytes[SAMPLE_SIZE];

	Q2SI_TRY(q2s_store_read_padded(store, place_of(store, index), bytes, sizeof(bytes), NULL,
				       diag));
	*out = q2si_hash(bytes, sizeof(bytes), index);
	return Q2S_OK;
}

enum q2s_err
q2s_store_sample(struct q2s_store *store, struct q2s_diag *diag)
{
	struct q2si_samples *samples;
	enum q2s_err err = Q2S_OK;

	if (store->samples)
		return Q2S_OK;
	samples = calloc(1, sizeof(*samples));
	if (!samples)
		return q2si_fail_nomem(diag, "samples");
	for (unsigned i = 0; i < SAMPLES && err == Q2S_OK; i++)
		err = digest_at(store, i, &samples->digests[i], diag);
	if (err == Q2S_OK)
		store->samples = samples;
	else
		free(samples);
	return err;
}

enum q2s_err
q2si_samples_verify(struct q2s_store *store, struct q2s_diag *diag)
{
	const struct q2si_samples *const samples = store->samples;

	for (unsigned i = 0; samples && i < SAMPLES; i++) {
		uint64_t now;

		Q2SI_TRY(digest_at(store, i, &now, diag));
		if (now == samples->digests[i])
			continue;
		return q2si_in_file(diag,
				    q2si_fail_at(diag, Q2S_E_CHANGED, "source",
						 (q2s_host){ place_of(store, i) },
						 "it was written to while it was read"),
				    q2s_store_name(store));
	}
	return Q2S_OK;
}
