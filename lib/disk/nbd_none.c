/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NBD in a build without libnbd: it says so. */
#include "base/diag.h"
#include "disk/nbd_uri.h"

enum q2s_err
q2s_disk_nbd(const struct q2s_disk_nbd_options *options, struct q2s_disk **out,
	     struct q2s_diag *diag)
{
	(void)out;
	q2si_nbd_close_sockets(options);
	return q2si_fail_at(diag, Q2S_E_MISSING, "NBD", Q2S_NOWHERE, "this build has no libnbd");
}
