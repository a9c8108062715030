/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Telling an NBD URI from a file name. */
#include "disk/nbd_uri.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Which transports there are, behind the plus sign, is libnbd's to say. */
bool
q2s_nbd_is_uri(const char *name)
{
	static const char plus[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

	if (strncasecmp(name, "nbd", 3) != 0)
		return false;
	name += 3;
	if (*name == 's' || *name == 'S')
		name++;
	if (*name == '+' && strspn(name + 1, plus) > 0)
		name += 1 + strspn(name + 1, plus);
	return strncmp(name, "://", 3) == 0;
}

void
q2si_nbd_close_sockets(const struct q2s_disk_nbd_options *options)
{
	for (size_t i = 0; i < options->socket_count; i++)
		close(options->sockets[i]);
}
