/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a tool starts, reports a failure, and ends. */
#include "common/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <q2s/http.h>
#include <q2s/image.h>
#include <q2s/version.h>

#include "common/escape.h"
#include "common/words.h"

static const char *the_name = "q2s";
static unsigned the_options;

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

void
tool_options(unsigned has)
{
	the_options = has;
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

/* The library does not know our options; its code tells which of them fits. */
static const char *
advice(const struct q2s_diag *diag)
{
	if (diag->err == Q2S_E_POLICY && the_options & TOOL_HAS_FOLLOW)
		return diag->follow == Q2S_FOLLOW_BESIDE ? "; --follow beside would allow it" :
		       diag->follow == Q2S_FOLLOW_ANY	 ? "; --follow any would allow it" :
							   "";
	if (diag->err == Q2S_E_BUSY && the_options & TOOL_HAS_FORCE_SHARE)
		return "; -U reads it all the same";
	if (diag->err == Q2S_E_EXISTS && the_options & TOOL_HAS_FORCE)
		return "; --force replaces it";
	if (diag->err == Q2S_E_KEY && the_options & TOOL_HAS_KEY_FILE)
		return "; give --key-file";
	return "";
}

int
tool_fail(const char *file, const struct q2s_diag *diag)
{
	const char *named = diag->file[0] ? diag->file : file;
	char line[DIAG_LINE], shown[Q2S_DIAG_FILE];

	if (named && q2s_http_is_url(named)) {
		q2s_http_name(named, shown, sizeof(shown));
		named = shown;
	}
	q2s_diag_format(diag, line, sizeof(line));
	return tool_error("%s%s%s%s", named ? named : "", named ? ": " : "", line, advice(diag));
}

#define LONGS_MAX 64

/* The long options that begin with @word, separated by ", "; how many. */
static unsigned
list_prefixed(const char *word, const struct option *longs, char *buf, size_t size)
{
	const size_t len = strlen(word);
	unsigned count = 0;
	size_t used = 0;

	buf[0] = '\0';
	for (; longs->name; longs++) {
		if (strncmp(longs->name, word, len) != 0)
			continue;
		count++;
		if (used + strlen(longs->name) + 5 < size)
			used += (size_t)snprintf(buf + used, size - used, "%s--%s",
						 used ? ", " : "", longs->name);
	}
	return count;
}

/* A long option that is none, without what stands behind its "=". */
static int
unknown_long(const char *given, const struct option *longs)
{
	char *const word = strndup(given + 2, strcspn(given + 2, "="));
	const char *known[LONGS_MAX + 1] = { NULL };
	char begin[WORDS_LIST];
	const char *nearest;
	int status;

	if (!word)
		return tool_usage_error("unknown option %s", given);
	for (size_t i = 0; longs[i].name && i < LONGS_MAX; i++)
		known[i] = longs[i].name;
	nearest = words_nearest(word, known);
	if (*word && list_prefixed(word, longs, begin, sizeof(begin)) > 1)
		status = tool_usage_error("option --%s is ambiguous: %s", word, begin);
	else if (nearest)
		status = tool_usage_error("unknown option --%s; did you mean '--%s'?", word, nearest);
	else
		status = tool_usage_error("unknown option --%s", word);
	free(word);
	return status;
}

int
tool_option_error(char *const *argv, int got, const struct option *longs)
{
	const char *const word = argv[optind - 1];
	const bool is_long = strncmp(word, "--", 2) == 0;

	if (got == '?' && optopt != 0 && !(is_long && strchr(word, '=')))
		return tool_usage_error("unknown option -%c", optopt);
	if (got == ':')
		return tool_usage_error("option %s needs an argument", word);
	if (optopt != 0)
		return tool_usage_error("option %s takes no argument", word);
	return unknown_long(word, longs);
}

int
tool_version(void)
{
	printf("%s %s\n", the_name, q2s_version());
	printf("libraries: zlib %s, zstd %s, jansson %s; optional: %s\n", zlibVersion(),
	       ZSTD_versionString(), JANSSON_VERSION, q2s_version_features());
	return tool_finish(0);
}

bool
tool_reader_is_gone(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	return poll(&out, 1, 0) > 0 && (out.revents & POLLERR);
}

int
tool_finish(int status)
{
	if ((fflush(stdout) == 0 && !ferror(stdout)) || tool_reader_is_gone())
		return status;
	return tool_error("standard output: %s", strerror(errno ? errno : EIO));
}
