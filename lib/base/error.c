/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one table that knows every error code: its stable name and its class. */
#include <q2s/base.h>

struct error {
	enum q2s_err err;
	const char *name;
	enum q2s_err_class class;
};

/* clang-format off */
static const struct error errors[] = {
	{ Q2S_OK,            "ok",          Q2S_CLASS_OK },
	{ Q2S_E_USAGE,       "usage",       Q2S_CLASS_USAGE },
	{ Q2S_E_CONFLICT,    "conflict",    Q2S_CLASS_USAGE },
	{ Q2S_E_POLICY,      "policy",      Q2S_CLASS_USAGE },
	{ Q2S_E_EXISTS,      "exists",      Q2S_CLASS_USAGE },
	{ Q2S_E_IO,          "io",          Q2S_CLASS_IO },
	{ Q2S_E_NOMEM,       "nomem",       Q2S_CLASS_IO },
	{ Q2S_E_SHORT,       "short",       Q2S_CLASS_IO },
	{ Q2S_E_CHANGED,     "changed",     Q2S_CLASS_IO },
	{ Q2S_E_CANCELLED,   "cancelled",   Q2S_CLASS_IO },
	{ Q2S_E_PLAN,        "plan",        Q2S_CLASS_IO },
	{ Q2S_E_BUSY,        "busy",        Q2S_CLASS_IO },
	{ Q2S_E_UNSUPPORTED, "unsupported", Q2S_CLASS_UNSUPPORTED },
	{ Q2S_E_MISSING,     "missing",     Q2S_CLASS_UNSUPPORTED },
	{ Q2S_E_KEY,         "key",         Q2S_CLASS_UNSUPPORTED },
	{ Q2S_E_LIMIT,       "limit",       Q2S_CLASS_LIMIT },
	{ Q2S_E_OVERFLOW,    "overflow",    Q2S_CLASS_LIMIT },
	{ Q2S_E_MAGIC,       "magic",       Q2S_CLASS_CORRUPT },
	{ Q2S_E_HEADER,      "header",      Q2S_CLASS_CORRUPT },
	{ Q2S_E_EXTENSION,   "extension",   Q2S_CLASS_CORRUPT },
	{ Q2S_E_TRUNCATED,   "truncated",   Q2S_CLASS_CORRUPT },
	{ Q2S_E_RESERVED,    "reserved",    Q2S_CLASS_CORRUPT },
	{ Q2S_E_OFFSET,      "offset",      Q2S_CLASS_CORRUPT },
	{ Q2S_E_COPIED,      "copied",      Q2S_CLASS_CORRUPT },
	{ Q2S_E_SUBCLUSTER,  "subcluster",  Q2S_CLASS_CORRUPT },
	{ Q2S_E_ZERO_FLAG,   "zero-flag",   Q2S_CLASS_CORRUPT },
	{ Q2S_E_COMPRESSED,  "compressed",  Q2S_CLASS_CORRUPT },
	{ Q2S_E_DATA,        "data",        Q2S_CLASS_CORRUPT },
	{ Q2S_E_REFCOUNT,    "refcount",    Q2S_CLASS_CORRUPT },
	{ Q2S_E_SNAPSHOT,    "snapshot",    Q2S_CLASS_CORRUPT },
	{ Q2S_E_BITMAP,      "bitmap",      Q2S_CLASS_CORRUPT },
	{ Q2S_E_CRYPTO,      "crypto",      Q2S_CLASS_CORRUPT },
};
/* clang-format on */

/* A number that is no code can only come from a caller, so it is the caller's mistake. */
static const struct error no_code = { Q2S_OK, "unknown", Q2S_CLASS_USAGE };

static const struct error *
lookup(enum q2s_err err)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].err == err)
			return &errors[i];
	return &no_code;
}

enum q2s_err_class
q2s_err_class(enum q2s_err err)
{
	return lookup(err)->class;
}

const char *
q2s_err_name(enum q2s_err err)
{
	return lookup(err)->name;
}
