/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/container.h"

#include "common/fault.h"

enum q2s_err
container_refuse(const struct q2s_container *container, struct q2s_diag *diag)
{
	if (!container)
		return Q2S_OK;
	if (container->format)
		return fault(diag, Q2S_E_UNSUPPORTED, "format",
			     "it is a %s image, not a raw disk: q2s-stream -f %s reads it "
			     "(-f raw takes it for a disk all the same)",
			     container->name, container->format);
	return fault(diag, Q2S_E_UNSUPPORTED, "format",
		     "it is a %s file, not a disk: print what is in it with '%s FILE%s', and "
		     "pipe that into q2s-stream - (-f raw takes it for a disk all the same)",
		     container->name, container->command,
		     container->command[0] == 't' ? " MEMBER" : "");
}
