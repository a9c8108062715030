/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a fuzz target defines, for libFuzzer and for replay.c alike. */
#ifndef Q2S_TESTS_FUZZ_H
#define Q2S_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One input. Returns 0; a programming error found by it ends the process with abort(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Optional: write valid input number `index` to `data` (at most `capacity` bytes) and return its
 * length, or 0 when there is no such number. replay.c damages these instead of starting from
 * noise, which a magic number would keep out of everything that is worth testing.
 */
size_t fuzz_seed(unsigned int index, uint8_t *data, size_t capacity) __attribute__((weak));

#endif
