/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every build knows of NBD, also one without libnbd. */
#ifndef Q2SI_DISK_NBD_URI_H
#define Q2SI_DISK_NBD_URI_H

#include <q2s/disk.h>

/** Close the connections that were handed over, as nobody will use them. */
void q2si_nbd_close_sockets(const struct q2s_disk_nbd_options *options);

#endif
