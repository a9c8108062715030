/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A command of a corpus, run as a process of its own. */
#ifndef CORPUS_COMMAND_H
#define CORPUS_COMMAND_H

#include <q2s/base.h>

/**
 * Run a command in a folder, and wait for it. It is looked up in PATH; a signal that ends this
 * process ends it too.
 *
 * @argv    the command and its arguments, ended by NULL
 * @folder  its current folder
 *
 * Returns Q2S_OK when it exits with 0, Q2S_E_MISSING when it cannot be started, Q2S_E_IO when it
 * ends in another way; what went wrong it has then said itself, on stderr.
 */
enum q2s_err command_run(char *const *argv, const char *folder, struct q2s_diag *diag);

#endif
