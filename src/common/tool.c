/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a tool starts, reports a failure, and ends. */
#include "common/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <q2s/version.h>

#include "common/escape.h"

static const char *the_name = "q2s";

/*
 * A standard descriptor that came closed would be given to the next file that is opened, and what
 * is meant for people or pipes would go there. Its place is taken by one that only fails.
 */
static void
keep_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void
tool_begin(const char *name)
{
	the_name = name;
	keep_standard_descriptors();
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	opterr = 0; /* tool_option_error() says it, on one line */
}

const char *
tool_name(void)
{
	return the_name;
}

/* One line in one write, so that lines of several threads do not mix; and safe on a terminal. */
__attribute__((format(printf, 3, 0))) static void
say(const char *lead, const char *tail, const char *fmt, va_list args)
{
	char *text, *shown, *line;

	if (vasprintf(&text, fmt, args) < 0)
		return;
	shown = escape_text(text);
	free(text);
	if (!shown)
		return;
	if (asprintf(&line, "%s: %s%s%s\n", the_name, lead, shown, tail) >= 0) {
		fputs(line, stderr);
		free(line);
	}
	free(shown);
}

int
tool_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("", "", fmt, args);
	va_end(args);
	return TOOL_FAILED;
}

void
tool_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("warning: ", "", fmt, args);
	va_end(args);
}

int
tool_usage_error(const char *fmt, ...)
{
	char tail[64];
	va_list args;

	snprintf(tail, sizeof(tail), "; see %s --help", the_name);
	va_start(args, fmt);
	say("", tail, fmt, args);
	va_end(args);
	return TOOL_FAILED;
}

#define DIAG_LINE 2048

int
tool_usage_fail(const struct q2s_diag *diag)
{
	char line[DIAG_LINE];

	q2s_diag_format(diag, line, sizeof(line));
	return tool_usage_error("%s", line);
}

int
tool_fail(const char *file, const struct q2s_diag *diag)
{
	const char *const named = diag->file[0] ? diag->file : file;
	char line[DIAG_LINE];

	q2s_diag_format(diag, line, sizeof(line));
	return tool_error("%s%s%s", named ? named : "", named ? ": " : "", line);
}

int
tool_option_error(char *const *argv, int got)
{
	const char *const word = argv[optind - 1];
	const bool is_long = strncmp(word, "--", 2) == 0;

	if (got == '?' && optopt != 0 && !(is_long && strchr(word, '=')))
		return tool_usage_error("unknown option -%c", optopt);
	if (got == ':')
		return tool_usage_error("option %s needs an argument", word);
	if (optopt != 0)
		return tool_usage_error("option %s takes no argument", word);
	return tool_usage_error("unknown or ambiguous option %s", word);
}

int
tool_version(void)
{
	printf("%s %s\n", the_name, q2s_version());
	printf("libraries: zlib %s, zstd %s, jansson %s; optional: %s\n", zlibVersion(),
	       ZSTD_versionString(), JANSSON_VERSION, q2s_version_features());
	return tool_finish(0);
}

int
tool_finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return tool_error("standard output: %s", strerror(errno ? errno : EIO));
}
