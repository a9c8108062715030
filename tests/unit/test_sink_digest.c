/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The digest of an output: published values, and the same whichever way the bytes come in. */
#include <errno.h>

#include "sinks.h"

#ifdef HAVE_LIBGCRYPT

/* Of "abc", and of a million zero bytes; by another implementation (Python's hashlib). */
static const struct {
	const char *name, *abc, *zeros;
} golden[] = {
	{ "md5", "900150983cd24fb0d6963f7d28e17f72", "879f4bba57ed37c9ec5e5aedf9864698" },
	{ "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d",
	  "bef3595266a65a2ff36b700a75e8ed95c68210b6" },
	{ "sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
	  "3a5d74b68f14f3a4b2be9289b8d370672d0b3d2f53bc303c59032df3" },
	{ "sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	  "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025" },
	{ "sha384",
	  "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
	  "8086072ba1e7cc2358baeca134c825a7",
	  "8a1979f9049b3fff15ea3a43a4cf84c634fd14acad1c333fecb72c588b68868b"
	  "66a994386dc0cd1687b9ee2e34983b81" },
	{ "sha512",
	  "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
	  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	  "ce044bc9fd43269d5bbc946cbebc3bb711341115cc4abdf2edbc3ff2c57ad4b1"
	  "5deb699bda257fea5aef9c6e55fcf4cf9dc25a8c3ce25f2efe90908379bff7ed" },
	{ "sha3-256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
	  "cb2679d674f0565ad17c666d5ea5746f747fd94650fe2d105571f7e36231674c" },
	{ "sha3-512",
	  "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
	  "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
	  "3019f9484fd0795dc9d30d75a3b860e809c5adeaebe076385e5aa6c5a1417590"
	  "f067f3e9342c133a0df8346dc96c56e917ef68092d3c725a28ef03a876188de7" },
	{ "blake2b",
	  "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
	  "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
	  "9ef8b51be521c6e33abb22d6a69363902b6d7eb67ca1364ebc87a64d5a36ec5e"
	  "749e5c9e7029a85b0008e46cff24281e87500886818dbe79dc8e094f119bbeb8" },
};

static void
assert_digest(const struct q2s_digest *digest, const char *expected)
{
	char hex[2 * Q2S_DIGEST_MAX + 1] = "";

	for (size_t i = 0; i < digest->len; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest->bytes[i]);
	ck_assert_str_eq(hex, expected);
}

/* A digest sink around a new file. */
static struct q2s_sink *
digest_into(const char *name, const char *algorithm, struct q2s_digest *result)
{
	struct q2s_sink *inner, *sink;

	assert_ok(q2s_sink_open(path_of(name), Q2S_SINK_REPLACE, 0, &inner, &diag));
	assert_ok(q2s_sink_digest(inner, algorithm, result, &sink, &diag));
	return sink;
}

START_TEST(digests_are_the_published_ones)
{
	for (size_t i = 0; i < COUNT(golden); i++) {
		struct q2s_digest digest;
		struct q2s_sink *sink = digest_into("abc", golden[i].name, &digest);

		assert_ok(q2s_sink_write(sink, "ab", 2, &diag));
		assert_ok(q2s_sink_write(sink, "c", 1, &diag));
		assert_ok(q2s_sink_commit(sink, &diag));
		assert_digest(&digest, golden[i].abc);

		sink = digest_into("zeros", golden[i].name, &digest);
		assert_ok(q2s_sink_zero(sink, 1000000, &diag));
		assert_ok(q2s_sink_commit(sink, &diag));
		assert_digest(&digest, golden[i].zeros);
		ck_assert_ptr_nonnull(strstr(q2s_digest_names(), golden[i].name));
		assert_ok(q2s_digest_check(golden[i].name, &diag));
	}
}
END_TEST

START_TEST(nothing_has_a_digest_too)
{
	struct q2s_digest digest;
	struct q2s_sink *sink = digest_into("nothing", "MD5", &digest);

	assert_ok(q2s_sink_commit(sink, &diag));
	assert_digest(&digest, "d41d8cd98f00b204e9800998ecf8427e");
}
END_TEST

/* Written, copied from a file, or zero: what counts is what is in the file in the end. */
START_TEST(the_digest_is_that_of_the_file)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct sink_model model = { .bytes = malloc(SINK_ROOM) };
		uint8_t *got = malloc(SINK_ROOM);
		struct q2s_digest digest, again;
		struct q2s_sink *sink = digest_into("mixed", "sha256", &digest);

		sink_drive(sink, &model, seed);
		assert_ok(q2s_sink_commit(sink, &diag));
		sink_assert_same(got, get_file(path_of("mixed"), got, SINK_ROOM), &model);
		sink = digest_into("whole", "sha256", &again);
		assert_ok(q2s_sink_write(sink, model.bytes, model.len, &diag));
		assert_ok(q2s_sink_commit(sink, &diag));
		ck_assert_uint_eq(digest.len, 32);
		ck_assert_mem_eq(digest.bytes, again.bytes, 32);
		free(got);
		free(model.bytes);
	}
}
END_TEST

static unsigned
open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1000; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

START_TEST(to_give_up_leaves_nothing_behind)
{
	const unsigned before = open_descriptors();
	struct q2s_digest digest = { 0 };
	struct q2s_sink *sink = digest_into("gone", "sha1", &digest);

	assert_ok(q2s_sink_write(sink, "abc", 3, &diag));
	ck_assert_uint_gt(open_descriptors(), before);
	q2s_sink_abort(sink);
	ck_assert_uint_eq(open_descriptors(), before);
	ck_assert_uint_eq(count_names(), 0);
	ck_assert_uint_eq(digest.len, 0);
}
END_TEST

START_TEST(what_fails_inside_fails_outside)
{
	struct q2s_digest digest = { 0 };
	struct q2s_sink *inner, *sink;
	struct q2s_diag why = { 0 };

	assert_ok(q2s_sink_open("/dev/full", Q2S_SINK_REPLACE, 0, &inner, &diag));
	assert_ok(q2s_sink_digest(inner, "sha1", &digest, &sink, &diag));
	ck_assert_int_eq(q2s_sink_write(sink, "abc", 3, &why), Q2S_E_IO);
	ck_assert_int_eq(why.sys_errno, ENOSPC);
	q2s_sink_abort(sink);

	/* a commit that fails: somebody else took the name meanwhile */
	assert_ok(q2s_sink_open(path_of("taken"), 0, 0, &inner, &diag));
	assert_ok(q2s_sink_digest(inner, "sha1", &digest, &sink, &diag));
	put_file(path_of("taken"), "other", 5);
	ck_assert_int_eq(q2s_sink_commit(sink, NULL), Q2S_E_EXISTS);
	ck_assert_uint_eq(digest.len, 0);
}
END_TEST

START_TEST(an_unknown_algorithm_is_named)
{
	static const char *const wrong[] = { "", "sha", "sha2560", "crc32", "md5 " };
	struct q2s_digest digest;
	struct q2s_sink *inner, *sink;

	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct q2s_diag why = { 0 };

		ck_assert_int_eq(q2s_digest_check(wrong[i], &why), Q2S_E_USAGE);
		ck_assert_ptr_nonnull(strstr(why.text, q2s_digest_names()));
	}
	/* the inner sink stays the caller's */
	assert_ok(q2s_sink_open(path_of("own"), 0, 0, &inner, &diag));
	ck_assert_int_eq(q2s_sink_digest(inner, "sha", &digest, &sink, NULL), Q2S_E_USAGE);
	assert_ok(q2s_sink_commit(inner, &diag));
	ck_assert(file_exists(path_of("own")));
}
END_TEST

FILES_MAIN("sink_digest", digests_are_the_published_ones, nothing_has_a_digest_too,
	   the_digest_is_that_of_the_file, to_give_up_leaves_nothing_behind,
	   what_fails_inside_fails_outside, an_unknown_algorithm_is_named)

#else

START_TEST(it_is_said_what_is_missing)
{
	struct q2s_digest digest;
	struct q2s_diag why = { 0 };
	struct q2s_sink *inner, *sink;

	ck_assert_int_eq(q2s_digest_check("sha256", &why), Q2S_E_MISSING);
	ck_assert_ptr_nonnull(strstr(why.text, "libgcrypt"));
	assert_ok(q2s_sink_open(path_of("own"), 0, 0, &inner, &diag));
	ck_assert_int_eq(q2s_sink_digest(inner, "sha256", &digest, &sink, NULL), Q2S_E_MISSING);
	q2s_sink_abort(inner);
}
END_TEST

FILES_MAIN("sink_digest", it_is_said_what_is_missing)

#endif
