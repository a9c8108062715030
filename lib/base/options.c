/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/options.h"

#include <string.h>

#include "base/diag.h"

static size_t
size_of(const void *options)
{
	size_t size;

	memcpy(&size, options, sizeof(size));
	return size;
}

enum q2s_err
q2si_options_copy(void *mine, const void *given, struct q2s_diag *diag)
{
	const size_t most = size_of(mine);
	size_t size;

	if (!given)
		return Q2S_OK;
	size = size_of(given);
	if (size < sizeof(size) || size > most)
		return q2si_fail(diag, Q2S_E_USAGE, "options", Q2S_NOWHERE, size,
				 "the size is not one that this library knows; its own is 0x%zx",
				 most);
	memcpy(mine, given, size);
	memcpy(mine, &most, sizeof(most));
	return Q2S_OK;
}
