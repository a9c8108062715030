/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's json: names, as far as they denote one local file and change nothing about its content:
 * {"driver":"qcow2","file":{"driver":"file","filename":"..."}}, or the same with dotted keys.
 */
#include "name.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"

/* The values of the keys that count; they belong to the JSON object. */
struct found {
	const char *driver;
	const char *filename;
	const char *file_driver;
	const char *file_filename;
};

struct context {
	const char *what;
	q2s_host at;
	struct found found;
	struct q2s_diag *diag;
};

static enum q2s_err
refuse(const struct context *ctx, const char *key, const char *why)
{
	return q2si_fail_at(ctx->diag, Q2S_E_UNSUPPORTED, ctx->what, ctx->at,
			    "json: name: '%.100s' %s", key, why);
}

/* Options of QEMU's block nodes that do not change what a reader sees. */
static bool
is_harmless(const char *key)
{
	static const char *const keys[] = {
		"node-name", "read-only", "auto-read-only", "force-share", "discard",
		"detect-zeroes", "cache.direct", "cache.no-flush", "locking", "aio",
	};

	if (strncmp(key, "file.", 5) == 0)
		key += 5;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

static const char **
slot_of(struct found *found, const char *key)
{
	if (strcmp(key, "driver") == 0)
		return &found->driver;
	if (strcmp(key, "filename") == 0)
		return &found->filename;
	if (strcmp(key, "file.driver") == 0)
		return &found->file_driver;
	if (strcmp(key, "file.filename") == 0)
		return &found->file_filename;
	return NULL;
}

/* An option that we do not know, such as an offset, would make it another disk: refused. */
static enum q2s_err
value_note(struct context *ctx, const char *key, const json_t *value)
{
	const char **slot = slot_of(&ctx->found, key);

	if (!slot)
		return is_harmless(key) ? Q2S_OK : refuse(ctx, key, "is not understood");
	if (!json_is_string(value))
		return refuse(ctx, key, "is not a string");
	if (*slot)
		return refuse(ctx, key, "is there twice");
	*slot = json_string_value(value);
	return Q2S_OK;
}

/* Nested objects and dotted keys mean the same: {"file":{"driver":x}} is {"file.driver":x}. */
static enum q2s_err
object_walk(struct context *ctx, json_t *object, const char *prefix)
{
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value) {
		char path[64];
		const int len = snprintf(path, sizeof(path), "%s%s", prefix, key);

		if (len < 0 || (size_t)len >= sizeof(path) - 1)
			return refuse(ctx, key, "is not understood");
		if (!json_is_object(value)) {
			Q2SI_TRY(value_note(ctx, path, value));
			continue;
		}
		strcat(path, ".");
		/* Prefixes of at least two bytes a level: @path bounds the recursion. */
		Q2SI_TRY(object_walk(ctx, value, path));
	}
	return Q2S_OK;
}

static bool
is_local_driver(const char *driver)
{
	return strcmp(driver, "file") == 0 || strcmp(driver, "host_device") == 0;
}

/* Which of the names counts, and is it a path or something with a protocol? */
static enum q2s_err
path_take(struct context *ctx, struct q2si_local_name *out)
{
	const struct found *found = &ctx->found;
	const char *driver = found->file_driver;
	const char *name = found->file_filename;
	struct q2s_bytes bytes;

	if (name && found->filename)
		return refuse(ctx, "filename", "is there on two levels");
	if (!name) {
		name = found->filename;
		if (!driver && found->driver && is_local_driver(found->driver))
			driver = found->driver;
	}
	if (!name)
		return refuse(ctx, "filename", "is missing");
	if (!driver)
		return q2si_name_plain(name, ctx->what, ctx->at, out, ctx->diag);
	if (!is_local_driver(driver))
		return refuse(ctx, driver, "is no local file; only those are opened");
	/* With its driver given, QEMU takes the name as it is. */
	bytes = (struct q2s_bytes){ .data = (const uint8_t *)name, .len = strlen(name) };
	return q2si_name_literal(bytes, ctx->what, ctx->at, out, ctx->diag);
}

static enum q2s_err
object_take(struct context *ctx, json_t *object, struct q2si_local_name *out)
{
	const char *format;

	Q2SI_TRY(object_walk(ctx, object, ""));
	format = ctx->found.driver ? ctx->found.driver : "";
	if (strlen(format) > Q2S_FORMAT_NAME_MAX)
		return refuse(ctx, format, "is no format that we read");
	Q2SI_TRY(path_take(ctx, out));
	/* A node that is just a file shows the file's bytes. */
	snprintf(out->format, sizeof(out->format), "%s", is_local_driver(format) ? "raw" : format);
	return Q2S_OK;
}

enum q2s_err
q2si_name_parse_json(const char *text, size_t len, const char *what, q2s_host at,
		     struct q2si_local_name *out, struct q2s_diag *diag)
{
	struct context ctx = { .what = what, .at = at, .diag = diag };
	json_error_t error;
	json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	enum q2s_err err;

	if (!json_is_object(object))
		err = refuse(&ctx, error.text, "(no JSON object)");
	else
		err = object_take(&ctx, object, out);
	json_decref(object);
	return err;
}
