/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests in flight: who has to wait for whom. There are no more of them than threads. */
#include "edit/edit.h"

bool
q2si_active_conflicts(const struct q2s_edit *edit, uint64_t start, uint64_t end, bool exclusive)
{
	if (!Q2SI_KEEPS(Q2SI_WAIT_FOR_CONFLICTS))
		return false;
	for (const struct q2si_active *other = edit->active; other; other = other->next)
		if ((exclusive || other->exclusive) && start < other->end && other->start < end)
			return true;
	return false;
}

void
q2si_active_wait(struct q2s_edit *edit)
{
	edit->waiting++;
	pthread_cond_wait(&edit->moved, &edit->lock);
	edit->waiting--;
}

void
q2si_active_begin(struct q2s_edit *edit, struct q2si_active *active, uint64_t start, uint64_t end,
		  bool exclusive)
{
	*active = (struct q2si_active){ .start = start,
					.end = end,
					.exclusive = exclusive,
					.next = edit->active,
					.link = &edit->active };
	if (edit->active)
		edit->active->link = &active->next;
	edit->active = active;
}

void
q2si_active_end(struct q2s_edit *edit, struct q2si_active *active)
{
	*active->link = active->next;
	if (active->next)
		active->next->link = active->link;
	if (edit->waiting > 0)
		pthread_cond_broadcast(&edit->moved);
}
