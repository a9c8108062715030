/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an open image is made of, for the files of this floor: opened once, never changed. */
#ifndef Q2SI_IMAGE_IMAGE_H
#define Q2SI_IMAGE_IMAGE_H

#include <q2s/image.h>

/** The names point into @cluster0; a length of 0 comes with a NULL pointer. */
struct q2s_image {
	struct q2s_store *file;
	uint8_t *cluster0; /* cluster0_size bytes, zero-padded */
	size_t cluster0_size;
	bool has_geom;
	struct q2s_diag fault; /* of one that was opened with Q2S_IMAGE_TOLERANT; else no failure */
	struct q2s_header header;
	struct q2s_geom geom;
	struct q2s_bytes backing_name;
	struct q2s_bytes backing_format;
	struct q2s_bytes data_file_name;
	bool has_bitmaps;
	bool stale_bitmaps; /* an extension without its autoclear bit */
	bool has_crypto;
	bool has_mark, mark_seen; /* one that can be read; any at all */
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_ext_crypto crypto;
	struct q2s_mark mark;
};

/** For what needs a sound image: the fault of one that is not. Q2S_OK, or @image->fault.err. */
enum q2s_err q2si_image_sound(const struct q2s_image *image, struct q2s_diag *diag);

/** Walk the header extensions of @image and note what they say; @flags of q2s_image_open(). */
enum q2s_err q2si_extensions_read(struct q2s_image *image, unsigned flags, struct q2s_diag *diag);

/**
 * Refuse an image for incompatible features that we do not know, named by its own name table,
 * else by number.
 *
 * @file     to read the name table from
 * @refusal  what q2s_header_decode() said: its value holds the bits
 * Returns Q2S_E_UNSUPPORTED, or that the file cannot be read.
 */
enum q2s_err q2si_features_refuse(struct q2s_store *file, const struct q2s_diag *refusal,
				  struct q2s_diag *diag);

/**
 * Does [@at, @at + @len) of metadata lie in the file? Only the last cluster of a file may be
 * partial: what starts in a later one is Q2S_E_TRUNCATED.
 */
enum q2s_err q2si_image_holds(const struct q2s_image *image, q2s_host at, uint64_t len,
			      const char *what, struct q2s_diag *diag);

/** Refuse the structure of @len bytes at @at, which lies past the end: Q2S_E_TRUNCATED. */
enum q2s_err q2si_image_ends(const struct q2s_image *image, q2s_host at, uint64_t len,
			     const char *what, struct q2s_diag *diag);

/** Read metadata, with zeros for the missing tail of the last cluster; else as above. */
enum q2s_err q2si_image_read(const struct q2s_image *image, q2s_host at, void *buf, size_t len,
			     const char *what, struct q2s_diag *diag);

/** Is @l1 aligned, within the format's limit, and in the file as far as its disk needs it? */
enum q2s_err q2si_l1_check(const struct q2s_image *image, const struct q2s_l1_table *l1,
			   struct q2s_diag *diag);

/* ---- files of a chain -------------------------------------------------------------------- */

/** Are both the same file, whatever their names? */
bool q2si_is_same_file(const struct q2s_store *a, const struct q2s_store *b);

/** Lock @file as QEMU locks what it reads, unless @force_share. Q2S_E_BUSY, Q2S_E_IO. */
enum q2s_err q2si_lock_to_read(struct q2s_store *file, bool force_share, struct q2s_diag *diag);

#endif
