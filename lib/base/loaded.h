/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Libraries that few runs need: loaded by the code that needs them, as linking them would cost each
 * start memory and time. For a library there is a list of the functions that we call, a table with
 * a pointer for each, typed by the library's own header, and a note for those who make packages.
 */
#ifndef Q2SI_BASE_LOADED_H
#define Q2SI_BASE_LOADED_H

#include <stddef.h>
#include <stdint.h>

#include <q2s/base.h>

/** One function, and where its pointer lies in the table. */
struct q2si_loaded {
	const char *name;
	size_t at;
};

/**
 * Load the library @soname and fill @table with the @count functions of @list.
 *
 * What dlclose() does to the handle in @out is to count: the code stays for ever, as threads of
 * the program may end later and call destructors that these libraries have left them.
 *
 * Q2S_E_MISSING, with the loader's reason, if it is not there or lacks a function.
 *
 * @what  for the message: what needs the library
 */
enum q2s_err q2si_load(const char *soname, const struct q2si_loaded *list, size_t count,
		       void *table, void **out, const char *what, struct q2s_diag *diag);

/* ---- what an ELF file says of it: https://systemd.io/ELF_DLOPEN_METADATA/ ------------------- */

/* clang's AddressSanitizer would put red zones around it, which are no notes; gcc's leaves it. */
#ifdef __clang__
#define Q2SI_NOTE_BARE_ no_sanitize("address"),
#else
#define Q2SI_NOTE_BARE_
#endif

#define Q2SI_NOTE_JSON_(soname, feature, description)                                             \
	"[{\"soname\":[\"" soname "\"],\"feature\":\"" feature "\",\"description\":\"" description \
	"\",\"priority\":\"recommended\"}]"

/** At file scope, beside the loading: string literals without a quote or a backslash. */
#define Q2SI_LOADED_NOTE(soname, feature, description)                                            \
	__attribute__((Q2SI_NOTE_BARE_ used, section(".note.dlopen"), aligned(4)))                \
	static const struct {                                                                     \
		uint32_t name_size, desc_size, type;                                              \
		char owner[4];                                                                    \
		char json[sizeof(Q2SI_NOTE_JSON_(soname, feature, description))];                 \
	} loaded_note = {                                                                         \
		sizeof(loaded_note.owner),                                                        \
		sizeof(loaded_note.json),                                                         \
		0x407c0c0a,                                                                       \
		"FDO",                                                                            \
		Q2SI_NOTE_JSON_(soname, feature, description),                                    \
	};

#endif
