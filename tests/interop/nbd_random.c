/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nbd_random URI SEED OPERATIONS CONNECTIONS BEFORE AFTER: random requests to an NBD server, on several
 * connections at once, against an oracle. The disk must show the bytes of the file BEFORE; at the end
 * what it must show is written to AFTER.
 *
 * Requests of any alignment are in flight together; only those that overlap wait for each other. A read
 * must give exactly what the oracle has. Zeros are written with and without leave to trim; after a trim
 * each byte is what it was or zero.
 */
#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16
#define REQUEST_MAX (3u << 20)

struct range {
	uint64_t start, end;
};

static struct {
	uint8_t *bytes;
	uint64_t size;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct range busy[CONNECTIONS_MAX];
	long left;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER };

struct worker {
	struct nbd_handle *nbd;
	size_t number;
	uint64_t random;
	uint8_t buf[REQUEST_MAX];
};

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "nbd_random: %s: %s\n", what, why);
	exit(1);
}

static uint64_t
below(struct worker *worker, uint64_t bound)
{
	uint64_t x = worker->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	worker->random = x;
	return (x * 0x2545f4914f6cdd1dull >> 16) % bound;
}

/* ---- ranges in flight -------------------------------------------------------------------- */

static bool
is_busy(const struct range *range)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (range->start < disk.busy[i].end && disk.busy[i].start < range->end)
			return true;
	return false;
}

/* Wait until nobody else uses @range, and take one of the requests that are left; false: none is. */
static bool
begin(struct worker *worker, const struct range *range)
{
	bool go;

	pthread_mutex_lock(&disk.lock);
	while (is_busy(range))
		pthread_cond_wait(&disk.freed, &disk.lock);
	go = disk.left-- > 0;
	if (go)
		disk.busy[worker->number] = *range;
	pthread_mutex_unlock(&disk.lock);
	return go;
}

static void
end(struct worker *worker)
{
	pthread_mutex_lock(&disk.lock);
	disk.busy[worker->number] = (struct range){ 0 };
	pthread_cond_broadcast(&disk.freed);
	pthread_mutex_unlock(&disk.lock);
}

/* ---- requests ---------------------------------------------------------------------------- */

/* Some are aligned to a power of two, as a guest's are; some are not aligned at all. */
static struct range
choose_range(struct worker *worker)
{
	const uint64_t unit = UINT64_C(1) << (below(worker, 4) ? 9 + below(worker, 9) : 0);
	const uint64_t most = below(worker, 16) ? 70000 : REQUEST_MAX;
	uint64_t start = below(worker, disk.size) / unit * unit;
	uint64_t len = (1 + below(worker, most)) / unit * unit;

	if (len == 0)
		len = unit;
	if (len > disk.size - start)
		len = disk.size - start;
	return (struct range){ start, start + len };
}

static void
check_read(struct worker *worker, const struct range *range, const char *when)
{
	const size_t len = range->end - range->start;

	if (nbd_pread(worker->nbd, worker->buf, len, range->start, 0) < 0)
		die("read", nbd_get_error());
	for (size_t i = 0; i < len; i++)
		if (worker->buf[i] != disk.bytes[range->start + i]) {
			fprintf(stderr, "nbd_random: %s: byte %#llx is %#x instead of %#x\n", when,
				(unsigned long long)(range->start + i), worker->buf[i],
				disk.bytes[range->start + i]);
			exit(1);
		}
}

static void
do_write(struct worker *worker, const struct range *range)
{
	const size_t len = range->end - range->start;
	const uint32_t flags = below(worker, 8) ? 0 : LIBNBD_CMD_FLAG_FUA;
	const uint64_t seed = below(worker, UINT64_MAX) | 1;

	for (size_t i = 0; i < len; i++)
		worker->buf[i] = (uint8_t)(1 + (seed >> (i % 40)) + i / 251);
	if (nbd_pwrite(worker->nbd, worker->buf, len, range->start, flags) < 0)
		die("write", nbd_get_error());
	memcpy(disk.bytes + range->start, worker->buf, len);
}

static void
do_zero(struct worker *worker, const struct range *range)
{
	static const uint32_t flags[] = { 0, LIBNBD_CMD_FLAG_NO_HOLE, LIBNBD_CMD_FLAG_FUA,
					  LIBNBD_CMD_FLAG_FAST_ZERO };
	uint32_t chosen = flags[below(worker, 4)];

	if (chosen == LIBNBD_CMD_FLAG_FAST_ZERO && nbd_can_fast_zero(worker->nbd) != 1)
		chosen = 0;
	if (nbd_zero(worker->nbd, range->end - range->start, range->start, chosen) < 0) {
		if (chosen == LIBNBD_CMD_FLAG_FAST_ZERO && nbd_get_errno() == EOPNOTSUPP)
			return; /* nothing may have happened: later reads find out */
		die("zero", nbd_get_error());
	}
	memset(disk.bytes + range->start, 0, range->end - range->start);
}

static void
do_trim(struct worker *worker, const struct range *range)
{
	const size_t len = range->end - range->start;

	if (nbd_trim(worker->nbd, len, range->start, below(worker, 8) ? 0 : LIBNBD_CMD_FLAG_FUA) < 0)
		die("trim", nbd_get_error());
	if (nbd_pread(worker->nbd, worker->buf, len, range->start, 0) < 0)
		die("read after a trim", nbd_get_error());
	for (size_t i = 0; i < len; i++) {
		if (worker->buf[i] != 0 && worker->buf[i] != disk.bytes[range->start + i])
			die("trim", "a byte is neither zero nor what it was");
		disk.bytes[range->start + i] = worker->buf[i];
	}
}

static void *
work(void *opaque)
{
	struct worker *const worker = opaque;

	for (;;) {
		const struct range range = choose_range(worker);

		if (!begin(worker, &range))
			return NULL;
		switch (below(worker, 16)) {
		case 0:
		case 1:
			do_zero(worker, &range);
			break;
		case 2:
		case 3:
			do_trim(worker, &range);
			break;
		case 4:
			if (nbd_flush(worker->nbd, 0) < 0)
				die("flush", nbd_get_error());
			break;
		case 5:
		case 6:
		case 7:
		case 8:
			check_read(worker, &range, "read");
			break;
		default:
			do_write(worker, &range);
			if (below(worker, 2))
				check_read(worker, &range, "read after a write");
			break;
		}
		end(worker);
	}
}

/* ------------------------------------------------------------------------------------------ */

static void
load(const char *path)
{
	const int fd = open(path, O_RDONLY);
	const off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (size <= 0)
		die(path, "cannot be read");
	disk.size = (uint64_t)size;
	disk.bytes = malloc(disk.size);
	for (uint64_t done = 0; done < disk.size;) {
		const ssize_t n = pread(fd, disk.bytes + done, disk.size - done, (off_t)done);

		if (n <= 0)
			die(path, "cannot be read");
		done += (uint64_t)n;
	}
	close(fd);
}

static void
save(const char *path)
{
	FILE *const file = fopen(path, "w");

	if (!file || fwrite(disk.bytes, 1, disk.size, file) != disk.size || fclose(file) != 0)
		die(path, strerror(errno));
}

int
main(int argc, char **argv)
{
	static struct worker workers[CONNECTIONS_MAX];
	pthread_t threads[CONNECTIONS_MAX];
	size_t count;

	if (argc != 7)
		die("usage", "URI SEED OPERATIONS CONNECTIONS BEFORE AFTER");
	load(argv[5]);
	disk.left = atol(argv[3]);
	count = (size_t)atol(argv[4]);
	if (count == 0 || count > CONNECTIONS_MAX)
		die("usage", "CONNECTIONS is from 1 to 16");
	for (size_t i = 0; i < count; i++) {
		struct worker *const worker = &workers[i];

		worker->number = i;
		worker->random = (strtoull(argv[2], NULL, 0) + i) * 0x9e3779b97f4a7c15ull + 1;
		worker->nbd = nbd_create();
		if (!worker->nbd || nbd_connect_uri(worker->nbd, argv[1]) < 0)
			die(argv[1], nbd_get_error());
		if (nbd_get_size(worker->nbd) != (int64_t)disk.size)
			die(argv[1], "the export has another size than BEFORE");
	}
	for (size_t i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
			die("thread", "cannot be started");
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (uint64_t at = 0; at < disk.size; at += REQUEST_MAX) {
		const uint64_t len = disk.size - at;

		check_read(&workers[0],
			   &(struct range){ at, at + (len < REQUEST_MAX ? len : REQUEST_MAX) },
			   "at the end");
	}
	for (size_t i = 0; i < count; i++) {
		nbd_shutdown(workers[i].nbd, 0);
		nbd_close(workers[i].nbd);
	}
	save(argv[6]);
	free(disk.bytes);
	return 0;
}
