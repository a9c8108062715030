/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images for tests, made from what the test says they hold: legal parts through the codec, wrong
 * ones as raw words. They live in memory; refcounts are left out, as no reader looks at them.
 */
#ifndef Q2S_TESTS_MADE_H
#define Q2S_TESTS_MADE_H

#include <stdbool.h>

#include <q2s/format.h>
#include <q2s/io.h>

/**
 * @header  what made_finish() writes; may be changed until then
 * @end     host offset of the next free byte; clusters are taken from the next boundary on
 */
struct made {
	int fd;
	struct q2s_header header;
	struct q2s_geom geom;
	uint64_t end;
	uint8_t extensions[2048];
	uint64_t extensions_len;
	const char *backing;
};

/** An image without any L2 table. A failure of any of these functions ends the program. */
struct made made_start(const struct q2s_geom_params *params);
/** A version 3 image with standard or extended L2. */
struct made made_v3(uint32_t cluster_bits, bool extended, uint64_t size);
void made_free(struct made *image);

/** Take @len bytes of whole clusters and write @data there (NULL: leave a hole). */
q2s_host made_clusters(struct made *image, const void *data, uint64_t len);
/** Append @len bytes right behind the last, without alignment. */
q2s_host made_bytes(struct made *image, const void *data, uint64_t len);

/** Set the L2 entry of @guest, with a new L2 table when there is none. */
void made_entry(struct made *image, uint64_t guest, const struct q2s_l2_entry *entry);
/** The same with any words; @map counts in extended images. */
void made_raw_entry(struct made *image, uint64_t guest, uint64_t desc, uint64_t map);
/** Host offset of the L2 entry of @guest, whose table must be there. */
uint64_t made_entry_at(struct made *image, uint64_t guest);
void made_l1(struct made *image, uint64_t index, uint64_t word);

/** A data cluster at @guest, all of it @byte; returns where it lies. */
q2s_host made_data(struct made *image, uint64_t guest, uint8_t byte);
/** A compressed cluster at @guest whose stream is these bytes. */
q2s_host made_compressed(struct made *image, uint64_t guest, const void *stream, uint64_t len);

void made_extension(struct made *image, uint32_t type, const void *data, uint32_t len);
/** Write the header, the extensions and the backing name. */
void made_finish(struct made *image);

/** Overwrite big-endian integers anywhere: how a legal image becomes a wrong one. */
void made_put32(struct made *image, uint64_t at, uint32_t value);
void made_put64(struct made *image, uint64_t at, uint64_t value);
/** Cut the file, or make it longer. */
void made_resize(struct made *image, uint64_t size);

/** The image as a file of its own; close it. */
struct q2s_store *made_file(const struct made *image);
/** Write it to @path. */
void made_save(const struct made *image, const char *path);

#endif
