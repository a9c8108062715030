/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small image in memory, built from what a spec says and then damaged where it says so. What is
 * regular about it is encoded by the library, as in an image that q2s writes.
 *
 * What can fail returns the error, and leaves it in the model's diagnostic.
 */
#ifndef CORPUS_MODEL_H
#define CORPUS_MODEL_H

#include <q2s/format.h>

#define MODEL_ITEMS 64u           /* snapshots, bitmaps, extensions */
#define MODEL_BLOCKS 4096u        /* refcount blocks */
#define MODEL_CLUSTERS (1u << 20) /* more than any spec has use for */

struct model_snapshot {
	uint64_t l1; /* host offset */
	uint32_t l1_entries;
	uint64_t vm_state_size;
	char name[64];
	uint64_t at; /* of its record, once there is one */
};

struct model_bitmap {
	uint64_t table;
	uint32_t entries;
	uint32_t flags;
	uint8_t granularity_bits;
	char name[64];
	uint64_t at;
};

struct model_extension {
	uint32_t type;
	uint32_t len;
	uint8_t data[1024];
	uint64_t at;
};

/**
 * @params, the names and the bits after them  what the image line says
 * @bytes      the file, @clusters clusters
 * @next       the host cluster that is allocated next
 * @counts     references of each cluster
 * @blocks     host offsets of the refcount blocks
 * @stream_at  where the next compressed stream may start, or 0
 * @begun      the geometry is fixed; @finished: everything is in @bytes
 * @file_size  bytes to write; a larger number than there are bytes is a hole
 * @rule       that the image breaks, and where; empty: none
 * @diag       the first failure
 */
struct model {
	struct q2s_geom_params params;
	char backing[256], backing_format[32], data_file[256];
	bool data_file_raw;
	bool luks;
	uint8_t compression;
	uint32_t header_length;
	uint32_t l1_entries;
	uint32_t reftable_clusters;

	struct q2s_geom geom;
	uint8_t *bytes;
	uint64_t clusters;
	uint64_t next;
	uint64_t *counts;
	uint64_t blocks[MODEL_BLOCKS];
	uint32_t block_count;
	uint64_t reftable, l1, crypto, snapshots_at, bitmaps_at;
	uint64_t stream_at;
	struct model_snapshot snapshots[MODEL_ITEMS];
	uint32_t snapshot_count;
	struct model_bitmap bitmaps[MODEL_ITEMS];
	uint32_t bitmap_count;
	struct model_extension extensions[MODEL_ITEMS];
	uint32_t extension_count;
	bool begun, finished;
	uint64_t file_size;
	uint64_t round; /* of `repeat` */
	char title[128];
	char rule[64];
	uint64_t broken_at;
	struct q2s_diag diag;
};

/** An empty model with what the image line says when there is none. NULL when memory is short. */
struct model *model_new(void);
void model_free(struct model *model);

/** Record that the spec asks for something impossible. Returns Q2S_E_USAGE. */
enum q2s_err model_fail(struct model *model, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** Fix the geometry and make header, refcount table and L1 table; once. */
enum q2s_err model_begin(struct model *model);
/**
 * Allocate @n clusters side by side, with @count references each.
 *
 * Returns the host offset, or 0 (which is the header's) after a failure.
 */
uint64_t model_alloc(struct model *model, uint64_t n, uint64_t count);
/** The @len bytes at host offset @at; NULL, a failure, where the image has none. */
uint8_t *model_at(struct model *model, uint64_t at, uint64_t len);
/** Write header, extensions, snapshot table, bitmap directory and refcounts; once. */
enum q2s_err model_finish(struct model *model);

/* ---- L1 and L2 ----------------------------------------------------------------------------- */

/** The active L1 table's entry @index. */
enum q2s_err model_l1_get(struct model *model, uint64_t index, struct q2s_l1_entry *out);
enum q2s_err model_l1_put(struct model *model, uint64_t index, uint64_t l2, bool copied);

/** The L2 table of an L1 entry, private to the active table: allocated or copied as needed. */
enum q2s_err model_own_table(struct model *model, uint64_t index, uint64_t *out);

/** The L2 entry of guest cluster @guest, in a table that is the image's own. */
enum q2s_err model_l2_get(struct model *model, uint64_t guest, struct q2s_l2_entry *out);

/** Put an entry whose references are already counted; what was there before loses its own. */
enum q2s_err model_l2_put(struct model *model, uint64_t guest, const struct q2s_l2_entry *entry);

/** Give all that an entry refers to @delta more references. */
void model_count(struct model *model, const struct q2s_l2_entry *entry, int delta);

/* ---- content: one guest cluster each ------------------------------------------------------ */

/** Data with a pattern; @alloc and @zero say which subclusters (standard images: bit 0). */
enum q2s_err model_data(struct model *model, uint64_t guest, uint32_t alloc, uint32_t zero);
enum q2s_err model_zero(struct model *model, uint64_t guest);
enum q2s_err model_compressed(struct model *model, uint64_t guest);
/** Map @guest to whatever @other is mapped to. */
enum q2s_err model_share(struct model *model, uint64_t guest, uint64_t other);
/** Map a range of one L2 table to the same table as another: L1 entries @index and @other. */
enum q2s_err model_share_table(struct model *model, uint64_t index, uint64_t other);

/** What a bitmap's table says of its bits. */
enum model_bits {
	MODEL_BITS_DATA,  /* in a cluster; the first one is set */
	MODEL_BITS_ZEROS, /* all clear, without a cluster */
	MODEL_BITS_ONES,  /* all set, without a cluster */
};

enum q2s_err model_snapshot(struct model *model, const char *name, uint64_t vm_state_size);
enum q2s_err model_bitmap(struct model *model, const char *name, uint64_t granularity,
			  uint32_t flags, enum model_bits bits);
enum q2s_err model_extension(struct model *model, uint32_t type, const void *data, uint32_t len);

/** Compress one cluster with the image's type. Returns the bytes used of @out, or 0: a failure. */
size_t model_compress(struct model *model, const uint8_t *in, uint8_t *out);

/* ---- specs --------------------------------------------------------------------------------- */

/** Carry out one line of a spec; @line is cut into words. */
enum q2s_err run_line(struct model *model, char *line);

/* ---- damage ------------------------------------------------------------------------------- */

/** The value of an expression of the spec language; *@text is moved behind it. */
enum q2s_err expression(struct model *model, const char **text, uint64_t old, uint64_t *out);
/** Carry out "FIELD = EXPRESSION". */
enum q2s_err assignment(struct model *model, const char *text);

#endif
