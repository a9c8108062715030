/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Internal snapshots as QEMU shows them. */
#ifndef COMMON_SNAPSHOTS_H
#define COMMON_SNAPSHOTS_H

#include <jansson.h>
#include <q2s/image.h>

/** The array of `qemu-img info --output=json`; NULL without memory. */
json_t *snapshots_json(const struct q2s_snapshots *snapshots);

/** The table of `qemu-img snapshot -l`, with local times; nothing without snapshots. */
void snapshots_print(FILE *out, const struct q2s_snapshots *snapshots);

#endif
