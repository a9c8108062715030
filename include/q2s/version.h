/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which libq2s this is, asked at run time: the shared library may be another one than the one
 * that a program was compiled against.
 */
#ifndef Q2S_VERSION_H
#define Q2S_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The version of the library, as "MAJOR.MINOR.PATCH".
 *
 * Returns a constant string; never NULL.
 */
const char *q2s_version(void);

/**
 * Which optional libraries were built in.
 *
 * Each is named as its configure option names it, with '+' for built in and '-' for left out,
 * always in the same order: "+libdeflate -libisal +libgcrypt +libnbd".
 *
 * Returns a constant string; never NULL.
 */
const char *q2s_version_features(void);

#ifdef __cplusplus
}
#endif

#endif
