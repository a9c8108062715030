/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image that is only read: the disk that it shows, and cursors for as many threads as come. */
#ifndef NBDKIT_Q2S_READER_H
#define NBDKIT_Q2S_READER_H

#include <q2s/disk.h>

#include "parameters.h"

struct reader;

/** Open the image that @parameters name, and all below it. Fails as q2s_disk_qcow2() does. */
enum q2s_err reader_open(const struct parameters *parameters, struct reader **out,
			 struct q2s_diag *diag);
void reader_close(struct reader *reader); /* NULL is fine */

uint64_t reader_size(const struct reader *reader);

/** Bytes of a subcluster of the image, or of a cluster that has none. */
uint32_t reader_unit(const struct reader *reader);

/** As q2s_cursor_read(), from any thread. */
enum q2s_err reader_read(struct reader *reader, uint64_t at, void *buf, size_t len,
			 struct q2s_diag *diag);

/** As q2s_cursor_extent(), from any thread; @out->file is not set. */
enum q2s_err reader_extent(struct reader *reader, uint64_t at, uint64_t max,
			   struct q2s_extent *out, struct q2s_diag *diag);

#endif
