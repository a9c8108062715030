/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/tool.h"
#include "stream/backing_name.h"
#include "stream/source.h"

bool
base_check(const struct stream_options *options)
{
	if (options->base && !options->other_format)
		(void)tool_usage_error("--diff needs the format of BASE (-F): "
				       "guessing it is unsafe");
	else if (options->base && strcmp(options->base, "-") == 0)
		(void)tool_usage_error("--diff: BASE must be a file");
	else if (!options->base && options->backing_name)
		(void)tool_usage_error("--backing-name is what the image calls BASE; "
				       "it needs --diff");
	else
		return true;
	return false;
}

/* Is the output one of the files that the guest bytes of @disk lie in? */
static bool
is_part_of(const struct q2s_disk *disk, const char *dest)
{
	struct q2s_file_ident ident = { 0 };
	struct stat st;

	if ((dest ? stat(dest, &st) : fstat(STDOUT_FILENO, &st)) != 0)
		return false;
	ident.dev = st.st_dev;
	ident.ino = st.st_ino;
	return q2s_disk_uses(disk, &ident);
}

static enum q2s_err
find_name(const struct stream_options *options, char **out, struct q2s_diag *diag)
{
	const char *name = options->backing_name;

	if (!name && q2s_nbd_is_uri(options->base))
		name = options->base;
	if (!name)
		return backing_name_find(options->base, options->dest, out, diag);
	*out = strdup(name);
	return *out ? Q2S_OK : fault_nomem(diag, "backing file name");
}

enum q2s_err
base_open(const struct stream_options *options, struct base *out, struct q2s_diag *diag)
{
	struct stream_options as_source = *options;
	enum q2s_err err;

	if (!options->base)
		return Q2S_OK;
	as_source.source = options->base;
	as_source.format = options->other_format;
	as_source.follow = options->other_follow;
	as_source.snapshot = NULL;
	as_source.data_file = false;
	as_source.has_size = false;
	err = source_open(&as_source, &out->source, diag);
	out->disk = out->source.disk;
	if (err == Q2S_OK && !options->measure &&
	    (source_is_output(&as_source, options->dest) || is_part_of(out->disk, options->dest)))
		err = fault(diag, Q2S_E_CONFLICT, "--diff",
			    "the output is this file, or one that it refers to");
	if (err == Q2S_OK)
		err = find_name(options, &out->name, diag);
	return fault_in(diag, err, options->base);
}

void
base_close(struct base *base)
{
	source_close(&base->source);
	free(base->name);
	*base = (struct base){ 0 };
}
