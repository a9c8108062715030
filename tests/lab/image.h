/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The images with which sequences of the laboratory begin, and what can be done to each. */
#ifndef Q2S_TESTS_LAB_IMAGE_H
#define Q2S_TESTS_LAB_IMAGE_H

#include <q2s/disk.h>

#include "sim.h"

/** Of what nearly all counts are in use. */
enum lab_full { LAB_NOT_FULL, LAB_BLOCK, LAB_TABLE };

/** Free clusters below all that can be moved down; scattered: no two of them lie together. */
enum lab_gap { LAB_NO_GAP, LAB_GAP, LAB_SCATTERED };

/** A bit of the future: whoever changes the image without knowing it has to clear it first. */
#define LAB_AUTOCLEAR (UINT64_C(1) << 40)

struct lab_config {
	const char *name;
	uint32_t version, cluster_bits, refcount_order;
	bool extended, base, snapshot;
	enum lab_full full;
	bool bitmap; /* an enabled one, LAB_BITMAP */
	enum lab_gap gap;
};

#define LAB_BITMAP "changes"

extern const struct lab_config lab_configs[];
extern const size_t lab_config_count;

/** A range of the guest that is watched; nothing else is changed. In sectors. */
struct lab_window {
	uint64_t start, count;
};

#define LAB_WINDOWS 3

/** Bytes of sectors that are behind the end of the disk, as the laboratory sees them. */
#define LAB_GONE 0xdd

struct lab_image {
	const struct lab_config *config;
	struct q2s_geom geom;
	uint8_t *bytes;
	uint64_t length;
	struct q2s_disk *base; /* or NULL */
	struct q2s_store *base_store;
	struct lab_window windows[LAB_WINDOWS];
	size_t window_count;
	uint64_t sectors; /* of all windows */
	uint64_t longest; /* guest bytes that the disk has after growing as far as it does here */
};

void lab_image_make(const struct lab_config *config, struct lab_image *out);
void lab_image_free(struct lab_image *image);

enum lab_kind {
	LAB_WRITE,
	LAB_ZERO,
	LAB_DISCARD,
	LAB_COMPACT,
	LAB_FLUSH,
	/* Of these @at is the new size; none of them has a range. */
	LAB_RESIZE,
	/* Of the snapshot that was made last. */
	LAB_CREATE,
	LAB_APPLY,
	LAB_DELETE,
	/* Of these @at is what is to be: extended or not, so many bits, the version. */
	LAB_EXTENDED,
	LAB_WIDTH,
	LAB_VERSION,
};

struct lab_op {
	const char *name;
	enum lab_kind kind;
	uint64_t at, len;
	unsigned flags;
};

#define LAB_OPS 40

/** A write to a cluster that no letter of the alphabet touches. */
void lab_image_other(const struct lab_image *image, struct lab_op *out);

/** The alphabet of @image. */
size_t lab_alphabet(const struct lab_image *image, struct lab_op ops[LAB_OPS]);

#endif
