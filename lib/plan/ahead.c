/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/ahead.h"

#include "base/arith.h"
#include "io/memory.h"

/* What is asked for at a time: enough for any device to be busy with. */
#define WINDOW (8u << 20)
/* Less than this that lies in a row is not worth two more calls. */
#define SHORT (256u << 10)
/* One byte of so many says whether they are in the cache. */
#define SAMPLE (2u << 20)

/* Half of the memory: the rest of the system lives on, and what was read is still there afterwards. */
void
q2si_ahead_budget_init(struct q2si_ahead_budget *budget, bool read_again)
{
	atomic_init(&budget->left, read_again ? q2si_memory_available() / 2 : 0);
}

/* Take @len bytes of the budget. */
static bool
afford(struct q2si_ahead_budget *budget, uint64_t len)
{
	uint64_t left = atomic_load(&budget->left);

	while (left >= len)
		if (atomic_compare_exchange_weak(&budget->left, &left, left - len))
			return true;
	return false;
}

/* One byte may be there by chance, or have come while we asked. */
static bool
seems_cached(struct q2s_store *file, uint64_t from, uint64_t until)
{
	for (uint64_t at = from; at < until; at += SAMPLE)
		if (!q2s_store_is_cached(file, q2si_min(at + SAMPLE, until) - 1))
			return false;
	return true;
}

static void
ask(const struct q2si_ahead *ahead, struct q2s_store *file, uint64_t at, uint64_t len,
    uint32_t step, uint32_t peek)
{
	if (peek == step || afford(ahead->budget, len)) {
		q2s_store_will_need(file, at, len);
		return;
	}
	for (uint64_t done = 0; done < len; done += step)
		q2s_store_will_need(file, at + done, q2si_min(peek, len - done));
}

void
q2si_ahead(struct q2si_ahead *ahead, const struct q2s_extent *extent, uint64_t skip, uint64_t len,
	   uint32_t step, uint32_t peek)
{
	const uint64_t at = extent->at + skip, end = at + len;
	const bool goes_on = ahead->file == extent->file && at >= ahead->from && at <= ahead->until;

	if (!extent->file)
		return;
	if (goes_on && (ahead->until >= end || ahead->until - at >= WINDOW / 2))
		return;
	if (!goes_on && len < SHORT)
		return;
	if (!goes_on)
		ahead->until = at;
	const uint64_t from = ahead->until;

	ahead->file = extent->file;
	ahead->from = at;
	ahead->until = q2si_min(end, at + WINDOW);
	if (!seems_cached(extent->file, from, ahead->until))
		ask(ahead, extent->file, from, ahead->until - from, step, peek);
}
