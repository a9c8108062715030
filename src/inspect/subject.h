/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file under inspection, and as much of a qcow2 image as can be made of it. The library
 * refuses an image that breaks a rule; an inspector must still show what is there.
 */
#ifndef INSPECT_SUBJECT_H
#define INSPECT_SUBJECT_H

#include <q2s/image.h>

/**
 * One file under inspection.
 *
 * @name        as the user named it
 * @image       NULL when the library refuses the file, or when it is not qcow2
 * @fault       why the library refuses it; err is Q2S_OK when it does not
 * @is_qcow2    it starts with the magic
 * @head        the first @head_size bytes, padded with zeros: cluster 0 if its size is known
 * @head_read   how many of them are in the file
 * @header      the fields as stored; legal only when @image is not NULL
 * @has_geom    the fields that give the geometry are legal, whatever the others say
 */
struct subject {
	const char *name;
	struct q2s_file *file;
	struct q2s_image *image;
	struct q2s_diag fault;
	bool is_qcow2;
	uint8_t *head;
	size_t head_size;
	size_t head_read;
	struct q2s_header header;
	bool has_geom;
	struct q2s_geom geom;
};

/** What the user says that a file is. */
enum subject_format { SUBJECT_PROBE, SUBJECT_RAW, SUBJECT_QCOW2 };

/** The format behind the word of --format; NULL is SUBJECT_PROBE. */
enum subject_format subject_format(const char *word);

/**
 * Open @name and make of it what can be made. Fails only when nothing can be said: the file
 * cannot be read or, with SUBJECT_QCOW2, does not start with the magic.
 */
enum q2s_err subject_open(const char *name, enum subject_format format, struct subject *out,
			  struct q2s_diag *diag);

/** As subject_open(), but fails with the fault of a qcow2 file that the library refuses. */
enum q2s_err subject_open_sound(const char *name, enum subject_format format, struct subject *out,
				struct q2s_diag *diag);

/** As subject_open_sound() for a verb that makes no sense without a qcow2 image. */
enum q2s_err subject_open_image(const char *name, struct subject *out, struct q2s_diag *diag);

/** Free what it owns; a zeroed one is fine. */
void subject_close(struct subject *subject);

#endif
