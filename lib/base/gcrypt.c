/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/gcrypt.h"

#include <errno.h>
#include <pthread.h>

#include "base/diag.h"
#include "base/loaded.h"

Q2SI_LOADED_NOTE(SONAME_LIBGCRYPT, "gcrypt", "encrypted images and digests")

struct q2si_gcrypt q2si_gcrypt;

static enum q2s_err
load(void **loaded, struct q2s_diag *diag)
{
#define ROW(name) { "gcry_" #name, offsetof(struct q2si_gcrypt, name) },
	static const struct q2si_loaded list[] = { Q2SI_GCRYPT_CALLS(ROW) };
#undef ROW

	return q2si_load(SONAME_LIBGCRYPT, list, sizeof(list) / sizeof(list[0]), &q2si_gcrypt,
			 loaded, "encryption or digest", diag);
}

/* The program may use libgcrypt itself, and then has started it as it likes. */
static void
initialise(void)
{
	if (q2si_gcrypt.control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return;
	(void)q2si_gcrypt.check_version(NULL);
	/* Its locked memory is small, and taking it may need rights; what holds a key is wiped. */
	(void)q2si_gcrypt.control(GCRYCTL_DISABLE_SECMEM, 0);
	(void)q2si_gcrypt.control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

enum q2s_err
q2si_gcrypt_start(struct q2s_diag *diag)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static void *loaded;
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&lock);
	if (!loaded) {
		err = load(&loaded, diag);
		if (err == Q2S_OK)
			initialise();
	}
	pthread_mutex_unlock(&lock);
	return err;
}

enum q2s_err
q2si_gcrypt_fail(struct q2s_diag *diag, gcry_error_t error, const char *what,
		 const char *algorithm)
{
	if (q2si_gcrypt.err_code_to_errno(gcry_err_code(error)) == ENOMEM)
		return q2si_fail_nomem(diag, what);
	return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, what, Q2S_NOWHERE, "%s: %s", algorithm,
			    q2si_gcrypt.strerror(error));
}
