/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names that are URLs, or names of QEMU's protocols, where a file is wanted. */
#ifndef COMMON_URL_H
#define COMMON_URL_H

#include <stdbool.h>

#include <q2s/base.h>

/** Is @name a URL or a name such as rbd:POOL/IMAGE, and not the name of a file that is there? */
bool url_is(const char *name);

/** How what @name stands for can be read all the same, as the end of a message. */
const char *url_way_in(const char *name);

/**
 * Say of a name that could not be opened that it is a URL, and how to read it.
 *
 * @err  what opening it returned; so is the result, where @name is no URL or @err is Q2S_OK
 */
enum q2s_err url_explain(const char *name, enum q2s_err err, struct q2s_diag *diag);

/**
 * Of an NBD URI that libnbd refused with @err: if its transport is none that every libnbd knows,
 * say which there are.
 */
enum q2s_err url_explain_nbd(const char *name, enum q2s_err err, struct q2s_diag *diag);

#endif
