/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image and the layers below it: which files, by which policy, with which format, at which
 * depth. Every rule about the names of other files is applied here.
 */
#ifndef Q2S_CHAIN_H
#define Q2S_CHAIN_H

#include <q2s/image.h>

Q2S_BEGIN_DECLS

/** The open layers of an image. Counted: q2s_chain_ref() adds an owner, q2s_chain_unref() drops one. */
struct q2s_chain;

/**
 * More layers than this are refused. Each holds one file open, so the limit on open files is
 * usually reached before.
 */
#define Q2S_CHAIN_MAX 4096u

/**
 * One layer. All pointers are the chain's.
 *
 * @image    NULL: a raw layer, which has nothing below it
 * @size     guest bytes that it shows; of a raw layer the file's size rounded up to 512, as in QEMU
 * @guessed  its format is recorded nowhere: it was read as qcow2 because it starts like one
 */
struct q2s_layer {
	struct q2s_store *file;
	struct q2s_image *image;
	uint64_t size;
	bool guessed;
};

/**
 * How a chain is opened. Start from Q2S_CHAIN_OPTIONS_INIT: the format of the top is found out, no
 * other file is opened, and all files are locked.
 *
 * @size         sizeof(struct q2s_chain_options)
 * @format       of the top: "qcow2" or "raw"; NULL: qcow2 if it starts with the magic, else raw
 * @follow       which other files may be opened
 * @partial      a layer that cannot be opened ends the chain, and is no failure; see
 *               q2s_chain_end()
 * @force_share  take no locks: what is read may change meanwhile
 */
struct q2s_chain_options {
	size_t size;
	const char *format;
	enum q2s_follow follow;
	bool partial;
	bool force_share;
};
#define Q2S_CHAIN_OPTIONS_INIT { .size = sizeof(struct q2s_chain_options) }

/**
 * Open the layers below @file, which becomes layer 0 and gets a reference. Images are opened with
 * Q2S_IMAGE_DAMAGED. Each file is locked as QEMU locks what it reads (q2s_store_lock()).
 *
 * A backing file's format is the recorded one, else the driver of a json: name, as in QEMU; without
 * either the file's own bytes decide. What a layer of such a guessed format refers to is opened
 * with Q2S_FOLLOW_ANY only: its bytes may be a guest's.
 *
 * @options  NULL: as Q2S_CHAIN_OPTIONS_INIT
 *
 * Returns Q2S_OK, Q2S_E_USAGE (@options->size), Q2S_E_POLICY (a file must not be opened;
 * diag->follow is the least policy that would allow it), Q2S_E_UNSUPPORTED (a format other than
 * qcow2 and raw, or a name that is no local file), Q2S_E_HEADER (the chain is a loop), Q2S_E_LIMIT
 * (more than Q2S_CHAIN_MAX layers), Q2S_E_BUSY (another program has a file open for writing),
 * Q2S_E_NOMEM, or why a file cannot be opened. With @partial all these are for the top alone.
 */
enum q2s_err q2s_chain_open(struct q2s_store *file, const struct q2s_chain_options *options,
			    struct q2s_chain **out, struct q2s_diag *diag);
struct q2s_chain *q2s_chain_ref(struct q2s_chain *chain);
void q2s_chain_unref(struct q2s_chain *chain); /* NULL is fine */

/** Number of open layers, at least 1. */
size_t q2s_chain_count(const struct q2s_chain *chain);
/** Layer @depth, below q2s_chain_count(); 0 is the top. */
const struct q2s_layer *q2s_chain_layer(const struct q2s_chain *chain, size_t depth);

/**
 * Why the last layer's backing file is not there: what q2s_chain_open() would have returned without
 * @partial, which fails in those ways. Q2S_OK: it has none, the chain is whole.
 */
enum q2s_err q2s_chain_end(const struct q2s_chain *chain, struct q2s_diag *diag);

/**
 * The external data file of layer @depth, which has one; opened, and locked, on the first call.
 * Not for two threads at once.
 *
 * @out  the chain's
 * Fails as q2s_chain_open() does.
 */
enum q2s_err q2s_chain_data_file(struct q2s_chain *chain, size_t depth, struct q2s_store **out,
				 struct q2s_diag *diag);

Q2S_END_DECLS
#endif
