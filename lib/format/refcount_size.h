/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The size of refcount structures without regard to limits, for what is measured but not written. */
#ifndef Q2SI_FORMAT_REFCOUNT_SIZE_H
#define Q2SI_FORMAT_REFCOUNT_SIZE_H

#include <q2s/format.h>

/** As q2s_refcount_size_solve(), whether QEMU would take such an image or not; @others < 2^56. */
struct q2s_refcount_size q2si_refcount_size(const struct q2s_geom *geom, uint64_t others);

#endif
