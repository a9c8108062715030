/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 6: the easy way to write a whole image. A disk and a wish go in; its exact size, its bytes
 * and the finished file come out. The steps between (scan, share, compress, plan, spool) are known
 * here; each of them can also be had by itself (plan.h, emit.h).
 */
#ifndef Q2S_BUILDER_H
#define Q2S_BUILDER_H

#include <q2s/emit.h>

Q2S_BEGIN_DECLS

/** An image that is going to be written. For one thread; it uses several. */
struct q2s_builder;

/**
 * What the image shall be, and how it is made. Start from Q2S_BUILDER_OPTIONS_INIT, or with C++ set
 * @size. Options are needed during q2s_builder_new() only; what they point to is copied, unless it
 * is said otherwise.
 *
 * @size         sizeof(struct q2s_builder_options)
 * @threads      0: one per processor; no byte depends on it
 * @observer     or NULL; sees what the steps are doing. Its @opaque must outlive the builder
 *
 * @raw          a raw image; of all that follows up to @measure_only only @raw_size counts
 * @raw_size     its bytes, at least the disk's; 0: the disk's, rounded up to 512
 *
 * @spec         a qcow2 image like this one; its geometry has the size of the new disk, at least
 *               the source's. NULL: what q2s_spec_init() gives for the size of the disk
 * @crypt        encrypts guest data, for a @spec with a LUKS header; must outlive the builder. Or
 *               NULL
 * @compression  compress clusters, where that makes them smaller; its type replaces the one of
 *               @spec. Or NULL
 * @dedup        clusters of data that are the same are stored once
 * @preallocate  each cluster gets its space, also where nothing is in it
 * @store_zeros  zeros are stored as data, for readers that do not know zero clusters
 * @trust_holes  what the disk calls data is data: it is not read to look for zeros
 * @base         store only what differs from this disk, which shall be the backing file. A
 *               reference is taken. Or NULL
 * @changed      store only what its extents call data (q2s_disk_bitmap(), q2s_disk_nbd_changes()):
 *               the rest is not looked at. A reference is taken. Or NULL
 * @allocate     instead of looking at the disk: says what each cluster is, with q2s_alloc_add(), as
 *               if preallocation had been thought of. Gets @opaque. Or NULL
 * @wanted       with @compression: which guest clusters to compress, asked from several threads.
 *               Gets @opaque. NULL: all with data
 * @plan         a plan that q2s_plan_load() gave for the disk: nothing is looked at, and @spec and
 *               the options after @crypt do not count, but @compression says how its clusters were
 *               compressed. Must outlive the builder. Or NULL
 *
 * @measure_only it will be measured, and not written
 * @part_only    only a part of it will be written
 * @no_spool     compress twice instead of keeping compressed clusters until they are written
 * @spool_folder for what has to be kept on disk; NULL: TMPDIR, or /tmp
 */
struct q2s_builder_options {
	size_t size;
	unsigned threads;
	const struct q2s_observer *observer;
	bool raw;
	uint64_t raw_size;
	const struct q2s_spec *spec;
	const struct q2s_crypt *crypt;
	const struct q2s_compression *compression;
	bool dedup;
	bool preallocate;
	bool store_zeros;
	bool trust_holes;
	struct q2s_disk *base;
	struct q2s_disk *changed;
	enum q2s_err (*allocate)(void *opaque, struct q2s_alloc *alloc, struct q2s_diag *diag);
	bool (*wanted)(void *opaque, uint64_t cluster);
	void *opaque;
	const struct q2s_plan *plan;
	bool measure_only;
	bool part_only;
	bool no_spool;
	const char *spool_folder;
};
#define Q2S_BUILDER_OPTIONS_INIT { .size = sizeof(struct q2s_builder_options) }

/**
 * Look at @disk and plan the image; this reads the disk, unless the options say not to, and with
 * compression compresses it. Nothing is written yet, but for what the spool keeps.
 *
 * @disk     a reference is taken
 * @options  NULL: a qcow2 image with the defaults
 *
 * Returns Q2S_OK; Q2S_E_USAGE (@options->size, or a size that is less than the disk's);
 * Q2S_E_CANCELLED; or what q2s_spec_check(), q2s_scan(), q2s_share(), q2s_compress(),
 * q2s_plan_new() and reading report.
 */
enum q2s_err q2s_builder_new(struct q2s_disk *disk, const struct q2s_builder_options *options,
			     struct q2s_builder **out, struct q2s_diag *diag);
void q2s_builder_free(struct q2s_builder *builder); /* NULL is fine */

/** How large the image is, exactly, and what `qemu-img measure` would say. */
const struct q2s_measure *q2s_builder_measure(const struct q2s_builder *builder);

/** The plan of the image; it stays the builder's. NULL for a raw one. */
const struct q2s_plan *q2s_builder_plan(const struct q2s_builder *builder);

/**
 * Before a part of the image is written by @plan of the options: is what it is made of still what
 * was planned for? q2s_builder_emit() asks this itself, but then the sink is open already. Without
 * such a plan there is nothing to do. Fails as q2s_plan_verify() does.
 */
enum q2s_err q2s_builder_verify(struct q2s_builder *builder, uint64_t from, uint64_t until,
				struct q2s_diag *diag);

/**
 * Write the bytes of the image from @from to before @until into @sink, which the caller commits.
 * They are the same each time, so an image can be sent in parts, and from where it broke off.
 *
 * @until  Q2S_TO_END, or at most the image's length; if it is @from, nothing is written
 *
 * Returns Q2S_OK when they are written, and neither the disk nor what it was compared with has
 * changed since it was opened (Q2S_E_CHANGED); Q2S_E_USAGE (the range, or options that said
 * @measure_only); Q2S_E_CANCELLED; or what q2s_emit() reports.
 */
enum q2s_err q2s_builder_emit(struct q2s_builder *builder, struct q2s_sink *sink, uint64_t from,
			      uint64_t until, struct q2s_diag *diag);

/**
 * Write what lies in the external data file of the image, which is all of the disk, into @sink,
 * which the caller commits, before it commits the image. Fails as q2s_builder_emit() does.
 */
enum q2s_err q2s_builder_emit_data(struct q2s_builder *builder, struct q2s_sink *sink,
				   struct q2s_diag *diag);

/**
 * Write the whole image to @path, and let it appear there when it is complete; on failure nothing
 * is left behind, and what was there stays. Of an image with an external data file that file is not
 * written.
 *
 * @flags  of q2s_sink_open(): Q2S_SINK_REPLACE, Q2S_SINK_SYNC and so on
 * Fails as q2s_sink_open(), q2s_builder_emit() and q2s_sink_commit() do.
 */
enum q2s_err q2s_builder_commit(struct q2s_builder *builder, const char *path, unsigned flags,
				struct q2s_diag *diag);

/**
 * Write the plan of the image to @sink, which the caller commits, so that another process can write
 * parts of the image by it: see q2s_plan_save(), as which it fails. Q2S_E_USAGE for a raw image.
 *
 * @view  what of its files the disk shows, in the caller's words, such as the name of a snapshot;
 *        or NULL
 */
enum q2s_err q2s_builder_save_plan(const struct q2s_builder *builder, const char *view,
				   struct q2s_sink *sink, struct q2s_diag *diag);

Q2S_END_DECLS
#endif
