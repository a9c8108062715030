/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/memory.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/arith.h"

/* The number behind @label at the start of a line of the file @path; @otherwise without one. */
static uint64_t
number_in(const char *path, const char *label, uint64_t otherwise)
{
	const size_t skip = strlen(label);
	FILE *file = fopen(path, "re");
	uint64_t number = otherwise;
	char line[256];

	if (!file)
		return otherwise;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, label, skip) == 0 && sscanf(line + skip, "%" SCNu64, &number) == 1)
			break;
	(void)fclose(file);
	return number;
}

/* The group's name, which begins with a slash and may be no more than that. */
static bool
group_name(char *name, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(name, (int)size, file)) {
		found = strncmp(name, "0::/", 4) == 0;
		if (found)
			memmove(name, name + 3, strlen(name + 3) + 1);
	}
	(void)fclose(file);
	name[strcspn(name, "\n")] = '\0';
	return found;
}

/* A group's limit holds for all groups within it. */
static uint64_t
group_limit(void)
{
	char name[PATH_MAX], path[PATH_MAX + 64];
	uint64_t limit = UINT64_MAX;

	if (!group_name(name, sizeof(name)))
		return UINT64_MAX;
	for (char *end = name + strlen(name); end; end = strrchr(name, '/')) {
		*end = '\0';
		(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", name);
		limit = q2si_min(limit, number_in(path, "", UINT64_MAX));
	}
	return limit;
}

uint64_t
q2si_memory_available(void)
{
	const uint64_t kib = number_in("/proc/meminfo", "MemAvailable:", 0);

	return q2si_min(kib << 10, group_limit());
}
