/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that is still arriving: a stream is read as far as is asked for, and what came waits in a
 * file without a name until it is forgotten.
 */
#ifndef Q2SI_IO_FEED_H
#define Q2SI_IO_FEED_H

#include <q2s/io.h>

struct q2si_feed;

/** What an arriving file says that its size is until the end has been seen: no offset is past it. */
#define Q2SI_FEED_ENDLESS (UINT64_C(1) << 62)

/** @fd: what arrives is written there; it stays the caller's. @stream is copied, its name too. */
enum q2s_err q2si_feed_new(const struct q2s_stream *stream, int fd, struct q2si_feed **out,
			   struct q2s_diag *diag);
void q2si_feed_free(struct q2si_feed *feed); /* NULL is fine */

/** How many bytes there are: at least @end, unless the stream ends before, or fails. */
uint64_t q2si_feed_until(struct q2si_feed *feed, uint64_t end);

/** The length of the stream, or Q2SI_FEED_ENDLESS. */
uint64_t q2si_feed_size(struct q2si_feed *feed);

/** What it failed with, or Q2S_OK. */
enum q2s_err q2si_feed_failure(struct q2si_feed *feed, struct q2s_diag *diag);

/**
 * Have [@at, @at + @len) there, as far as the stream goes. What the stream failed with, or
 * Q2S_E_UNSUPPORTED for bytes that were forgotten.
 */
enum q2s_err q2si_feed_need(struct q2si_feed *feed, uint64_t at, uint64_t len,
			    struct q2s_diag *diag);

/**
 * Nobody will ask for [@at, @at + @len) again: its space is given back where the file system can.
 * What is not forgotten in ascending order is kept.
 */
void q2si_feed_forget(struct q2si_feed *feed, uint64_t at, uint64_t len);

/** Read the rest of the stream, whatever it is, so that its writer can end. What it failed with. */
enum q2s_err q2si_feed_finish(struct q2si_feed *feed, struct q2s_diag *diag);

#endif
