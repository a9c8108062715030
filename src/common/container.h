/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to say of a file that is no disk, but holds one. */
#ifndef COMMON_CONTAINER_H
#define COMMON_CONTAINER_H

#include <q2s/image.h>

/**
 * Refuse @container, which nobody named as the format, with what reads it.
 *
 * Returns Q2S_OK if it is NULL, else Q2S_E_UNSUPPORTED.
 */
enum q2s_err container_refuse(const struct q2s_container *container, struct q2s_diag *diag);

#endif
