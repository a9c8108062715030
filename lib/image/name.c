/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plain names, as QEMU reads them: what has a colon before its first slash is a protocol. */
#include "name.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/diag.h"

#define PREFIX_JSON "json:"
#define FILE_PREFIX "file:"

static bool
starts_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* A copy with a NUL behind it; a name with one inside would be cut there, so it is refused. */
static enum q2s_err
name_copy(struct q2s_bytes name, const char *what, q2s_host at, char **out, struct q2s_diag *diag)
{
	if (name.len == 0)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, what, at, "the image does not name it");
	if (memchr(name.data, 0, name.len))
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, what, at, "its name holds a NUL");
	*out = strndup((const char *)name.data, name.len);
	return *out ? Q2S_OK : q2si_fail_nomem(diag, what);
}

enum q2s_err
q2si_name_literal(struct q2s_bytes name, const char *what, q2s_host at,
		  struct q2si_local_name *out, struct q2s_diag *diag)
{
	out->format[0] = '\0';
	return name_copy(name, what, at, &out->path, diag);
}

enum q2s_err
q2si_name_plain(const char *name, const char *what, q2s_host at, struct q2si_local_name *out,
		struct q2s_diag *diag)
{
	if (starts_with(name, FILE_PREFIX))
		name += strlen(FILE_PREFIX);
	else if (name[strcspn(name, ":/")] == ':')
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, what, at,
				    "'%.200s' is no local file; only those are opened", name);
	if (name[0] == '\0')
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, what, at, "its name is empty");
	out->format[0] = '\0';
	out->path = strdup(name);
	return out->path ? Q2S_OK : q2si_fail_nomem(diag, what);
}

enum q2s_err
q2si_name_parse(struct q2s_bytes name, const char *what, q2s_host at, struct q2si_local_name *out,
		struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE char *text = NULL;

	Q2SI_TRY(name_copy(name, what, at, &text, diag));
	if (starts_with(text, PREFIX_JSON))
		return q2si_name_parse_json(text + strlen(PREFIX_JSON),
					    name.len - strlen(PREFIX_JSON), what, at, out, diag);
	return q2si_name_plain(text, what, at, out, diag);
}

enum q2s_err
q2s_reference_path(const char *name, char **out, struct q2s_diag *diag)
{
	const struct q2s_bytes bytes = { (const uint8_t *)name, strlen(name) };
	struct q2si_local_name local = { 0 };

	Q2SI_TRY(q2si_name_parse(bytes, "backing file", Q2S_NOWHERE, &local, diag));
	*out = local.path;
	return Q2S_OK;
}
