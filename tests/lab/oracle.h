/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each sector may hold: all its versions, each with the operation that wrote it. */
#ifndef Q2S_TESTS_LAB_ORACLE_H
#define Q2S_TESTS_LAB_ORACLE_H

#include "image.h"

struct oracle_version {
	int op; /* -1: what was there at first */
	uint32_t content;
};

struct oracle_sector {
	struct oracle_version *versions;
	size_t count, room;
};

struct oracle {
	const struct lab_image *image;
	struct oracle_sector *sectors; /* image->sectors */
	uint8_t (*contents)[SIM_SECTOR];
	size_t count, room;
};

/** @first: the sectors of all windows, one after the other. */
void oracle_init(struct oracle *oracle, const struct lab_image *image, const uint8_t *first);
void oracle_reset(struct oracle *oracle);
void oracle_free(struct oracle *oracle);

/** Operation @op writes @len bytes of @data (NULL: zeros) at guest offset @at. */
void oracle_write(struct oracle *oracle, int op, uint64_t at, uint64_t len, const uint8_t *data);

/** The same for one sector, which becomes @content. */
void oracle_set(struct oracle *oracle, int op, size_t index, const uint8_t *content);

/** May sector @index (of the windows) hold @content, when all before operation @done is durable? */
bool oracle_allows(const struct oracle *oracle, size_t index, int done, const uint8_t *content);
/** What it held before operation @op. */
const uint8_t *oracle_before(const struct oracle *oracle, size_t index, int op);
/** What it holds if nothing is lost. */
const uint8_t *oracle_latest(const struct oracle *oracle, size_t index);

/** What it held at first. */
const uint8_t *oracle_first(const struct oracle *oracle, size_t index);

bool sector_is_full_of(const uint8_t *sector, uint8_t byte);

/** Was it behind the end of the disk at some time? */
bool oracle_was_gone(const struct oracle *oracle, size_t index);

/** The guest offset of sector @index of the windows. */
uint64_t oracle_guest(const struct oracle *oracle, size_t index);

#endif
