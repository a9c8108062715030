/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all three tools have in common at their edges: how they start, how they report a failure,
 * and how they end. The one place where a failure becomes a message and an exit code.
 */
#ifndef COMMON_TOOL_H
#define COMMON_TOOL_H

#include <getopt.h>

#include <q2s/base.h>

/** The exit code of everything that did not work out; the others belong to single verbs. */
#define TOOL_FAILED 1

/**
 * Call first in main(). Stores @name ("q2s-create") for messages, sets the locale for text (not
 * for numbers), and ignores SIGPIPE and SIGXFSZ, so that a closed pipe and a file beyond the
 * user's limit are errors like any other.
 */
void tool_begin(const char *name);

/** The name given to tool_begin(). */
const char *tool_name(void);

/** The options by which a user may allow what failed: TOOL_HAS_*, or 0 at first. */
#define TOOL_HAS_FOLLOW (1u << 0)      /* --follow, for Q2S_E_POLICY */
#define TOOL_HAS_FORCE_SHARE (1u << 1) /* -U, for Q2S_E_BUSY */
#define TOOL_HAS_KEY_FILE (1u << 2)    /* --key-file, for Q2S_E_KEY, and it was not given */
#define TOOL_HAS_FORCE (1u << 3)       /* --force, for Q2S_E_EXISTS */
void tool_options(unsigned has);

/**
 * Print `q2s-TOOL: FILE: message` on stderr, with the option that would allow it, if one would.
 *
 * @file  as the user named it; NULL for none; diag->file wins
 * Returns TOOL_FAILED.
 */
int tool_fail(const char *file, const struct q2s_diag *diag);

/**
 * Print `q2s-TOOL: message` on stderr, one line, in which control characters and bytes that are
 * not UTF-8 are escaped: words of users and of images may be put in as they are.
 *
 * Returns TOOL_FAILED.
 */
int tool_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** As tool_error() for something odd that does not stop the work; says "warning: ". */
void tool_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** One line that names the wrong word and ends with "; see q2s-TOOL --help"; as tool_error(). */
int tool_usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** As tool_usage_error(), with the message of @diag. */
int tool_usage_fail(const struct q2s_diag *diag);

/**
 * The usage error for what getopt_long() just refused.
 *
 * @argv  as given to getopt_long()
 * @got   its result: '?', or ':' for a missing argument (the option string starts with ':')
 * @longs its long options: the one that was probably meant is named
 */
int tool_option_error(char *const *argv, int got, const struct option *longs);

/** Print name, version and libraries on stdout. Returns tool_finish(0). */
int tool_version(void);

/**
 * Is standard output a pipe whose reader has seen enough, as in `| head`? For what is printed for
 * people that is no error; an image that went into such a pipe is not complete.
 */
bool tool_reader_is_gone(void);

/**
 * Flush stdout. Returns @status, also when its reader is gone; or TOOL_FAILED with a message when
 * flushing does not work.
 */
int tool_finish(int status);

#endif
