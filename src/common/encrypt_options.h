/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The creation options encrypt.*, with QEMU's names and defaults. */
#ifndef COMMON_ENCRYPT_OPTIONS_H
#define COMMON_ENCRYPT_OPTIONS_H

#include <stdio.h>

#include <q2s/base.h>

/** What was asked for, in the words of the options: static strings. */
struct encrypt_options {
	bool any;             /* one of them was given */
	bool luks;            /* encrypt.format=luks */
	const char *cipher;   /* "aes-256" */
	const char *mode;     /* "xts" */
	const char *ivgen;    /* "plain64" */
	const char *ivgen_hash; /* NULL: not given */
	const char *hash;     /* "sha256" */
	uint64_t iter_time;   /* ms */
};

struct encrypt_options encrypt_options_preset(void);

/** Is @key one of these options? */
bool encrypt_options_knows(const char *key);

/** As image_options_set(). */
enum q2s_err encrypt_options_set(struct encrypt_options *options, const char *key,
				 const char *value, struct q2s_diag *diag);

/** As image_options_help() and image_options_print(). */
void encrypt_options_help(FILE *out);
void encrypt_options_print(FILE *out, const struct encrypt_options *options);

#endif
