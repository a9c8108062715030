/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All of libq2s. */
#ifndef Q2S_H
#define Q2S_H

#include <q2s/base.h>
#include <q2s/builder.h>
#include <q2s/chain.h>
#include <q2s/check.h>
#include <q2s/crypt.h>
#include <q2s/disk.h>
#include <q2s/edit.h>
#include <q2s/emit.h>
#include <q2s/fields.h>
#include <q2s/format.h>
#include <q2s/http.h>
#include <q2s/image.h>
#include <q2s/io.h>
#include <q2s/plan.h>
#include <q2s/repair.h>
#include <q2s/store.h>
#include <q2s/version.h>
#include <q2s/walk.h>

#endif
