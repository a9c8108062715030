/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file under inspection, and as much of a qcow2 image as can be made of it. The library
 * refuses an image that breaks a rule; an inspector must still show what is there.
 */
#ifndef INSPECT_SUBJECT_H
#define INSPECT_SUBJECT_H

#include <q2s/chain.h>
#include <q2s/walk.h>

#include "inspect/options.h"

/**
 * One file under inspection.
 *
 * @name      as the user named it
 * @opened    tolerantly; NULL when it is not qcow2. All below but @fault and @image are its own
 * @image     the same, but NULL when the library refuses the file
 * @fault     why the library refuses it; err is Q2S_OK when it does not
 * @head      cluster 0, if its size is known; padded with zeros
 * @header    the fields as stored; legal only when @image is not NULL
 * @has_geom  the fields that give the geometry are legal, whatever the others say
 */
struct subject {
	const char *name;
	struct q2s_store *file;
	struct q2s_image *opened;
	struct q2s_image *image;
	struct q2s_diag fault;
	const uint8_t *head;
	size_t head_size;
	const struct q2s_header *header;
	bool has_geom;
	const struct q2s_geom *geom;
};

/**
 * Open @name and make of it what can be made; locked as QEMU locks what it reads, unless the user
 * forces it. Without a format, what begins as a container that is not qcow2 is refused.
 *
 * @options  format and force_share count
 *
 * Fails only when nothing can be said: the file cannot be read, another program may write to it
 * (Q2S_E_BUSY), it is a container (Q2S_E_UNSUPPORTED), or it shall be qcow2 and does not start with
 * the magic. Also when standard output would be written into it (Q2S_E_CONFLICT).
 */
enum q2s_err subject_open(const char *name, const struct options *options, struct subject *out,
			  struct q2s_diag *diag);

/** As subject_open(), but fails with the fault of a qcow2 file that the library refuses. */
enum q2s_err subject_open_sound(const char *name, const struct options *options,
				struct subject *out, struct q2s_diag *diag);

/** As subject_open_sound() for a verb that makes no sense without a qcow2 image. */
enum q2s_err subject_open_image(const char *name, const struct options *options,
				struct subject *out, struct q2s_diag *diag);

/** The subject as the top of a chain, and the layers below it as far as --follow lets us go. */
enum q2s_err subject_chain(const struct subject *subject, const struct options *options,
			   struct q2s_chain **out, struct q2s_diag *diag);

/** Host bytes of guest data: a cluster, or the sectors that a compressed one touches. */
struct data_range {
	q2s_host at;
	uint64_t len;
};

/** What an L2 entry leads to; false: to nothing in this file. */
bool data_range(const struct subject *subject, const struct q2s_table_entry *it,
		struct data_range *out);

typedef enum q2s_err (*entry_visit)(void *opaque, const struct q2s_structure *in,
				    const struct q2s_table_entry *it, struct q2s_diag *diag);

/** Visit all L2 entries; none of an image whose data lie in another file. */
enum q2s_err data_visit(const struct subject *subject, entry_visit visit, void *opaque,
			struct q2s_diag *diag);

/** Free what it owns; a zeroed one is fine. */
void subject_close(struct subject *subject);

#endif
