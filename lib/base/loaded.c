/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/loaded.h"

#include <dlfcn.h>
#include <string.h>

#include "base/diag.h"

static bool
find_all(void *loaded, const struct q2si_loaded *list, size_t count, void *table)
{
	for (size_t i = 0; i < count; i++) {
		void *const found = dlsym(loaded, list[i].name);

		if (!found)
			return false;
		/* a pointer to data becomes one to a function by its bytes alone */
		memcpy((char *)table + list[i].at, &found, sizeof(found));
	}
	return true;
}

enum q2s_err
q2si_load(const char *soname, const struct q2si_loaded *list, size_t count, void *table,
	  void **out, const char *what, struct q2s_diag *diag)
{
	void *const loaded = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	enum q2s_err err = Q2S_OK;

	if (!loaded || !find_all(loaded, list, count, table)) {
		const char *const reason = dlerror();

		err = q2si_fail_at(diag, Q2S_E_MISSING, what, Q2S_NOWHERE,
				   "%s cannot be loaded: %s", soname,
				   reason ? reason : "no reason given");
	}
	if (err == Q2S_OK)
		*out = loaded;
	else if (loaded)
		dlclose(loaded);
	return err;
}
