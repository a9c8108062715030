/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Binary search. */
#ifndef Q2SI_BASE_SEARCH_H
#define Q2SI_BASE_SEARCH_H

#include <stddef.h>

/**
 * How many elements of a list of @count fulfil a condition, where all that do come before all that
 * do not; so also the index of the first that does not.
 *
 * @index      a name for the condition to use
 * @condition  an expression of @index
 */
#define Q2SI_COUNT_FIRST(index, count, condition)                                                 \
	({                                                                                        \
		size_t q2si_low_ = 0, q2si_high_ = (count);                                       \
		while (q2si_low_ < q2si_high_) {                                                  \
			const size_t index = q2si_low_ + (q2si_high_ - q2si_low_) / 2;            \
			if (condition)                                                            \
				q2si_low_ = index + 1;                                            \
			else                                                                      \
				q2si_high_ = index;                                               \
		}                                                                                 \
		q2si_low_;                                                                        \
	})

#endif
