/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts in pages: a directory of nodes, a node of pages, a page of counts. Counts of 1 to 64 bits
 * are lanes of 64-bit words, the first in the lowest bits, so that whole words are added and
 * compared at once.
 */
#include "counts.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

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

static inline unsigned page_width(const struct count_page *page)
{
	return page->kind - 1u;
}

static inline uint64_t lane_max(unsigned width)
{
	return UINT64_MAX >> (64 - (1u << width));
}

static inline struct slice slice_at(unsigned width, uint32_t lane, uint32_t n)
{
	const unsigned per_word = 64u >> width;
	const uint32_t in_word = lane & (per_word - 1);
	const uint32_t lanes = per_word - in_word < n ? per_word - in_word : n;
	const uint64_t bits = UINT64_MAX >> (64 - (lanes << width));

	return (struct slice){ lane >> (6 - width), lanes, bits << (in_word << width) };
}

static inline uint64_t lane_get(const uint64_t *words, unsigned width, uint32_t lane)
{
	const unsigned shift = (lane << width) & 63;

	return words[lane >> (6 - width)] >> shift & lane_max(width);
}

static inline void lane_set(uint64_t *words, unsigned width, uint32_t lane, uint64_t value)
{
	const unsigned shift = (lane << width) & 63;
	uint64_t *word = &words[lane >> (6 - width)];

	*word = (*word & ~(lane_max(width) << shift)) | value << shift;
}

static inline uint64_t add_saturated(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static unsigned width_for(uint64_t value)
{
	unsigned width = 0;

	while (value > lane_max(width))
		width++;
	return width;
}

static inline uint64_t page_get(const struct count_page *page, uint32_t lane)
{
	return page->kind ? lane_get(page->words, page_width(page), lane) : page->value;
}

enum q2s_err q2si_budget_take(struct q2si_budget *budget, uint64_t bytes)
{
	if (bytes > budget->left)
		return Q2S_E_LIMIT;
	budget->left -= bytes;
	return Q2S_OK;
}

/* ---- the directory ----------------------------------------------------------------------- */

enum q2s_err q2si_counts_init(struct q2si_counts *counts, uint64_t limit,
			      struct q2si_budget *budget)
{
	const uint64_t nodes = q2si_div_up(limit, (uint64_t)PAGE_LANES * NODE_PAGES);

	*counts = (struct q2si_counts){ .limit = limit, .node_count = nodes, .budget = budget };
	if (nodes == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_budget_take(budget, nodes * sizeof(*counts->nodes)));
	counts->nodes = calloc(nodes, sizeof(*counts->nodes));
	return counts->nodes ? Q2S_OK : Q2S_E_NOMEM;
}

static void node_free(struct q2si_count_node *node)
{
	for (uint32_t i = 0; node && i < NODE_PAGES; i++)
		if (node->pages[i].kind)
			free(node->pages[i].words);
	free(node);
}

void q2si_counts_free(struct q2si_counts *counts)
{
	for (uint64_t i = 0; counts->nodes && i < counts->node_count; i++)
		node_free(counts->nodes[i]);
	free(counts->nodes);
	counts->nodes = NULL;
	counts->node_count = 0;
}

/* The page that holds the count of @cluster, or a page of zeros. */
static inline const struct count_page *page_find(const struct q2si_counts *counts, uint64_t cluster)
{
	static const struct count_page zeros;
	const uint64_t number = cluster >> PAGE_BITS;
	const struct q2si_count_node *node = counts->nodes[number >> NODE_BITS];

	return node ? &node->pages[number & (NODE_PAGES - 1)] : &zeros;
}

static enum q2s_err node_make(struct q2si_counts *counts, uint64_t number)
{
	Q2SI_TRY(q2si_budget_take(counts->budget, sizeof(struct q2si_count_node)));
	counts->nodes[number] = calloc(1, sizeof(struct q2si_count_node));
	return counts->nodes[number] ? Q2S_OK : Q2S_E_NOMEM;
}

/* ---- one page ---------------------------------------------------------------------------- */

/* Give a page lanes of @width, wide enough for what it holds. */
static enum q2s_err page_widen(struct q2si_counts *counts, struct count_page *page, unsigned width)
{
	const size_t bytes = PAGE_LANES / 8u << width;
	uint64_t *words;

	Q2SI_TRY(q2si_budget_take(counts->budget, bytes));
	words = malloc(bytes);
	if (!words)
		return Q2S_E_NOMEM;
	if (page->kind) {
		for (uint32_t lane = 0; lane < PAGE_LANES; lane++)
			lane_set(words, width, lane, page_get(page, lane));
		counts->budget->left += PAGE_LANES / 8u << page_width(page);
		free(page->words);
	} else {
		for (size_t i = 0; i < bytes / sizeof(*words); i++)
			words[i] = page->value * lane_low[width];
	}
	page->words = words;
	page->kind = (uint8_t)(width + 1);
	return Q2S_OK;
}

/* Add @k to the lanes of a slice one by one; false when a lane is too narrow for its sum. */
static bool slice_add_slowly(uint64_t *words, unsigned width, uint32_t *lane, uint32_t end,
			     uint64_t k)
{
	for (; *lane < end; (*lane)++) {
		const uint64_t sum = add_saturated(lane_get(words, width, *lane), k);

		if (sum > lane_max(width))
			return false;
		lane_set(words, width, *lane, sum);
	}
	return true;
}

/*
 * Add @k to lanes from *@lane up to @end of a packed page; stops at the first that is too narrow.
 * A word whose lanes all have their top bit clear takes up to half of a lane's range at once.
 */
static bool packed_add(struct count_page *page, uint32_t *lane, uint32_t end, uint64_t k,
		       uint64_t *seen)
{
	const unsigned width = page_width(page);
	const unsigned top = (1u << width) - 1;
	const uint64_t high = lane_low[width] << top;
	const bool small = k <= 1ull << top;

	while (*lane < end) {
		const struct slice slice = slice_at(width, *lane, end - *lane);
		uint64_t *word = &page->words[slice.word];

		*seen |= *word & slice.mask;
		if (small && !(*word & slice.mask & high)) {
			*word += k * lane_low[width] & slice.mask;
			*lane += slice.lanes;
		} else if (!slice_add_slowly(page->words, width, lane, *lane + slice.lanes, k)) {
			return false;
		}
	}
	return true;
}

static enum q2s_err page_add(struct q2si_counts *counts, struct count_page *page, uint32_t lane,
			     uint32_t n, uint64_t k, bool *touched)
{
	const uint32_t end = lane + n;
	uint64_t seen = 0;

	if (!page->kind) {
		const uint64_t sum = add_saturated(page->value, k);

		if (page->value)
			*touched = true;
		if (n == PAGE_LANES) {
			page->value = sum;
			return Q2S_OK;
		}
		Q2SI_TRY(page_widen(counts, page, width_for(sum)));
	}
	while (!packed_add(page, &lane, end, k, &seen)) {
		const uint64_t sum = add_saturated(page_get(page, lane), k);

		Q2SI_TRY(page_widen(counts, page, width_for(sum)));
	}
	if (seen)
		*touched = true;
	return Q2S_OK;
}

/* One count that has a lane with room for its sum: what a mapping without runs consists of. */
static inline bool add_one(struct q2si_counts *counts, uint64_t cluster, uint64_t k, bool *touched)
{
	const struct count_page *page = page_find(counts, cluster);
	const uint32_t lane = (uint32_t)cluster & (PAGE_LANES - 1);
	uint64_t count;

	if (!page->kind)
		return false;
	count = lane_get(page->words, page_width(page), lane);
	if (k > lane_max(page_width(page)) - count)
		return false;
	page->words[lane >> (6 - page_width(page))] += k << ((lane << page_width(page)) & 63);
	*touched |= count != 0;
	return true;
}

enum q2s_err q2si_counts_add(struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t k,
			     bool *touched)
{
	if (n == 1 && add_one(counts, first, k, touched))
		return Q2S_OK;
	while (n > 0) {
		const uint64_t number = first >> PAGE_BITS;
		const uint32_t lane = (uint32_t)first & (PAGE_LANES - 1);
		const uint32_t part = (uint32_t)q2si_min(n, PAGE_LANES - lane);
		struct q2si_count_node **node = &counts->nodes[number >> NODE_BITS];

		if (!*node)
			Q2SI_TRY(node_make(counts, number >> NODE_BITS));
		Q2SI_TRY(page_add(counts, &(*node)->pages[number & (NODE_PAGES - 1)], lane, part,
				  k, touched));
		first += part;
		n -= part;
	}
	return Q2S_OK;
}

/* ---- questions --------------------------------------------------------------------------- */

uint64_t q2si_counts_get(const struct q2si_counts *counts, uint64_t cluster)
{
	if (cluster >= counts->limit)
		return 0;
	return page_get(page_find(counts, cluster), (uint32_t)cluster & (PAGE_LANES - 1));
}

void q2si_counts_prefetch(const struct q2si_counts *counts, uint64_t cluster)
{
	const uint32_t lane = (uint32_t)cluster & (PAGE_LANES - 1);
	const struct count_page *page;

	if (cluster >= counts->limit)
		return;
	page = page_find(counts, cluster);
	if (page->kind)
		__builtin_prefetch(&page->words[lane >> (6 - page_width(page))]);
}

static bool page_all(const struct count_page *page, uint32_t lane, uint32_t n, uint64_t value)
{
	const uint32_t end = lane + n;
	const unsigned width = page_width(page);

	if (!page->kind)
		return page->value == value;
	if (value > lane_max(width))
		return false;
	while (lane < end) {
		const struct slice slice = slice_at(width, lane, end - lane);

		if ((page->words[slice.word] ^ value * lane_low[width]) & slice.mask)
			return false;
		lane += slice.lanes;
	}
	return true;
}

/* A lane equals @value where the difference is 0: found with the borrow that it alone makes. */
static bool page_none(const struct count_page *page, uint32_t lane, uint32_t n, uint64_t value)
{
	const uint32_t end = lane + n;
	const unsigned width = page_width(page);

	if (!page->kind)
		return page->value != value;
	if (value > lane_max(width))
		return true;
	while (lane < end) {
		const struct slice slice = slice_at(width, lane, end - lane);
		const uint64_t low = lane_low[width], high = low << ((1u << width) - 1);
		const uint64_t diff = (page->words[slice.word] ^ value * low) | ~slice.mask;

		if ((diff - low) & ~diff & high)
			return false;
		lane += slice.lanes;
	}
	return true;
}

static bool each_page(const struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t value,
		      bool (*holds)(const struct count_page *, uint32_t, uint32_t, uint64_t))
{
	while (n > 0) {
		const uint32_t lane = (uint32_t)first & (PAGE_LANES - 1);
		const uint32_t part = (uint32_t)q2si_min(n, PAGE_LANES - lane);

		if (!holds(page_find(counts, first), lane, part, value))
			return false;
		first += part;
		n -= part;
	}
	return true;
}

bool q2si_counts_all(const struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t value)
{
	return each_page(counts, first, n, value, page_all);
}

bool q2si_counts_none(const struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t value)
{
	return each_page(counts, first, n, value, page_none);
}

uint64_t q2si_counts_end(const struct q2si_counts *counts)
{
	for (uint64_t end = counts->limit; end > 0;) {
		const uint64_t start = (end - 1) & ~(uint64_t)(PAGE_LANES - 1);

		if (!counts->nodes[start >> PAGE_BITS >> NODE_BITS]) {
			end = start & ~((uint64_t)PAGE_LANES * NODE_PAGES - 1);
			continue;
		}
		if (page_find(counts, start)->kind || page_find(counts, start)->value)
			for (uint64_t last = end; last > start; last--)
				if (q2si_counts_get(counts, last - 1))
					return last;
		end = start;
	}
	return 0;
}

/* Known to be alike without looking at single counts. */
static bool pages_alike(const struct count_page *a, const struct count_page *b)
{
	if (a->kind && a->kind == b->kind)
		return memcmp(a->words, b->words, PAGE_LANES / 8u << page_width(a)) == 0;
	if (a->kind && !b->kind)
		return page_all(a, 0, PAGE_LANES, b->value);
	return !a->kind && page_all(b, 0, PAGE_LANES, a->value);
}

static bool page_next_diff(const struct count_page *a, const struct count_page *b, uint32_t *lane)
{
	if (*lane == 0 && pages_alike(a, b))
		return false;
	while (*lane < PAGE_LANES && page_get(a, *lane) == page_get(b, *lane))
		(*lane)++;
	return *lane < PAGE_LANES;
}

bool q2si_counts_next_diff(const struct q2si_counts *a, const struct q2si_counts *b, uint64_t from,
			   struct q2si_count_diff *out)
{
	const uint64_t span = (uint64_t)PAGE_LANES * NODE_PAGES;

	while (from < a->limit) {
		const struct count_page *pa = page_find(a, from), *pb = page_find(b, from);
		uint32_t lane = (uint32_t)from & (PAGE_LANES - 1);

		if (!a->nodes[from / span] && !b->nodes[from / span]) {
			from = (from / span + 1) * span;
			continue;
		}
		if (page_next_diff(pa, pb, &lane)) {
			out->cluster = (from & ~(uint64_t)(PAGE_LANES - 1)) + lane;
			out->a = page_get(pa, lane);
			out->b = page_get(pb, lane);
			return out->cluster < a->limit;
		}
		from = (from | (PAGE_LANES - 1)) + 1;
	}
	return false;
}
