/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of a special kind, for those who make them. */
#ifndef Q2SI_IO_FILE_H
#define Q2SI_IO_FILE_H

#include "io/feed.h"

/** @file, on the descriptor that @feed writes to, holds what the feed has; takes @feed over. */
void q2si_file_arrives(struct q2s_file *file, struct q2si_feed *feed);

/** The feed of a file that is still arriving, else NULL. */
struct q2si_feed *q2si_file_feed(const struct q2s_file *file);

#endif
