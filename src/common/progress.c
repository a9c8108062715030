/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The attendant: shows progress, and takes the signals that the tool reacts to. */
#include "common/progress.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/progress_draw.h"
#include "common/tool.h"

#define BAR_MS 200
#define LINE_MS 500
#define LINE_SIZE 256
#define COLUMNS_DEFAULT 80

/* @lock guards @state and what follows it; everything above is fixed while the attendant runs. */
static struct {
	bool running;
	enum progress_mode mode;
	pthread_t attendant;
	sigset_t signals;  /* what the attendant waits for */
	sigset_t old_mask; /* of the thread that started it */
	pthread_mutex_t lock;
	struct progress_state state;
	struct timespec phase_start;
	bool any_step; /* nothing is shown before the work reports something */
	bool stop;
	bool bar_shown; /* the cursor stands behind a bar */
} progress = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool
progress_mode_parse(const char *arg, enum progress_mode *out)
{
	if (!arg || strcmp(arg, "bar") == 0)
		*out = PROGRESS_BAR;
	else if (strcmp(arg, "json") == 0)
		*out = PROGRESS_JSON;
	else if (strcmp(arg, "none") == 0)
		*out = PROGRESS_QUIET;
	else
		return false;
	return true;
}

/* ---- showing; the lock is held ------------------------------------------------------------- */

static void
update_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	progress.state.seconds = (double)(now.tv_sec - progress.phase_start.tv_sec) +
				 (double)(now.tv_nsec - progress.phase_start.tv_nsec) / 1e9;
}

static unsigned
terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return COLUMNS_DEFAULT;
}

/* Blank the bar, so that a line may stand in its place. */
static void
hide_bar(void)
{
	if (progress.bar_shown)
		fprintf(stderr, "\r%*s\r", (int)terminal_columns() - 1, "");
	progress.bar_shown = false;
}

static void
show(bool final)
{
	char line[LINE_SIZE];

	if (!progress.any_step)
		return;
	update_seconds();
	if (progress.mode == PROGRESS_JSON) {
		fprintf(stderr, "%s\n", progress_json(&progress.state, final, line, sizeof(line)));
	} else if (progress.mode == PROGRESS_BAR) {
		hide_bar();
		fprintf(stderr, "%s%s",
			progress_bar(&progress.state, terminal_columns(), line, sizeof(line)),
			final ? "\n" : "");
		progress.bar_shown = !final;
		fflush(stderr);
	}
}

static void
show_line(void)
{
	char line[LINE_SIZE];

	hide_bar();
	update_seconds();
	fprintf(stderr, "%s: %s\n", tool_name(),
		progress.any_step ? progress_line(&progress.state, line, sizeof(line))
				  : "starting");
}

/* ---- the work's side ----------------------------------------------------------------------- */

static bool
step(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	(void)opaque;
	pthread_mutex_lock(&progress.lock);
	if (!progress.any_step || phase != progress.state.phase) {
		show(false); /* how far the phase before came */
		clock_gettime(CLOCK_MONOTONIC, &progress.phase_start);
		progress.any_step = true;
		progress.state = (struct progress_state){ phase, done, total, 0 };
		show(false);
	}
	progress.state.done = done;
	progress.state.total = total;
	pthread_mutex_unlock(&progress.lock);
	return true;
}

const struct q2s_observer *
progress_observer(void)
{
	static const struct q2s_observer observer = { .step = step };

	return &observer;
}

/* ---- the attendant ------------------------------------------------------------------------- */

/* Clean up, and die of the signal, so that whoever waits for the tool sees what ended it. */
static void
die_of(int signal_number)
{
	sigset_t only;

	pthread_mutex_lock(&progress.lock);
	hide_bar();
	pthread_mutex_unlock(&progress.lock);
	cleanup_run();
	signal(signal_number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, signal_number);
	pthread_sigmask(SIG_UNBLOCK, &only, NULL);
	raise(signal_number);
	_exit(128 + signal_number); /* not reached */
}

/* False when it is time to end. */
static bool
attend(int signal_number)
{
	bool go_on;

	if (signal_number > 0 && signal_number != SIGUSR1)
		die_of(signal_number);
	pthread_mutex_lock(&progress.lock);
	go_on = !progress.stop;
	if (go_on && signal_number == SIGUSR1)
		show_line();
	else if (go_on)
		show(false);
	pthread_mutex_unlock(&progress.lock);
	return go_on;
}

static void *
attendant_main(void *arg)
{
	const long ms = progress.mode == PROGRESS_BAR ? BAR_MS : LINE_MS;
	const struct timespec pause = { .tv_nsec = ms * 1000000L };
	const bool draws = progress.mode == PROGRESS_BAR || progress.mode == PROGRESS_JSON;
	int got;

	do {
		got = draws ? sigtimedwait(&progress.signals, NULL, &pause)
			    : sigwaitinfo(&progress.signals, NULL);
	} while ((got < 0 && errno == EINTR) || attend(got));
	return arg;
}

/* SIGUSR1, and those of the ending signals that are not ignored (nohup, background jobs). */
static void
choose_signals(sigset_t *out)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction now;

	sigemptyset(out);
	sigaddset(out, SIGUSR1);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(out, ending[i]);
}

enum q2s_err
progress_start(enum progress_mode mode, struct q2s_diag *diag)
{
	int error;

	if (mode == PROGRESS_AUTO)
		mode = isatty(STDERR_FILENO) ? PROGRESS_BAR : PROGRESS_QUIET;
	progress.mode = mode;
	progress.stop = progress.any_step = false;
	signal(SIGUSR1, SIG_DFL); /* an ignored signal would never arrive */
	choose_signals(&progress.signals);
	pthread_sigmask(SIG_BLOCK, &progress.signals, &progress.old_mask);
	error = pthread_create(&progress.attendant, NULL, attendant_main, NULL);
	if (error != 0) {
		pthread_sigmask(SIG_SETMASK, &progress.old_mask, NULL);
		errno = error;
		return fault_errno(diag, "progress", "cannot start a thread");
	}
	progress.running = true;
	return Q2S_OK;
}

void
progress_stop(void)
{
	if (!progress.running)
		return;
	pthread_mutex_lock(&progress.lock);
	progress.stop = true;
	show(true);
	pthread_mutex_unlock(&progress.lock);
	pthread_kill(progress.attendant, SIGUSR1);
	pthread_join(progress.attendant, NULL);
	progress.running = false;
	/* SIGUSR1 stays blocked: one that comes too late must not kill the tool. */
	sigaddset(&progress.old_mask, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &progress.old_mask, NULL);
}
