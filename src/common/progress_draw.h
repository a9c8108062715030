/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How one state of the work looks: as a bar, as a line, as JSON. Prints; knows no threads. */
#ifndef COMMON_PROGRESS_DRAW_H
#define COMMON_PROGRESS_DRAW_H

#include <stdbool.h>
#include <stdio.h>

#include <q2s/base.h>

/** One state. Units are bytes; @seconds and @rate count from the start of the phase. */
struct progress_state {
	enum q2s_phase phase;
	uint64_t done;
	uint64_t total; /* 0: not known */
	double seconds;
};

/** The name of a phase, as in the JSON lines: "scan", "write", ... */
const char *progress_phase_name(enum q2s_phase phase);

/** "write: 45% (1.2 GiB of 2.7 GiB), 310 MiB/s", without an end of line. Returns @buf. */
const char *progress_line(const struct progress_state *state, char *buf, size_t size);

/** A bar of @columns columns at most, without an end of line. Returns @buf. */
const char *progress_bar(const struct progress_state *state, unsigned columns, char *buf,
			 size_t size);

/** One JSON object, without an end of line. @final: the work has ended. Returns @buf. */
const char *progress_json(const struct progress_state *state, bool final, char *buf, size_t size);

#endif
