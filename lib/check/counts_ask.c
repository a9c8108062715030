/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions about counts, answered a word, a page or a node at a time where that is possible. */
#include <string.h>

#include "base/arith.h"
#include "counts_page.h"

uint64_t
q2si_counts_get(const struct q2si_counts *counts, uint64_t cluster)
{
	if (cluster >= counts->limit)
		return 0;
	return page_get(page_find(counts, cluster), (uint32_t)cluster & (PAGE_LANES - 1));
}

void
q2si_counts_prefetch(const struct q2si_counts *counts, uint64_t cluster)
{
	const uint32_t lane = (uint32_t)cluster & (PAGE_LANES - 1);
	const struct count_page *page;

	if (cluster >= counts->limit)
		return;
	page = page_find(counts, cluster);
	if (page->kind)
		__builtin_prefetch(&page->words[lane >> (6 - page_width(page))]);
}

static bool
page_all(const struct count_page *page, uint32_t lane, uint32_t n, uint64_t value)
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
static bool
page_none(const struct count_page *page, uint32_t lane, uint32_t n, uint64_t value)
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

static bool
each_page(const struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t value,
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

bool
q2si_counts_all(const struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t value)
{
	return each_page(counts, first, n, value, page_all);
}

bool
q2si_counts_none(const struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t value)
{
	return each_page(counts, first, n, value, page_none);
}

uint64_t
q2si_counts_end(const struct q2si_counts *counts)
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
static bool
pages_alike(const struct count_page *a, const struct count_page *b)
{
	if (a->kind && a->kind == b->kind)
		return memcmp(a->words, b->words, PAGE_LANES / 8u << page_width(a)) == 0;
	if (a->kind && !b->kind)
		return page_all(a, 0, PAGE_LANES, b->value);
	return !a->kind && page_all(b, 0, PAGE_LANES, a->value);
}

static bool
page_next_diff(const struct count_page *a, const struct count_page *b, uint32_t *lane)
{
	if (*lane == 0 && pages_alike(a, b))
		return false;
	while (*lane < PAGE_LANES && page_get(a, *lane) == page_get(b, *lane))
		(*lane)++;
	return *lane < PAGE_LANES;
}

bool
q2si_counts_next_diff(const struct q2si_counts *a, const struct q2si_counts *b, uint64_t from,
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
