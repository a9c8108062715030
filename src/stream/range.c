/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/range.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/size.h"
#include "common/tool.h"

/* Only one of the three options makes sense. */
static bool
is_first(const struct stream_range *range)
{
	if (range->kind == RANGE_ALL)
		return true;
	(void)tool_usage_error("--range, --resume and --part exclude each other");
	return false;
}

/* Parse "A<sep>B" by @parse into range->a and range->b. */
static const char *
parse_pair(struct stream_range *range, const char *arg, char sep,
	   const char *(*parse)(const char *text, uint64_t *out))
{
	const char *const middle = strchr(arg, sep);
	const char *why;
	char *first;

	if (!middle)
		return "two numbers are expected";
	first = strndup(arg, (size_t)(middle - arg));
	if (!first)
		return "out of memory";
	why = parse(first, &range->a);
	free(first);
	return why ? why : parse(middle + 1, &range->b);
}

bool
range_parse_bytes(struct stream_range *range, const char *arg)
{
	if (!is_first(range))
		return false;
	const char *const why = parse_pair(range, arg, ':', size_parse);

	range->kind = RANGE_BYTES;
	if (why)
		(void)tool_usage_error("--range: '%s': %s; it is OFFSET:LENGTH", arg, why);
	return !why;
}

bool
range_parse_resume(struct stream_range *range, const char *arg)
{
	if (!is_first(range))
		return false;
	const char *const why = size_parse(arg, &range->a);

	range->kind = RANGE_FROM;
	if (why)
		(void)tool_usage_error("--resume: '%s': %s", arg, why);
	return !why;
}

bool
range_parse_part(struct stream_range *range, const char *arg)
{
	if (!is_first(range))
		return false;
	const char *why = parse_pair(range, arg, '/', size_parse_number);

	if (!why && (range->a < 1 || range->a > range->b || range->b > UINT32_MAX))
		why = "K must be from 1 to N";
	range->kind = RANGE_PART;
	if (why)
		(void)tool_usage_error("--part: '%s': %s; it is K/N", arg, why);
	return !why;
}

/* floor(k * length / n) without leaving 64 bits: k <= n < 2^32. */
static uint64_t
cut(uint64_t length, uint64_t k, uint64_t n)
{
	return length / n * k + length % n * k / n;
}

enum q2s_err
range_resolve(const struct stream_range *range, uint64_t length, uint64_t *from, uint64_t *until,
	      struct q2s_diag *diag)
{
	*from = 0;
	*until = length;
	switch (range->kind) {
	case RANGE_ALL:
		return Q2S_OK;
	case RANGE_PART:
		*from = cut(length, range->a - 1, range->b);
		*until = cut(length, range->a, range->b);
		return Q2S_OK;
	case RANGE_FROM:
		*from = range->a;
		if (range->a <= length)
			return Q2S_OK;
		return fault(diag, Q2S_E_USAGE, "--resume",
			     "%" PRIu64 " is behind the end of the output, which has %" PRIu64
			     " bytes", range->a, length);
	case RANGE_BYTES:
		break;
	}
	*from = range->a;
	*until = range->a + range->b;
	if (range->a <= length && range->b <= length - range->a)
		return Q2S_OK;
	return fault(diag, Q2S_E_USAGE, "--range",
		     "%" PRIu64 " bytes from %" PRIu64 " on reach behind the end of the output, "
		     "which has %" PRIu64 " bytes", range->b, range->a, length);
}
