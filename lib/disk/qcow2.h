/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A qcow2 image and the layers below it as one disk: what its files share. */
#ifndef Q2SI_DISK_QCOW2_H
#define Q2SI_DISK_QCOW2_H

#include <stdatomic.h>

#include <q2s/crypt.h>

#include "disk/disk.h"
#include "image/shared.h"

/** Decompressed clusters that a cursor keeps: neighbours, so that small reads do not repeat work. */
#define Q2SI_SLOTS 4

/**
 * One layer of the chain, as a reader needs it. All but @crypt belongs to the struct q2s_chain;
 * where there is none, as somebody else named the layers, to the layer.
 *
 * @file     the image, or the raw file
 * @image    NULL: a raw layer, which has nothing below it
 * @data     where plain clusters lie: @file or the external data file
 * @crypt    NULL: plain clusters are the guest's bytes; else they have to be decrypted
 * @l1       the table that shows the content: the active one, or a snapshot's
 * @size     guest bytes; reads behind them give zeros, whatever lies below
 * @cut      @file was found to end within data that was asked for
 */
struct q2si_layer {
	struct q2s_store *file;
	struct q2s_image *image;
	struct q2s_store *data;
	struct q2s_crypt *crypt;
	struct q2s_l1_table l1;
	uint64_t size;
	atomic_bool cut;
};

/**
 * The layers of @chain from the top down; it is NULL if somebody else named them.
 *
 * @strict  the tail of a data cluster behind the end of a file is an error, and not zero
 * @part    more layers lie below, and decide what these leave to them
 */
struct q2si_chain {
	struct q2s_chain *chain;
	struct q2si_layer *layers;
	size_t count;
	bool strict;
	bool part;
};

/** Open @file as the top of a chain, and all below it that @options lets be opened. */
enum q2s_err q2si_chain_open(struct q2s_store *file, const struct q2s_disk_qcow2_options *options,
			     struct q2si_chain *out, struct q2s_diag *diag);
/**
 * A chain whose layers somebody else names: @files from the bottom up, whatever names their headers
 * hold. Q2S_E_CONFLICT: they cannot belong together.
 *
 * @raw_bottom  the first file is a raw disk
 */
enum q2s_err q2si_chain_open_layers(struct q2s_store *const *files, size_t count, bool raw_bottom,
				    const struct q2s_disk_qcow2_options *options,
				    struct q2si_chain *out, struct q2s_diag *diag);
/** Layers [@first, @first + @count) of @chain, which gets a reference. */
enum q2s_err q2si_chain_open_part(struct q2s_chain *chain, size_t first, size_t count,
				  const struct q2s_disk_qcow2_options *options,
				  struct q2si_chain *out, struct q2s_diag *diag);
void q2si_chain_close(struct q2si_chain *chain);

/**
 * Do the valid marks of @images, from the top down, say that these layers do not belong together
 * like this? NULL stands for a raw layer. A layer that is not marked may be any.
 *
 * @complete  nothing can lie below the last one, so that a parent which it names is missing
 * Returns Q2S_OK, or Q2S_E_CONFLICT.
 */
enum q2s_err q2si_marks_check(const struct q2s_image *const *images, size_t count, bool complete,
			      struct q2s_diag *diag);

/** The table of the internal snapshot with ID @wanted, else with that name. */
enum q2s_err q2si_snapshot_find(const struct q2s_image *image, const char *wanted,
				struct q2s_l1_table *out, struct q2s_diag *diag);

/** @tables  slices of the tables of all layers, for all cursors */
struct q2si_qcow2_disk {
	struct q2s_disk disk;
	struct q2si_chain chain;
	struct q2si_shared *tables;
	bool remote; /* some of its files are on a server */
};

/**
 * What a cursor knows of one layer: the walker, the cipher of an encrypted one, the run found last
 * (guest [@start, @end)), and the stretch of layer->data found last.
 */
struct q2si_view {
	struct q2s_map *map;
	struct q2s_cipher *cipher;
	uint64_t start, end;
	struct q2s_run run;
	struct q2s_stretch_walk stretches;
};

/** A decompressed cluster of layer @depth, known by the host offset of its stream. */
struct q2si_slot {
	uint8_t *data;
	size_t size;
	size_t depth;
	q2s_host host;
	uint64_t used; /* 0: holds nothing; else the larger, the later it was needed */
};

struct q2si_qcow2_cursor {
	struct q2s_cursor cursor;
	struct q2si_view *views; /* one a layer */
	struct q2si_slot slots[Q2SI_SLOTS];
	uint64_t clock;
};

/**
 * A stretch of the whole chain, before anybody looked for holes in the files below.
 *
 * @depth      of the layer that decided; chain.count where none did
 * @file       uncompressed data: the file that holds it, from @at on (the tail of a last cluster
 *             may lie behind its end); NULL for compressed data and for what is no data
 * @encrypted  @file holds it encrypted: where the guest sees zeros, the file has noise, and where
 *             the file has zeros or a hole, the guest sees noise
 * @run        compressed data: how to get it; the piece is within one cluster
 */
struct q2si_piece {
	uint64_t len;
	enum q2s_state state;
	size_t depth;
	struct q2s_store *file;
	uint64_t at;
	bool encrypted;
	bool once; /* as struct q2s_run has it */
	struct q2s_run run;
};

/** The piece at @guest, which is on the disk, at most @max bytes. */
enum q2s_err q2si_qcow2_piece(struct q2si_qcow2_cursor *cursor, q2s_guest guest, uint64_t max,
			      struct q2si_piece *out, struct q2s_diag *diag);

enum q2s_err q2si_qcow2_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max,
			       struct q2s_extent *out, struct q2s_diag *diag);
enum q2s_err q2si_qcow2_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
			     struct q2s_diag *diag);

/** See q2si_cursor_will_read(): only what is on servers is asked for. */
bool q2si_qcow2_will_read(struct q2s_cursor *cursor, q2s_guest guest, size_t len);

/** Read all of an encrypted piece, which starts at @guest. */
enum q2s_err q2si_qcow2_decrypt(struct q2si_qcow2_cursor *cursor, q2s_guest guest,
				const struct q2si_piece *piece, uint8_t *buf,
				struct q2s_diag *diag);

/** Read guest data as it lies in @file; zeros behind the end that it had when it was opened. */
enum q2s_err q2si_qcow2_plain_read(struct q2s_store *file, uint64_t at, uint8_t *buf, size_t len,
				   struct q2s_diag *diag);

static inline struct q2si_shared *
q2si_qcow2_tables(const struct q2si_qcow2_cursor *cursor)
{
	return ((const struct q2si_qcow2_disk *)cursor->cursor.disk)->tables;
}

static inline const struct q2si_chain *
q2si_qcow2_chain(const struct q2si_qcow2_cursor *cursor)
{
	return &((const struct q2si_qcow2_disk *)cursor->cursor.disk)->chain;
}

#endif
