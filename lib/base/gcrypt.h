/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libgcrypt, loaded by what encrypts or makes digests. Only with HAVE_LIBGCRYPT. */
#ifndef Q2SI_BASE_GCRYPT_H
#define Q2SI_BASE_GCRYPT_H

#include <gcrypt.h>

#include <q2s/base.h>

/** The functions that we call, each gcry_NAME there. */
#define Q2SI_GCRYPT_CALLS(CALL)                                                                   \
	CALL(check_version)                                                                       \
	CALL(cipher_algo_name)                                                                    \
	CALL(cipher_close)                                                                        \
	CALL(cipher_decrypt)                                                                      \
	CALL(cipher_encrypt)                                                                      \
	CALL(cipher_get_algo_blklen)                                                              \
	CALL(cipher_open)                                                                         \
	CALL(cipher_setctr)                                                                       \
	CALL(cipher_setiv)                                                                        \
	CALL(cipher_setkey)                                                                       \
	CALL(control)                                                                             \
	CALL(create_nonce)                                                                        \
	CALL(err_code_to_errno)                                                                   \
	CALL(kdf_derive)                                                                          \
	CALL(md_algo_name)                                                                        \
	CALL(md_close)                                                                            \
	CALL(md_get_algo_dlen)                                                                    \
	CALL(md_hash_buffer)                                                                      \
	CALL(md_hash_buffers)                                                                     \
	CALL(md_open)                                                                             \
	CALL(md_read)                                                                             \
	CALL(md_write)                                                                            \
	CALL(randomize)                                                                           \
	CALL(strerror)

/**
 * What q2si_gcrypt_start() loaded, a member for each function, with the type that libgcrypt's
 * header declares. It is global, as is all that libgcrypt keeps: its state is one for the process.
 * Written once, before the first q2si_gcrypt_start() that succeeds returns, and then only read.
 */
struct q2si_gcrypt {
#define Q2SI_GCRYPT_MEMBER(name) __typeof__(gcry_##name) *name;
	Q2SI_GCRYPT_CALLS(Q2SI_GCRYPT_MEMBER)
#undef Q2SI_GCRYPT_MEMBER
};

extern struct q2si_gcrypt q2si_gcrypt;

/**
 * Call this before anything of libgcrypt; more often than once and from any thread is fine.
 * Q2S_E_MISSING if it cannot be loaded.
 */
enum q2s_err q2si_gcrypt_start(struct q2s_diag *diag);

/** Record that libgcrypt refused @what: Q2S_E_NOMEM, else Q2S_E_UNSUPPORTED with its reason. */
enum q2s_err q2si_gcrypt_fail(struct q2s_diag *diag, gcry_error_t error, const char *what,
			      const char *algorithm);

#endif
