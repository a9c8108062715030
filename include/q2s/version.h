/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which libq2s this is: when compiling, and asked at run time, as the shared library may be another
 * one than the one that a program was compiled against.
 */
#ifndef Q2S_VERSION_H
#define Q2S_VERSION_H

#include <q2s/base.h>

Q2S_BEGIN_DECLS

/** The version of these headers. */
#define Q2S_VERSION_MAJOR 0
#define Q2S_VERSION_MINOR 1
#define Q2S_VERSION_PATCH 0

/** Are these headers of this version, or of a later one? For #if. */
#define Q2S_VERSION_AT_LEAST(major, minor, patch)                                         \
	(Q2S_VERSION_MAJOR > (major) ||                                                   \
	 (Q2S_VERSION_MAJOR == (major) && Q2S_VERSION_MINOR > (minor)) ||                 \
	 (Q2S_VERSION_MAJOR == (major) && Q2S_VERSION_MINOR == (minor) &&                 \
	  Q2S_VERSION_PATCH >= (patch)))

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
 * always in the same order: "+libdeflate -libisal +libgcrypt +libnbd +libcurl".
 *
 * Returns a constant string; never NULL.
 */
const char *q2s_version_features(void);

Q2S_END_DECLS

#endif
