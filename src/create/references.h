/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other files that a new image needs: its backing file and its external data file. */
#ifndef CREATE_REFERENCES_H
#define CREATE_REFERENCES_H

#include "create/options.h"

/**
 * Look at the backing file, unless -u forbids it: can it be opened as what it is said to be, is
 * it made of nothing that will be replaced, and how large is it? Takes its size when none was
 * given. The name of the data file must be settled before.
 */
enum q2s_err references_backing(struct create_options *options, struct q2s_diag *diag);

/**
 * Settle under which name the data file is created and recorded.
 *
 * QEMU looks a relative name up in the current directory of its process, others in the image's
 * folder. Where these differ now, the absolute name is recorded, which means one file to all.
 */
enum q2s_err references_data_file(struct create_options *options, struct q2s_diag *diag);

#endif
