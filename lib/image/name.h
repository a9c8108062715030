/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The name of a backing file as text: which local file does it denote? Opens nothing. */
#ifndef Q2SI_IMAGE_NAME_H
#define Q2SI_IMAGE_NAME_H

#include <q2s/image.h>

/** @path is owned; @format is empty where the name does not say it. */
struct q2si_local_name {
	char *path;
	char format[Q2S_FORMAT_NAME_MAX + 1];
};

/** @name taken as a path, whatever is in it; Q2S_E_UNSUPPORTED: a NUL, or nothing at all. */
enum q2s_err q2si_name_literal(struct q2s_bytes name, const char *what, q2s_host at,
			       struct q2si_local_name *out, struct q2s_diag *diag);

/**
 * @name as QEMU understands it: a path, "file:PATH", or "json:{...}" of a local file.
 *
 * @what, @at  for @diag
 * Returns Q2S_OK (free out->path), Q2S_E_UNSUPPORTED for everything else, or Q2S_E_NOMEM.
 */
enum q2s_err q2si_name_parse(struct q2s_bytes name, const char *what, q2s_host at,
			     struct q2si_local_name *out, struct q2s_diag *diag);

/** As above for the JSON object @text, @len bytes, behind "json:". */
enum q2s_err q2si_name_parse_json(const char *text, size_t len, const char *what, q2s_host at,
				  struct q2si_local_name *out, struct q2s_diag *diag);

/** A plain name or one with "file:" before it; a protocol is refused. */
enum q2s_err q2si_name_plain(const char *name, const char *what, q2s_host at,
			     struct q2si_local_name *out, struct q2s_diag *diag);

#endif
