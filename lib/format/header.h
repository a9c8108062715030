/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the header's codec (header.c) and its rules (header_check.c) share. */
#ifndef Q2SI_FORMAT_HEADER_H
#define Q2SI_FORMAT_HEADER_H

#include <q2s/format.h>

/* Byte offsets of the fields. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_BACKING_FILE_OFFSET = 8,
	AT_BACKING_FILE_SIZE = 16,
	AT_CLUSTER_BITS = 20,
	AT_SIZE = 24,
	AT_CRYPT_METHOD = 32,
	AT_L1_SIZE = 36,
	AT_L1_TABLE_OFFSET = 40,
	AT_REFCOUNT_TABLE_OFFSET = 48,
	AT_REFCOUNT_TABLE_CLUSTERS = 56,
	AT_NB_SNAPSHOTS = 60,
	AT_SNAPSHOTS_OFFSET = 64,
	AT_INCOMPATIBLE_FEATURES = 72,
	AT_COMPATIBLE_FEATURES = 80,
	AT_AUTOCLEAR_FEATURES = 88,
	AT_REFCOUNT_ORDER = 96,
	AT_HEADER_LENGTH = 100,
	AT_COMPRESSION_TYPE = 104,
};

/** Every rule of q2s_header_decode() that can be judged from decoded fields. */
enum q2s_err q2si_header_check(const struct q2s_header *header, struct q2s_diag *diag);

#endif
