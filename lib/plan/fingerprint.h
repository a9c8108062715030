/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be said cheaply of a disk's content: enough to refuse a source that only has the size
 * and the date of the one that was planned for. No proof that they are equal.
 */
#ifndef Q2SI_PLAN_FINGERPRINT_H
#define Q2SI_PLAN_FINGERPRINT_H

#include <q2s/disk.h>

/** Samples of the data, evenly spaced, and the bytes of each. */
#define Q2SI_FINGERPRINT_SAMPLES 128u
#define Q2SI_FINGERPRINT_SAMPLE_SIZE 4096u

/**
 * @map   of where the disk has data, zeros and nothing, as its metadata tell
 * @data  of the samples
 */
struct q2si_fingerprint {
	uint64_t map;
	uint64_t data;
};

/** Take it. Reads the samples and metadata alone; fails as the disk does. */
enum q2s_err q2si_fingerprint(struct q2s_disk *disk, struct q2si_fingerprint *out,
			      struct q2s_diag *diag);

#endif
