/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"

static void *
need(void *list)
{
	if (!list) {
		perror("laboratory");
		exit(2);
	}
	return list;
}

static uint8_t *
new_content(struct oracle *oracle)
{
	if (oracle->count == oracle->room) {
		oracle->room = q2si_max(2 * oracle->room, 256);
		oracle->contents = need(
			reallocarray(oracle->contents, oracle->room, sizeof(*oracle->contents)));
	}
	return oracle->contents[oracle->count++];
}

static void
add_version(struct oracle_sector *sector, int op, size_t content)
{
	if (sector->count == sector->room) {
		sector->room = q2si_max(2 * sector->room, 4);
		sector->versions = need(
			reallocarray(sector->versions, sector->room, sizeof(*sector->versions)));
	}
	sector->versions[sector->count++] = (struct oracle_version){ op, (uint32_t)content };
}

void
oracle_init(struct oracle *oracle, const struct lab_image *image, const uint8_t *first)
{
	*oracle = (struct oracle){ .image = image };
	oracle->sectors = need(calloc(image->sectors, sizeof(*oracle->sectors)));
	for (size_t i = 0; i < image->sectors; i++) {
		memcpy(new_content(oracle), first + i * SIM_SECTOR, SIM_SECTOR);
		add_version(&oracle->sectors[i], -1, i);
	}
}

void
oracle_reset(struct oracle *oracle)
{
	oracle->count = oracle->image->sectors;
	for (size_t i = 0; i < oracle->image->sectors; i++)
		oracle->sectors[i].count = 1;
}

void
oracle_free(struct oracle *oracle)
{
	for (size_t i = 0; i < oracle->image->sectors; i++)
		free(oracle->sectors[i].versions);
	free(oracle->sectors);
	free(oracle->contents);
}

bool
sector_is_full_of(const uint8_t *sector, uint8_t byte)
{
	return sector[0] == byte && memcmp(sector, sector + 1, SIM_SECTOR - 1) == 0;
}

const uint8_t *
oracle_first(const struct oracle *oracle, size_t index)
{
	return oracle->contents[index];
}

bool
oracle_was_gone(const struct oracle *oracle, size_t index)
{
	const struct oracle_sector *sector = &oracle->sectors[index];

	for (size_t i = 0; i < sector->count; i++)
		if (sector_is_full_of(oracle->contents[sector->versions[i].content], LAB_GONE))
			return true;
	return false;
}

uint64_t
oracle_guest(const struct oracle *oracle, size_t index)
{
	const struct lab_window *window = oracle->image->windows;

	for (; index >= window->count; window++)
		index -= window->count;
	return (window->start + index) * SIM_SECTOR;
}

const uint8_t *
oracle_latest(const struct oracle *oracle, size_t index)
{
	const struct oracle_sector *sector = &oracle->sectors[index];

	return oracle->contents[sector->versions[sector->count - 1].content];
}

void
oracle_write(struct oracle *oracle, int op, uint64_t at, uint64_t len, const uint8_t *data)
{
	for (size_t i = 0; i < oracle->image->sectors; i++) {
		const uint64_t start = oracle_guest(oracle, i), end = start + SIM_SECTOR;
		const uint64_t from = q2si_max(at, start), until = q2si_min(at + len, end);
		uint8_t *content;

		if (from >= until)
			continue;
		content = new_content(oracle);
		memcpy(content, oracle_latest(oracle, i), SIM_SECTOR);
		if (data)
			memcpy(content + (from - start), data + (from - at), until - from);
		else
			memset(content + (from - start), 0, until - from);
		add_version(&oracle->sectors[i], op, oracle->count - 1);
	}
}

void
oracle_set(struct oracle *oracle, int op, size_t index, const uint8_t *content)
{
	uint8_t copy[SIM_SECTOR]; /* the list of contents may move */

	memcpy(copy, content, sizeof(copy));
	memcpy(new_content(oracle), copy, sizeof(copy));
	add_version(&oracle->sectors[index], op, oracle->count - 1);
}

const uint8_t *
oracle_before(const struct oracle *oracle, size_t index, int op)
{
	const struct oracle_sector *sector = &oracle->sectors[index];
	size_t i = sector->count - 1;

	while (i > 0 && sector->versions[i].op >= op)
		i--;
	return oracle->contents[sector->versions[i].content];
}

bool
oracle_allows(const struct oracle *oracle, size_t index, int done, const uint8_t *content)
{
	const struct oracle_sector *sector = &oracle->sectors[index];

	for (size_t i = sector->count; i-- > 0;) {
		if (memcmp(oracle->contents[sector->versions[i].content], content, SIM_SECTOR) == 0)
			return true;
		if (sector->versions[i].op < done)
			return false;
	}
	return false;
}
