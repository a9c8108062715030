/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnbd, loaded when an NBD disk is opened. It brings a TLS library and an XML parser: linked,
 * they would be mapped and relocated at each start of programs that never see an NBD server.
 */
#ifndef Q2SI_DISK_NBD_LIB_H
#define Q2SI_DISK_NBD_LIB_H

#include <libnbd.h>

#include <q2s/base.h>

#ifdef LIBNBD_HAVE_NBD_SET_PREAD_INITIALIZE
#define Q2SI_NBD_NEWER(CALL) CALL(set_pread_initialize)
#else
#define Q2SI_NBD_NEWER(CALL)
#endif

/** The functions that we call, each nbd_NAME there. */
#define Q2SI_NBD_CALLS(CALL)                                                                      \
	CALL(add_meta_context)                                                                    \
	CALL(aio_disconnect)                                                                      \
	CALL(aio_is_closed)                                                                       \
	CALL(aio_is_dead)                                                                         \
	CALL(aio_pread)                                                                           \
	CALL(block_status)                                                                        \
	CALL(can_meta_context)                                                                    \
	CALL(can_multi_conn)                                                                      \
	CALL(close)                                                                               \
	CALL(connect_socket)                                                                      \
	CALL(connect_uri)                                                                         \
	CALL(create)                                                                              \
	CALL(get_block_size)                                                                      \
	CALL(get_errno)                                                                           \
	CALL(get_error)                                                                           \
	CALL(get_size)                                                                            \
	CALL(poll)                                                                                \
	CALL(set_uri_allow_local_file)                                                            \
	Q2SI_NBD_NEWER(CALL)

/** What was loaded, a member for each function, with the type that libnbd's header declares. */
struct q2si_nbd_lib {
	void *loaded;
#define Q2SI_NBD_MEMBER(name) __typeof__(nbd_##name) *name;
	Q2SI_NBD_CALLS(Q2SI_NBD_MEMBER)
#undef Q2SI_NBD_MEMBER
};

/** Load it. Q2S_E_MISSING, with the loader's reason, if it is not there or lacks a function. */
enum q2s_err q2si_nbd_lib_open(struct q2si_nbd_lib *lib, struct q2s_diag *diag);
/** Undo q2si_nbd_lib_open(); does nothing to a zero-initialised @lib. */
void q2si_nbd_lib_close(struct q2si_nbd_lib *lib);

#endif
