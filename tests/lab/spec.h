/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images for simulated disks, from specs in the language of q2s-corpus. */
#ifndef TESTS_LAB_SPEC_H
#define TESTS_LAB_SPEC_H

#include <q2s/base.h>

/** End the program: @what could not be done, as @diag says. */
_Noreturn void spec_die(const char *what, const struct q2s_diag *diag);

/**
 * The bytes of the image of spec @text, to be freed, with zeros up to a whole sector of the simulation;
 * NULL: such an image is not possible.
 */
uint8_t *spec_image(const char *text, uint64_t *len);

#endif
