/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting libgcrypt, for each part of the library that uses it. Only with HAVE_LIBGCRYPT. */
#ifndef Q2SI_BASE_GCRYPT_H
#define Q2SI_BASE_GCRYPT_H

#include <gcrypt.h>

#include <q2s/base.h>

/** Call this before anything of libgcrypt; more often than once and from any thread is fine. */
void q2si_gcrypt_start(void);

/** Record that libgcrypt refused @what: Q2S_E_NOMEM, else Q2S_E_UNSUPPORTED with its reason. */
enum q2s_err q2si_gcrypt_fail(struct q2s_diag *diag, gcry_error_t error, const char *what,
			      const char *algorithm);

#endif
