/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/base.h"

#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/guard.h"
#include "common/remote.h"
#include "common/tool.h"
#include "stream/backing_name.h"
#include "stream/extents.h"
#include "stream/source.h"

bool
base_check(const struct stream_options *options)
{
	if (options->base && !options->other_format)
		(void)tool_usage_error("--diff needs the format of BASE (-F): "
				       "guessing it is unsafe");
	else if (options->base && strcmp(options->base, "-") == 0)
		(void)tool_usage_error("--diff: BASE must be a file");
	else if (!options->base && options->backing_name && !options->changed)
		(void)tool_usage_error("--backing-name is what the image calls BASE; "
				       "it needs --diff");
	else if (!options->base && options->base_extents)
		(void)tool_usage_error("--base-extents is the map of BASE; it needs --diff");
	else
		return true;
	return false;
}

static enum q2s_err
find_name(const struct stream_options *options, char **out, struct q2s_diag *diag)
{
	const char *name = options->backing_name;

	if (!name && (q2s_nbd_is_uri(options->base) || remote_is(options->base)))
		name = options->base;
	if (name == options->base && strchr(name, '?') && remote_is(name))
		return fault(diag, Q2S_E_USAGE, "--diff",
			     "the query of a URL may be a signature, so it is not written into an "
			     "image: say what the image calls BASE (--backing-name)");
	if (name && strcmp(name, "none") == 0)
		return Q2S_OK; /* ./none is a file of that name */
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
	as_source.changed = NULL;
	as_source.layers = NULL;
	as_source.data_file = false;
	as_source.has_size = false;
	as_source.salvage = false;
	as_source.verify.given = false;
	err = source_open(&as_source, &out->source, diag);
	if (err == Q2S_OK && options->base_extents)
		err = extents_apply(options->base_extents, "--base-extents", &out->source.disk,
				    diag);
	out->disk = out->source.disk;
	if (err == Q2S_OK && !options->measure)
		err = guard_output(options->dest, OUTLET_NAME, diag);
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
