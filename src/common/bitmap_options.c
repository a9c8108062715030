/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/bitmap_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/size.h"

#define DEFAULT_MIN 12u
#define DEFAULT_MAX 16u

enum q2s_err
bitmap_granularity_parse(const char *option, const char *hint, const char *text, uint32_t *bits,
			 struct q2s_diag *diag)
{
	uint64_t size = 0;
	const char *const why = size_parse(text, &size);

	if (why)
		return fault(diag, Q2S_E_USAGE, option, "'%.64s' is not a granularity: %s%s", text,
			     why, hint);
	for (*bits = Q2S_BITMAP_GRANULARITY_BITS_MIN; *bits <= Q2S_BITMAP_GRANULARITY_BITS_MAX;
	     ++*bits)
		if (size == 1ull << *bits)
			return Q2S_OK;
	return fault(diag, Q2S_E_USAGE, option,
		     "a granularity of %" PRIu64 " bytes is no power of two from 512 bytes to 2 GiB",
		     size);
}

enum q2s_err
bitmap_options_add(struct bitmap_options *options, const char *arg, struct q2s_diag *diag)
{
	const char *const colon = strrchr(arg, ':');
	struct q2s_spec_bitmap bitmap = {
		.name = { (const uint8_t *)arg, colon ? (size_t)(colon - arg) : strlen(arg) },
		.enabled = true,
	};
	struct q2s_spec_bitmap *grown;
	enum q2s_err err = Q2S_OK;

	if (bitmap.name.len == 0)
		return fault(diag, Q2S_E_USAGE, "--bitmap", "a name is missing in '%.64s'", arg);
	if (colon)
		err = bitmap_granularity_parse("--bitmap",
					       " (a name with a colon needs one behind it)",
					       colon + 1, &bitmap.granularity_bits, diag);
	if (err != Q2S_OK)
		return err;
	grown = reallocarray(options->list, options->count + 1, sizeof(*grown));
	if (!grown)
		return fault_nomem(diag, "--bitmap");
	options->list = grown;
	grown[options->count++] = bitmap;
	return Q2S_OK;
}

void
bitmap_options_free(struct bitmap_options *options)
{
	free(options->list);
	*options = (struct bitmap_options){ 0 };
}

uint32_t
bitmap_default_granularity(const struct q2s_geom *geom)
{
	const uint32_t bits = geom->cluster_bits;

	return bits < DEFAULT_MIN ? DEFAULT_MIN : bits > DEFAULT_MAX ? DEFAULT_MAX : bits;
}
