/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/gcrypt.h"

#include <errno.h>
#include <pthread.h>

#include "base/diag.h"

/* The program may use libgcrypt itself, and then has started it as it likes. */
static void
start(void)
{
	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return;
	(void)gcry_check_version(NULL);
	/* Its locked memory is small, and taking it may need rights; what holds a key is wiped. */
	(void)gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	(void)gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

void
q2si_gcrypt_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, start);
}

enum q2s_err
q2si_gcrypt_fail(struct q2s_diag *diag, gcry_error_t error, const char *what,
		 const char *algorithm)
{
	if (gcry_err_code_to_errno(gcry_err_code(error)) == ENOMEM)
		return q2si_fail_nomem(diag, what);
	return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, what, Q2S_NOWHERE, "%s: %s", algorithm,
			    gcry_strerror(error));
}
