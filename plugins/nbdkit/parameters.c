/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parameters.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

const char parameters_help[] =
	"file=IMAGE                (required) the qcow2 image\n"
	"follow=none|beside|any    which other files it may refer to: none (default),\n"
	"                          those in its own folder or below, or any\n"
	"key-file=[LAYER=]FILE     all of FILE is the passphrase of the image; or of the image LAYER\n"
	"                          below it, where that has another\n"
	"snapshot=ID|NAME          an internal snapshot, read-only\n"
	"direct=on|off             read and write past the host's page cache (O_DIRECT;\n"
	"                          default off)\n"
	"cache=SIZE                memory for the tables of the image and of all that lies\n"
	"                          below it (default 16M)";

static int
take_string(char **out, const char *key, char *value)
{
	if (*out) {
		nbdkit_error("%s is given twice", key);
		free(value);
		return -1;
	}
	*out = value;
	return value ? 0 : -1;
}

static int
take_follow(struct parameters *out, const char *value)
{
	static const char *const names[] = {
		[Q2S_FOLLOW_NONE] = "none", [Q2S_FOLLOW_BESIDE] = "beside", [Q2S_FOLLOW_ANY] = "any"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(value, names[i]) == 0) {
			out->follow = (enum q2s_follow)i;
			return 0;
		}
	nbdkit_error("follow=%s: use none, beside or any", value);
	return -1;
}

static int
take_key_file(struct parameters *out, const char *value)
{
	struct q2s_diag diag = { 0 };

	if (key_files_add(&out->keys, value, &diag) != Q2S_OK ||
	    key_files_read(&out->keys, &diag) != Q2S_OK)
		return error_report(value, &diag);
	return 0;
}

static int
take_cache(struct parameters *out, const char *value)
{
	const int64_t size = nbdkit_parse_size(value);

	if (size < 0)
		return -1;
	if (size == 0 || (uint64_t)size > SIZE_MAX) {
		nbdkit_error("cache=%s: must be more than 0, and fit into memory", value);
		return -1;
	}
	out->cache = (size_t)size;
	return 0;
}

static int
take_direct(struct parameters *out, const char *value)
{
	const int on = nbdkit_parse_bool(value);

	if (on < 0)
		return -1;
	out->direct = on;
	return 0;
}

int
parameters_take(struct parameters *parameters, const char *key, const char *value)
{
	if (strcmp(key, "file") == 0)
		return take_string(&parameters->file, key, nbdkit_absolute_path(value));
	if (strcmp(key, "snapshot") == 0)
		return take_string(&parameters->snapshot, key, strdup(value));
	if (strcmp(key, "follow") == 0)
		return take_follow(parameters, value);
	if (strcmp(key, "cache") == 0)
		return take_cache(parameters, value);
	if (strcmp(key, "direct") == 0)
		return take_direct(parameters, value);
	if (strcmp(key, "key-file") == 0)
		return take_key_file(parameters, value);
	nbdkit_error("unknown parameter '%s'; see nbdkit q2s --help", key);
	return -1;
}

int
parameters_complete(const struct parameters *parameters)
{
	if (parameters->file)
		return 0;
	nbdkit_error("file=IMAGE is missing");
	return -1;
}

void
parameters_free(struct parameters *parameters)
{
	free(parameters->file);
	free(parameters->snapshot);
	key_files_free(&parameters->keys);
	*parameters = (struct parameters){ 0 };
}
