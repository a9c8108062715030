/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcurl, loaded when a file on a server is opened: it brings a TLS library and much else, which
 * each start of programs that read local files would pay for.
 */
#ifndef Q2SI_IO_CURL_LIB_H
#define Q2SI_IO_CURL_LIB_H

#include <curl/curl.h>

#include <q2s/base.h>

/** The functions that we call, each curl_NAME there. */
#define Q2SI_CURL_CALLS(CALL) \
	CALL(easy_cleanup)    \
	CALL(easy_getinfo)    \
	CALL(easy_init)       \
	CALL(easy_pause)      \
	CALL(easy_setopt)     \
	CALL(easy_strerror)   \
	CALL(getdate)         \
	CALL(global_init)     \
	CALL(multi_add_handle) \
	CALL(multi_cleanup)   \
	CALL(multi_info_read) \
	CALL(multi_init)      \
	CALL(multi_perform)   \
	CALL(multi_poll)      \
	CALL(multi_remove_handle) \
	CALL(multi_strerror)  \
	CALL(multi_wakeup)    \
	CALL(slist_append)    \
	CALL(slist_free_all)

/**
 * What q2si_curl_start() loaded, a member for each function, with the type that libcurl's header
 * declares. It is global, as libcurl's own state is: it is started once for the process. Written
 * once, before the first q2si_curl_start() that succeeds returns, and then only read.
 */
struct q2si_curl {
#define Q2SI_CURL_MEMBER(name) __typeof__(curl_##name) *name;
	Q2SI_CURL_CALLS(Q2SI_CURL_MEMBER)
#undef Q2SI_CURL_MEMBER
};

extern struct q2si_curl q2si_curl;

/**
 * Call this before anything of libcurl; more often than once and from any thread is fine.
 * Q2S_E_MISSING if it cannot be loaded.
 */
enum q2s_err q2si_curl_start(struct q2s_diag *diag);

#endif
