/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things that every text of ours shows in the same way. */
#include "inspect/show.h"

#include <inttypes.h>
#include <string.h>

#include "common/escape.h"

const char *
show_hex(uint64_t value, char buf[SHOW_HEX])
{
	snprintf(buf, SHOW_HEX, "0x%" PRIx64, value);
	return buf;
}

void
show_quoted(FILE *out, struct q2s_bytes bytes)
{
	fputc('"', out);
	escape_print(out, bytes.data, bytes.len);
	fputc('"', out);
}

void
show_name(FILE *out, const char *name)
{
	escape_print(out, name, strlen(name));
}

const char *
show_plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}
