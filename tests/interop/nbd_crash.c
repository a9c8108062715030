/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbd_crash run URI SEED CONNECTIONS STATE: random writes, zeros, trims and flushes on several
 * connections until the server is gone; then STATE says what a flush has covered.
 *
 * nbd_crash verify STATE BEFORE AFTER: may a disk that showed the bytes of BEFORE show those of AFTER
 * now? Each sector must be at least as new as what the last flush covered, and whole.
 */
#include <errno.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define WORDS (SECTOR / 8)
#define CONNECTIONS_MAX 16
#define REQUEST_SECTORS 512u
#define TAG 0x6372617368ull

/*
 * What is known of a sector, in versions: each request has a number.
 *
 * @done     of the last write or zero request that was answered
 * @durable  what @done was when the last successful flush was sent
 * @zeroed   of the last zero or trim request that was sent
 */
struct sector {
	uint32_t done, durable, zeroed;
};

static struct {
	struct sector *sectors;
	uint64_t count;
	uint32_t version;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct {
		uint64_t start, end;
	} busy[CONNECTIONS_MAX];
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER };

struct worker {
	struct nbd_handle *nbd;
	size_t number;
	uint64_t random;
	uint64_t buf[REQUEST_SECTORS * WORDS];
};

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "nbd_crash: %s: %s\n", what, why);
	exit(1);
}

static uint64_t
mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t
below(struct worker *worker, uint64_t bound)
{
	worker->random += 0x9e3779b97f4a7c15ull;
	return mix(worker->random) % bound;
}

static void
sector_fill(uint64_t *words, uint32_t version, uint64_t number)
{
	words[0] = version;
	words[1] = TAG << 24 ^ number;
	for (unsigned i = 2; i < WORDS; i++)
		words[i] = mix(words[0] << 40 ^ words[1] << 8 ^ i);
}

/* ---- running ----------------------------------------------------------------------------- */

/* Choose sectors that no other request touches, and the version of this one. */
static uint32_t
begin(struct worker *worker, uint64_t *start, uint64_t *end)
{
	uint32_t version;
	bool busy;

	pthread_mutex_lock(&disk.lock);
	do {
		const uint64_t most = below(worker, 8) ? 16 : REQUEST_SECTORS;

		*start = below(worker, disk.count);
		*end = *start + 1 + below(worker, most);
		if (below(worker, 2)) {
			*start &= ~UINT64_C(7);
			*end = (*end + 7) & ~UINT64_C(7);
		}
		if (*end > disk.count)
			*end = disk.count;
		if (*end > *start + REQUEST_SECTORS)
			*end = *start + REQUEST_SECTORS;
		busy = false;
		for (size_t i = 0; i < CONNECTIONS_MAX; i++)
			busy = busy || (*start < disk.busy[i].end && disk.busy[i].start < *end);
	} while (busy);
	disk.busy[worker->number].start = *start;
	disk.busy[worker->number].end = *end;
	version = ++disk.version;
	pthread_mutex_unlock(&disk.lock);
	return version;
}

static void
finish(struct worker *worker, uint64_t start, uint64_t end, uint32_t done)
{
	pthread_mutex_lock(&disk.lock);
	disk.busy[worker->number].start = disk.busy[worker->number].end = 0;
	for (uint64_t i = start; done != 0 && i < end; i++)
		disk.sectors[i].done = done;
	pthread_mutex_unlock(&disk.lock);
}

static void
will_zero(uint64_t start, uint64_t end, uint32_t version)
{
	pthread_mutex_lock(&disk.lock);
	for (uint64_t i = start; i < end; i++)
		disk.sectors[i].zeroed = version;
	pthread_mutex_unlock(&disk.lock);
}

/* A flush covers what was answered before it was sent, on any connection. */
static bool
flush(struct worker *worker)
{
	uint32_t *const before = malloc(disk.count * sizeof(*before));
	bool ok;

	pthread_mutex_lock(&disk.lock);
	for (uint64_t i = 0; i < disk.count; i++)
		before[i] = disk.sectors[i].done;
	pthread_mutex_unlock(&disk.lock);
	ok = nbd_flush(worker->nbd, 0) == 0;
	pthread_mutex_lock(&disk.lock);
	for (uint64_t i = 0; ok && i < disk.count; i++)
		if (before[i] > disk.sectors[i].durable)
			disk.sectors[i].durable = before[i];
	pthread_mutex_unlock(&disk.lock);
	free(before);
	return ok;
}

static bool
request(struct worker *worker)
{
	uint64_t start, end;
	const uint32_t version = begin(worker, &start, &end);
	const uint64_t at = start * SECTOR, len = (end - start) * SECTOR;
	uint32_t done = 0;
	bool ok;

	switch (below(worker, 8)) {
	case 0:
		will_zero(start, end, version);
		ok = nbd_zero(worker->nbd, len, at,
			      below(worker, 2) ? LIBNBD_CMD_FLAG_NO_HOLE : 0) == 0;
		done = version;
		break;
	case 1:
		will_zero(start, end, version);
		ok = nbd_trim(worker->nbd, len, at, 0) == 0;
		break; /* the old bytes may stay: the sector is no newer */
	default:
		for (uint64_t i = start; i < end; i++)
			sector_fill(worker->buf + (i - start) * WORDS, version, i);
		ok = nbd_pwrite(worker->nbd, worker->buf, len, at, 0) == 0;
		done = version;
		break;
	}
	finish(worker, start, end, ok ? done : 0);
	return ok;
}

static void *
work(void *opaque)
{
	struct worker *const worker = opaque;

	while (below(worker, 64) ? request(worker) : flush(worker))
		;
	/* The server is gone; or it has failed, which is a failure of the test. */
	if (!nbd_aio_is_dead(worker->nbd) && !nbd_aio_is_closed(worker->nbd))
		die("the server failed a request", nbd_get_error());
	return NULL;
}

static int
run(const char *uri, const char *seed, const char *connections, const char *state)
{
	static struct worker workers[CONNECTIONS_MAX];
	const size_t count = (size_t)atol(connections);
	pthread_t threads[CONNECTIONS_MAX];
	FILE *file;

	if (count == 0 || count > CONNECTIONS_MAX)
		die("usage", "CONNECTIONS is from 1 to 16");
	for (size_t i = 0; i < count; i++) {
		workers[i].number = i;
		workers[i].random = mix(strtoull(seed, NULL, 0) * CONNECTIONS_MAX + i);
		workers[i].nbd = nbd_create();
		if (!workers[i].nbd || nbd_connect_uri(workers[i].nbd, uri) < 0)
			die(uri, nbd_get_error());
	}
	disk.count = (uint64_t)nbd_get_size(workers[0].nbd) / SECTOR;
	disk.sectors = calloc(disk.count, sizeof(*disk.sectors));
	printf("connected\n");
	fflush(stdout);
	for (size_t i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
			die("thread", "cannot be started");
	for (size_t i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		nbd_close(workers[i].nbd);
	}
	file = fopen(state, "w");
	if (!file || fwrite(&disk.version, sizeof(disk.version), 1, file) != 1 ||
	    fwrite(disk.sectors, sizeof(*disk.sectors), disk.count, file) != disk.count ||
	    fclose(file) != 0)
		die(state, strerror(errno));
	printf("%u requests\n", disk.version);
	return 0;
}

/* ---- verifying --------------------------------------------------------------------------- */

static bool
is_zero(const uint64_t *words)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < WORDS; i++)
		any |= words[i];
	return any == 0;
}

/* NULL if the sector may be so, else why not. */
static const char *
judge(const struct sector *sector, uint64_t number, uint32_t last, const uint64_t *before,
      const uint64_t *after)
{
	uint64_t want[WORDS];

	if (sector->durable == 0 && memcmp(before, after, SECTOR) == 0)
		return NULL;
	if (is_zero(after))
		return sector->zeroed != 0 && sector->zeroed >= sector->durable
			       ? NULL
			       : "zero, but nothing newer than its last flush wrote zeros";
	if (after[0] > last)
		return "neither what it was nor anything that was written";
	sector_fill(want, (uint32_t)after[0], number);
	if (memcmp(want, after, SECTOR) != 0)
		return "torn, or what was written elsewhere";
	return after[0] >= sector->durable ? NULL : "older than its last flush";
}

static int
verify(const char *state_path, const char *before_path, const char *after_path)
{
	FILE *const state = fopen(state_path, "r"), *const before = fopen(before_path, "r");
	FILE *const after = fopen(after_path, "r");
	uint64_t old[WORDS], new[WORDS], number = 0, flushed = 0;
	struct sector sector;
	uint32_t last;

	if (!state || !before || !after || fread(&last, sizeof(last), 1, state) != 1)
		die("files", "cannot be read");
	for (; fread(&sector, sizeof(sector), 1, state) == 1; number++) {
		const char *why;

		if (fread(old, SECTOR, 1, before) != 1 || fread(new, SECTOR, 1, after) != 1)
			die("files", "have different sizes");
		why = judge(&sector, number, last, old, new);
		if (why) {
			fprintf(stderr, "nbd_crash: sector %llu: %s (durable %u, done %u, zeroed %u, "
				"found %llu)\n", (unsigned long long)number, why, sector.durable,
				sector.done, sector.zeroed, (unsigned long long)new[0]);
			return 1;
		}
		flushed += sector.durable != 0;
	}
	printf("%llu sectors, %llu of them flushed\n", (unsigned long long)number,
	       (unsigned long long)flushed);
	fclose(state);
	fclose(before);
	fclose(after);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "run") == 0)
		return run(argv[2], argv[3], argv[4], argv[5]);
	if (argc == 5 && strcmp(argv[1], "verify") == 0)
		return verify(argv[2], argv[3], argv[4]);
	die("usage", "run URI SEED CONNECTIONS STATE, or verify STATE BEFORE AFTER");
	return 1;
}
