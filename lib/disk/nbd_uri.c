/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Telling an NBD URI from a file name. */
#include "disk/nbd_uri.h"

#include <string.h>
#include <unistd.h>

bool
q2s_nbd_is_uri(const char *name)
{
	static const char *const schemes[] = {
		"nbd://",       "nbds://",       "nbd+unix://",
		"nbds+unix://", "nbd+vsock://", "nbds+vsock://",
	};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strncmp(name, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	return false;
}

void
q2si_nbd_close_sockets(const struct q2s_disk_nbd_options *options)
{
	for (size_t i = 0; i < options->socket_count; i++)
		close(options->sockets[i]);
}
