/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How one state of the work looks. */
#include "common/progress_draw.h"

#include <inttypes.h>
#include <string.h>

#include "common/size.h"

#define LINE_SIZE 160
#define BAR_MIN 10
#define BAR_MAX 50

const char *
progress_phase_name(enum q2s_phase phase)
{
	static const char *const names[] = {
		[Q2S_PHASE_SCAN] = "scan",       [Q2S_PHASE_COMPRESS] = "compress",
		[Q2S_PHASE_WRITE] = "write",     [Q2S_PHASE_CHECK] = "check",
		[Q2S_PHASE_COMPARE] = "compare", [Q2S_PHASE_SPOOL] = "read",
		[Q2S_PHASE_SHARE] = "share",     [Q2S_PHASE_VERIFY] = "verify",
	};
	const size_t index = (size_t)phase;

	return index < sizeof(names) / sizeof(names[0]) ? names[index] : "work";
}

static double
fraction(const struct progress_state *state)
{
	if (state->total == 0)
		return 0;
	return state->done >= state->total ? 1 : (double)state->done / (double)state->total;
}

/*
 * What is skipped at once, or was in the cache, makes the first figures absurd: there is none
 * before this many seconds.
 */
#define RATE_AFTER 1.0

/* Bytes a second since the phase began; 0 as long as that says nothing. */
static uint64_t
rate(const struct progress_state *state)
{
	const double value = state->seconds >= RATE_AFTER ? (double)state->done / state->seconds : 0;

	return value < 1e18 ? (uint64_t)value : 0;
}

const char *
progress_line(const struct progress_state *state, char *buf, size_t size)
{
	char done[SIZE_TEXT], total[SIZE_TEXT], per_second[SIZE_TEXT + 4] = "";

	size_human(state->done, done);
	if (rate(state) > 0)
		snprintf(per_second, sizeof(per_second), ", %s/s", size_human(rate(state), total));
	if (state->total == 0)
		snprintf(buf, size, "%s: %s%s", progress_phase_name(state->phase), done,
			 per_second);
	else
		snprintf(buf, size, "%s: %.0f%% (%s of %s)%s",
			 progress_phase_name(state->phase), fraction(state) * 100, done,
			 size_human(state->total, total), per_second);
	return buf;
}

const char *
progress_bar(const struct progress_state *state, unsigned columns, char *buf, size_t size)
{
	char line[LINE_SIZE], bar[BAR_MAX + 1];
	unsigned width, full;

	progress_line(state, line, sizeof(line));
	/* "[" bar "] " line, and the last column stays free: some terminals wrap there */
	if (state->total == 0 || columns < strlen(line) + BAR_MIN + 4) {
		snprintf(buf, size, "%.*s", (int)(columns > 0 ? columns - 1 : 0), line);
		return buf;
	}
	width = columns - (unsigned)strlen(line) - 4;
	if (width > BAR_MAX)
		width = BAR_MAX;
	full = (unsigned)(fraction(state) * width);
	memset(bar, '#', full);
	memset(bar + full, '.', width - full);
	bar[width] = '\0';
	snprintf(buf, size, "[%s] %s", bar, line);
	return buf;
}

/* By hand: fixed keys and numbers, and a line must not fail for want of memory. */
const char *
progress_json(const struct progress_state *state, bool final, char *buf, size_t size)
{
	char length[40] = "";

	/* what is written is counted in advance, so its first line tells before the first byte */
	if (state->phase == Q2S_PHASE_WRITE)
		snprintf(length, sizeof(length), ", \"length\": %" PRIu64, state->total);
	snprintf(buf, size,
		 "{\"phase\": \"%s\", \"done\": %" PRIu64 ", \"total\": %" PRIu64
		 "%s, \"rate\": %" PRIu64 ", \"elapsed\": %.3f, \"final\": %s}",
		 progress_phase_name(state->phase), state->done, state->total, length, rate(state),
		 state->seconds, final ? "true" : "false");
	return buf;
}
