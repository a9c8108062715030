/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Version and build options of the library, both decided by configure. */
#include <q2s/version.h>

#ifdef HAVE_LIBDEFLATE
#define LIBDEFLATE "+libdeflate"
#else
#define LIBDEFLATE "-libdeflate"
#endif

#ifdef HAVE_LIBISAL
#define LIBISAL "+libisal"
#else
#define LIBISAL "-libisal"
#endif

#ifdef HAVE_LIBGCRYPT
#define LIBGCRYPT "+libgcrypt"
#else
#define LIBGCRYPT "-libgcrypt"
#endif

#ifdef HAVE_LIBNBD
#define LIBNBD "+libnbd"
#else
#define LIBNBD "-libnbd"
#endif

#ifdef HAVE_LIBCURL
#define LIBCURL "+libcurl"
#else
#define LIBCURL "-libcurl"
#endif

const char *
q2s_version(void)
{
	return PACKAGE_VERSION;
}

const char *
q2s_version_features(void)
{
	return LIBDEFLATE " " LIBISAL " " LIBGCRYPT " " LIBNBD " " LIBCURL;
}
