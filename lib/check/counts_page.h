/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How counts are kept: a directory of nodes, a node of pages, a page of counts. Counts of 1 to 64
 * bits are lanes of 64-bit words, the first in the lowest bits, so that whole words are added and
 * compared at once.
 */
#ifndef Q2SI_CHECK_COUNTS_PAGE_H
#define Q2SI_CHECK_COUNTS_PAGE_H

#include "counts.h"

#define PAGE_BITS 12
#define PAGE_LANES (1u << PAGE_BITS)
#define NODE_BITS 10
#define NODE_PAGES (1u << NODE_BITS)

/*
 * @kind  0: all counts are @value; else they are packed in @words, 1 << (@kind - 1) bits each
 */
struct count_page {
	union {
		uint64_t value;
		uint64_t *words;
	};
	uint8_t kind;
};

struct q2si_count_node {
	struct count_page pages[NODE_PAGES];
};

/* The lowest bit of each lane, by log2 of the width. */
static const uint64_t lane_low[] = {
	UINT64_MAX,
	0x5555555555555555u,
	0x1111111111111111u,
	0x0101010101010101u,
	0x0001000100010001u,
	0x0000000100000001u,
	1,
};

/* A stretch of lanes within one word. */
struct slice {
	uint32_t word;
	uint32_t lanes;
	uint64_t mask;
};

static inline unsigned
page_width(const struct count_page *page)
{
	return page->kind - 1u;
}

static inline uint64_t
lane_max(unsigned width)
{
	return UINT64_MAX >> (64 - (1u << width));
}

static inline struct slice
slice_at(unsigned width, uint32_t lane, uint32_t n)
{
	const unsigned per_word = 64u >> width;
	const uint32_t in_word = lane & (per_word - 1);
	const uint32_t lanes = per_word - in_word < n ? per_word - in_word : n;
	const uint64_t bits = UINT64_MAX >> (64 - (lanes << width));

	return (struct slice){ lane >> (6 - width), lanes, bits << (in_word << width) };
}

static inline uint64_t
lane_get(const uint64_t *words, unsigned width, uint32_t lane)
{
	const unsigned shift = (lane << width) & 63;

	return words[lane >> (6 - width)] >> shift & lane_max(width);
}

static inline uint64_t
page_get(const struct count_page *page, uint32_t lane)
{
	return page->kind ? lane_get(page->words, page_width(page), lane) : page->value;
}

/* The page that holds the count of @cluster, or a page of zeros. */
static inline const struct count_page *
page_find(const struct q2si_counts *counts, uint64_t cluster)
{
	static const struct count_page zeros;
	const uint64_t number = cluster >> PAGE_BITS;
	const struct q2si_count_node *node = counts->nodes[number >> NODE_BITS];

	return node ? &node->pages[number & (NODE_PAGES - 1)] : &zeros;
}

#endif
