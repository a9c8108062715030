/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets on which we and a server of our own meet, and nobody else. The connections are made
 * before the server runs: they wait in the queue of the listening socket, which it inherits, and
 * whose name is gone by then. So there is nothing to connect to for others, and nothing to remove
 * in the end, however that comes.
 */
#ifndef STREAM_RENDEZVOUS_H
#define STREAM_RENDEZVOUS_H

#include <q2s/base.h>

/**
 * @count     connections to make
 * @listener  receives the listening socket, for the server
 * @sockets   room for @count: receives our ends. All close on exec.
 * Returns Q2S_OK, Q2S_E_IO, Q2S_E_NOMEM.
 */
enum q2s_err rendezvous_make(size_t count, int *listener, int *sockets, struct q2s_diag *diag);

#endif
