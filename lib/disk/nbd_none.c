/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NBD in a build without libnbd: it says so. */
#include "base/diag.h"
#include "base/options.h"
#include "disk/nbd_uri.h"

enum q2s_err
q2s_disk_nbd(const struct q2s_disk_nbd_options *given, struct q2s_disk **out,
	     struct q2s_diag *diag)
{
	struct q2s_disk_nbd_options options = Q2S_DISK_NBD_OPTIONS_INIT;

	(void)out;
	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	q2si_nbd_close_sockets(&options);
	return q2si_fail_at(diag, Q2S_E_MISSING, "NBD", Q2S_NOWHERE, "this build has no libnbd");
}

enum q2s_err
q2s_disk_nbd_changes(struct q2s_disk *disk, struct q2s_disk **out, struct q2s_diag *diag)
{
	(void)disk;
	(void)out;
	return q2si_fail_at(diag, Q2S_E_MISSING, "NBD", Q2S_NOWHERE, "this build has no libnbd");
}
