/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading libcurl, by the name that it had when configure linked it. */
#include "io/curl_lib.h"

#include <pthread.h>

#include "base/diag.h"
#include "base/loaded.h"

Q2SI_LOADED_NOTE(SONAME_LIBCURL, "curl", "images on HTTP and HTTPS servers")

struct q2si_curl q2si_curl;

static enum q2s_err
load(void **loaded, struct q2s_diag *diag)
{
#define ROW(name) { "curl_" #name, offsetof(struct q2si_curl, name) },
	static const struct q2si_loaded list[] = { Q2SI_CURL_CALLS(ROW) };
#undef ROW

	return q2si_load(SONAME_LIBCURL, list, sizeof(list) / sizeof(list[0]), &q2si_curl, loaded,
			 "HTTP", diag);
}

enum q2s_err
q2si_curl_start(struct q2s_diag *diag)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool started;
	void *loaded;
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&lock);
	if (!started) {
		err = load(&loaded, diag);
		/* not safe beside other threads that do the same in older versions: once, here */
		if (err == Q2S_OK && q2si_curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
			err = q2si_fail_at(diag, Q2S_E_MISSING, "HTTP", Q2S_NOWHERE,
					   "libcurl does not start");
		started = err == Q2S_OK;
	}
	pthread_mutex_unlock(&lock);
	return err;
}
