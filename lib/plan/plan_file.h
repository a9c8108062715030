/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The form of a kept plan (doc/plan-file): a fixed head, numbered fields as in a header extension,
 * the coded allocation, and a checksum over all of it.
 */
#ifndef Q2SI_PLAN_PLAN_FILE_H
#define Q2SI_PLAN_PLAN_FILE_H

#define Q2SI_PLAN_MAGIC "q2s-plan"
#define Q2SI_PLAN_MAGIC_SIZE 8u
#define Q2SI_PLAN_VERSION 5u

/* Head: magic, u32 version, u32 zero, u64 bytes of the body; then the body, then u32 CRC-32. */
#define Q2SI_PLAN_HEAD_SIZE 24u
#define Q2SI_PLAN_TAIL_SIZE 4u
/* A plan is read whole. One for a full disk of 2 EiB is smaller than this. */
#define Q2SI_PLAN_MAX_BYTES (SIZE_MAX / 2 < 1ull << 32 ? SIZE_MAX / 2 : 1ull << 32)

/* Strings and lists have a count in front; nothing that a correct plan holds is longer. */
#define Q2SI_PLAN_STRING_MAX 65536u
#define Q2SI_PLAN_FILES_MAX 65536u

#endif
