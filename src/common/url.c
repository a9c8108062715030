/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/url.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <q2s/http.h>

#include "common/fault.h"

static bool
starts_with(const char *name, const char *prefix)
{
	return strncasecmp(name, prefix, strlen(prefix)) == 0;
}

/* SCHEME://, the scheme as in RFC 3986. */
static bool
has_scheme(const char *name)
{
	const char *at = name;

	if (!isalpha((unsigned char)*at))
		return false;
	while (isalnum((unsigned char)*at) || *at == '+' || *at == '-' || *at == '.')
		at++;
	return strncmp(at, "://", 3) == 0;
}

/* QEMU's own spelling of protocols, without slashes. */
static bool
has_protocol(const char *name)
{
	static const char *const protocols[] = { "rbd:", "nbd:", "json:", "fat:", "ssh:",
						 "iscsi:", "sheepdog:", "blkdebug:", "nvme:" };

	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		if (starts_with(name, protocols[i]))
			return true;
	}
	return false;
}

bool
url_is(const char *name)
{
	struct stat st;

	return (has_scheme(name) || has_protocol(name)) && lstat(name, &st) != 0;
}

const char *
url_way_in(const char *name)
{
	if (starts_with(name, "ftp"))
		return "`curl URL` can write it into a pipe, and - reads that";
	if (starts_with(name, "rbd:"))
		return "`rbd export IMAGE -` can write it into a pipe, and - reads that";
	if (starts_with(name, "s3:"))
		return "the https:// URL of the object, signed or with --header-file, is read";
	return "qemu-nbd or nbdkit can serve it, and an NBD URI is read";
}

enum q2s_err
url_explain(const char *name, enum q2s_err err, struct q2s_diag *diag)
{
	if (err == Q2S_OK || !url_is(name) || q2s_http_is_url(name))
		return err;
	*diag = (struct q2s_diag){ 0 };
	return fault_in(diag,
			fault(diag, Q2S_E_UNSUPPORTED, "name",
			      "this is a URL, not a file, and of URLs those that begin with http://, "
			      "https://, or nbd:// and its kind are read; %s",
			      url_way_in(name)),
			name);
}

enum q2s_err
url_explain_nbd(const char *name, enum q2s_err err, struct q2s_diag *diag)
{
	static const char *const known[] = { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://",
					     "nbd+vsock://", "nbds+vsock://" };
	struct q2s_diag was = *diag;

	if (err != Q2S_E_IO)
		return err;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (starts_with(name, known[i]))
			return err;
	*diag = (struct q2s_diag){ 0 };
	return fault_in(diag,
			fault(diag, Q2S_E_UNSUPPORTED, "URI",
			      "%.120s; nbd:// and nbds://, nbd+unix:// and nbds+unix://, nbd+vsock:// "
			      "and nbds+vsock:// are read",
			      was.text),
			name);
}
