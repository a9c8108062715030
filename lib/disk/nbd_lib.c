/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading libnbd, by the name that it had when configure linked it. */
#include "disk/nbd_lib.h"

#include <dlfcn.h>

#include "base/loaded.h"

Q2SI_LOADED_NOTE(SONAME_LIBNBD, "nbd", "disks on NBD servers, and formats that QEMU reads for us")

enum q2s_err
q2si_nbd_lib_open(struct q2si_nbd_lib *lib, struct q2s_diag *diag)
{
#define ROW(name) { "nbd_" #name, offsetof(struct q2si_nbd_lib, name) },
	static const struct q2si_loaded list[] = { Q2SI_NBD_CALLS(ROW) };
#undef ROW

	return q2si_load(SONAME_LIBNBD, list, sizeof(list) / sizeof(list[0]), lib, &lib->loaded,
			 "NBD", diag);
}

void
q2si_nbd_lib_close(struct q2si_nbd_lib *lib)
{
	if (lib->loaded)
		dlclose(lib->loaded);
}
