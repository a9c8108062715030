/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The switches of the laboratory; a normal build has none. */
#include "edit/order.h"

#ifdef Q2S_LAB
unsigned long q2si_rules_off;
#else
extern int q2si_no_lab; /* a file that declares nothing is no C */
#endif
