/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small image in memory, built from what a spec says and then damaged where it says so. What is
 * regular about it is encoded by the library, as in an image that q2s writes.
 */
#ifndef HOSTILE_MODEL_H
#define HOSTILE_MODEL_H

#include <q2s/format.h>

#define MODEL_ITEMS 64u           /* snapshots, bitmaps, extensions */
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
 * @counts     references of each cluster
 * @blocks     host offsets of the refcount blocks
 * @stream_at  where the next compressed stream may start, or 0
 * @begun      the geometry is fixed; @finished: everything is in @bytes
 * @file_size  bytes to write; a larger number than there are bytes is a hole
 */
struct model {
	struct q2s_geom_params params;
	char backing[256], backing_format[32], data_file[256];
	bool data_file_raw;
	bool luks;
	uint8_t compression;
	uint32_t header_length;
	uint32_t l1_entries;

	struct q2s_geom geom;
	uint8_t *bytes;
	uint64_t clusters;
	uint64_t *counts;
	uint64_t blocks[MODEL_ITEMS * MODEL_ITEMS];
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
};

/** End with a message that names the line of the spec. */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Die with what the library says when @err is not Q2S_OK. */
void must(enum q2s_err err, const struct q2s_diag *diag);

/** Fix the geometry and make header, refcount table and L1 table; once. */
void model_begin(struct model *model);
/** Allocate @n clusters side by side, with @count references each. Returns the host offset. */
uint64_t model_alloc(struct model *model, uint64_t n, uint64_t count);
/** The @len bytes at host offset @at; dies where the image has none. */
uint8_t *model_at(struct model *model, uint64_t at, uint64_t len);
/** Write header, extensions, snapshot table, bitmap directory and refcounts; once. */
void model_finish(struct model *model);

/* ---- content: one guest cluster each ------------------------------------------------------ */

/** The place of the L2 entry of guest cluster @guest, in a table that is the image's own. */
uint8_t *model_entry(struct model *model, uint64_t guest);
struct q2s_l2_entry model_entry_get(struct model *model, uint64_t guest);

/** Data with a pattern; @alloc and @zero say which subclusters (standard images: bit 0). */
void model_data(struct model *model, uint64_t guest, uint32_t alloc, uint32_t zero);
void model_zero(struct model *model, uint64_t guest);
void model_compressed(struct model *model, uint64_t guest);
/** Map @guest to whatever @other is mapped to. */
void model_share(struct model *model, uint64_t guest, uint64_t other);
/** Map a range of one L2 table to the same table as another: L1 entries @index and @other. */
void model_share_table(struct model *model, uint64_t index, uint64_t other);

void model_snapshot(struct model *model, const char *name, uint64_t vm_state_size);
void model_bitmap(struct model *model, const char *name, uint64_t granularity, uint32_t flags);
void model_extension(struct model *model, uint32_t type, const void *data, uint32_t len);

/** Compress one cluster with the image's type. Returns the bytes used of @out (2 clusters). */
size_t model_compress(const struct model *model, const uint8_t *in, uint8_t *out);

/* ---- specs --------------------------------------------------------------------------------- */

/** Carry out one line of a spec; @line is cut into words. */
void run_line(struct model *model, char *line);

/* ---- damage ------------------------------------------------------------------------------- */

/** The value of an expression of the spec language; *@text is moved behind it. */
uint64_t expression(struct model *model, const char **text, uint64_t old);
/** Carry out "FIELD = EXPRESSION". */
void assignment(struct model *model, const char *text);

#endif
