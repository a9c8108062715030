/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the header's codec (header.c) and its rules (header_check.c) share. */
#ifndef Q2SI_FORMAT_HEADER_H
#define Q2SI_FORMAT_HEADER_H

#include <q2s/format.h>

#include "format/fields.h"

/* Byte offsets of the fields, and of the padding that ends the header of 112 bytes. */
enum { Q2SI_HEADER_FIELDS(Q2SI_FIELD_AT) AT_HEADER_PADDING = 105 };

/** Every rule of q2s_header_decode() that can be judged from decoded fields. */
enum q2s_err q2si_header_check(const struct q2s_header *header, struct q2s_diag *diag);

#endif
