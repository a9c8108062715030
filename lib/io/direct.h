/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading and writing a descriptor past the host's page cache (O_DIRECT), at any byte: the kernel
 * takes whole blocks in aligned memory only, so what is not goes through a buffer, and a block that
 * is written in part is read first. Such a block belongs to one writer at a time.
 */
#ifndef Q2SI_IO_DIRECT_H
#define Q2SI_IO_DIRECT_H

#include <q2s/base.h>

struct q2si_direct;

/**
 * Set O_DIRECT on @fd, which stays the caller's.
 *
 * Returns Q2S_OK, Q2S_E_UNSUPPORTED (the file system or device does not allow it; @fd is as
 * before), Q2S_E_IO, Q2S_E_NOMEM.
 */
enum q2s_err q2si_direct_open(int fd, struct q2si_direct **out, struct q2s_diag *diag);
void q2si_direct_close(struct q2si_direct *direct); /* NULL is fine */

/** Up to @len bytes at @at; *@got says how many: fewer only at the end. */
enum q2s_err q2si_direct_read(struct q2si_direct *direct, uint64_t at, void *buf, size_t len,
			      size_t *got, struct q2s_diag *diag);
/**
 * Exactly @len bytes. A regular file may become longer than that by a part of a block, of zeros:
 * *@longer is set then.
 */
enum q2s_err q2si_direct_write(struct q2si_direct *direct, uint64_t at, const void *buf, size_t len,
			       bool *longer, struct q2s_diag *diag);

/** A range in which somebody changes the file; see q2si_direct_begin(). */
struct q2si_direct_range {
	uint64_t start, end;
	bool alone;
	struct q2si_direct_range *next, **link;
};

/**
 * [@at, @at + @len) is changed by other means than q2si_direct_write() until q2si_direct_end().
 * Waits for who changes a part of the same block.
 */
void q2si_direct_begin(struct q2si_direct *direct, struct q2si_direct_range *range, uint64_t at,
		       uint64_t len);
void q2si_direct_end(struct q2si_direct *direct, struct q2si_direct_range *range);

#endif
