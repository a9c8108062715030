/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images made from specs, which say line by line what an image holds and what is wrong with it.
 * doc/corpus has the language, specs/ the collection, doc/rules what can be broken.
 */
#ifndef CORPUS_TEST_IMAGE_H
#define CORPUS_TEST_IMAGE_H

#include <q2s/base.h>

/** A spec: its name (no suffix) and its lines. */
struct test_image_spec {
	const char *name;
	const char *text;
};

/** All of specs/, sorted by name; the last one has no name. */
extern const struct test_image_spec test_image_specs[];

/** doc/rules, as it is. */
extern const char test_image_rules[];

/** An image that was made from a spec, in memory. */
struct test_image;

/**
 * What a spec says about its image. Borrowed from the test_image.
 *
 * @size       of the virtual disk, in bytes, as the header says
 * @rule       that is broken, and the host offset where; NULL: the image is legal
 * @broken_at  host offset of the bytes that break it
 * @snapshots  how many there are; their IDs are 1, 2, ...
 * @backing    names of the files that the image refers to, which are made beside it, as empty
 * @data_file  disks; NULL: none
 */
struct test_image_facts {
	const char *title;
	uint64_t size;
	const char *rule;
	uint64_t broken_at;
	uint32_t snapshots;
	const char *backing;
	const char *data_file;
};

/**
 * Make the image of a spec. Q2S_E_USAGE when a line of it cannot be carried out, or what encoding
 * a structure reports; @diag names the spec and the line as its file.
 */
enum q2s_err test_image_make(const struct test_image_spec *spec, struct test_image **out,
			   struct q2s_diag *diag);
void test_image_free(struct test_image *test_image);

struct test_image_facts test_image_facts(const struct test_image *test_image);

/**
 * Write the image, with holes for zeros, and in its folder the files that it refers to if they are
 * not there. An existing @path is replaced.
 */
enum q2s_err test_image_write(const struct test_image *test_image, const char *path,
			    struct q2s_diag *diag);

/**
 * The next line of *@text that starts with these words: what is behind them, and its length. False
 * at the end. "check: finds" finds "check:   finds l2-reserved".
 */
bool test_image_line(const char **text, const char *words, const char **rest, size_t *len);

#endif
