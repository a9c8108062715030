/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counting: pages come into being, and become wider, as their counts need it. */
#include "counts_page.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

static inline void
lane_set(uint64_t *words, unsigned width, uint32_t lane, uint64_t value)
{
	const unsigned shift = (lane << width) & 63;
	uint64_t *word = &words[lane >> (6 - width)];

	*word = (*word & ~(lane_max(width) << shift)) | value << shift;
}

static inline uint64_t
add_saturated(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static unsigned
width_for(uint64_t value)
{
	unsigned width = 0;

	while (value > lane_max(width))
		width++;
	return width;
}

enum q2s_err
q2si_budget_take(struct q2si_budget *budget, uint64_t bytes)
{
	if (bytes > budget->left)
		return Q2S_E_LIMIT;
	budget->left -= bytes;
	return Q2S_OK;
}

/* ---- the directory ----------------------------------------------------------------------- */

enum q2s_err
q2si_counts_init(struct q2si_counts *counts, uint64_t limit, struct q2si_budget *budget)
{
	const uint64_t nodes = q2si_div_up(limit, (uint64_t)PAGE_LANES * NODE_PAGES);

	*counts = (struct q2si_counts){ .limit = limit, .node_count = nodes, .budget = budget };
	if (nodes == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_budget_take(budget, nodes * sizeof(*counts->nodes)));
	counts->nodes = calloc(q2si_size(nodes), sizeof(*counts->nodes));
	return counts->nodes ? Q2S_OK : Q2S_E_NOMEM;
}

static void
node_free(struct q2si_count_node *node)
{
	for (uint32_t i = 0; node && i < NODE_PAGES; i++)
		if (node->pages[i].kind)
			free(node->pages[i].words);
	free(node);
}

void
q2si_counts_free(struct q2si_counts *counts)
{
	for (uint64_t i = 0; counts->nodes && i < counts->node_count; i++)
		node_free(counts->nodes[i]);
	free(counts->nodes);
	counts->nodes = NULL;
	counts->node_count = 0;
}

static enum q2s_err
node_make(struct q2si_counts *counts, uint64_t number)
{
	Q2SI_TRY(q2si_budget_take(counts->budget, sizeof(struct q2si_count_node)));
	counts->nodes[number] = calloc(1, sizeof(struct q2si_count_node));
	return counts->nodes[number] ? Q2S_OK : Q2S_E_NOMEM;
}

/* ---- one page ---------------------------------------------------------------------------- */

/* Lanes that are 0 are so already in @words: most are, in the pages of small images. */
static void
lanes_spread(const struct count_page *page, uint64_t *words, unsigned width)
{
	const unsigned from = page_width(page);

	for (uint32_t lane = 0; lane < PAGE_LANES;) {
		const uint32_t end = lane + (64u >> from);

		if (page->words[lane >> (6 - from)] == 0)
			lane = end;
		for (; lane < end; lane++)
			lane_set(words, width, lane, page_get(page, lane));
	}
}

/* Give a page lanes of @width, wide enough for what it holds. */
static enum q2s_err
page_widen(struct q2si_counts *counts, struct count_page *page, unsigned width)
{
	const size_t bytes = PAGE_LANES / 8u << width;
	uint64_t *words;

	Q2SI_TRY(q2si_budget_take(counts->budget, bytes));
	words = calloc(1, bytes);
	if (!words)
		return Q2S_E_NOMEM;
	if (page->kind) {
		lanes_spread(page, words, width);
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
static bool
slice_add_slowly(uint64_t *words, unsigned width, uint32_t *lane, uint32_t end, uint64_t k)
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
static bool
packed_add(struct count_page *page, uint32_t *lane, uint32_t end, uint64_t k, uint64_t *seen)
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

static enum q2s_err
page_add(struct q2si_counts *counts, struct count_page *page, uint32_t lane, uint32_t n, uint64_t k,
	 bool *touched)
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
static inline bool
add_one(struct q2si_counts *counts, uint64_t cluster, uint64_t k, bool *touched)
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

enum q2s_err
q2si_counts_add(struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t k, bool *touched)
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
		Q2SI_TRY(page_add(counts, &(*node)->pages[number & (NODE_PAGES - 1)], lane, part, k,
				  touched));
		first += part;
		n -= part;
	}
	return Q2S_OK;
}
