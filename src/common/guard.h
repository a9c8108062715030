/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No tool destroys what it reads: each file that a run reads is registered here, and each file that
 * it writes is compared with them, by identity, before its first byte. Hard and symbolic links,
 * block devices by any name, the file behind a loop device, the disk of a partition and the devices
 * under a mapped one all count. For one thread.
 */
#ifndef COMMON_GUARD_H
#define COMMON_GUARD_H

#include <sys/types.h>

#include <q2s/chain.h>
#include <q2s/disk.h>

/** This open file is read. Q2S_E_NOMEM. */
enum q2s_err guard_read_store(const struct q2s_store *store, struct q2s_diag *diag);
/** So is what lies under this name; one that is not there, or NULL, is fine. */
enum q2s_err guard_read_path(const char *path, struct q2s_diag *diag);
/** So are all files that hold the content of @disk. */
enum q2s_err guard_read_disk(const struct q2s_disk *disk, struct q2s_diag *diag);
/** So are all layers of @chain, and their data files, as far as these can be opened. */
enum q2s_err guard_read_chain(struct q2s_chain *chain, struct q2s_diag *diag);
/**
 * So is the image in @file with all that lies below it, as far as it can be found: for what may be
 * replaced without being read. @format: as of q2s_chain_open().
 */
enum q2s_err guard_read_layers(struct q2s_store *file, const char *format, struct q2s_diag *diag);
/** So are all files that this child process has open, as far as the system tells. */
enum q2s_err guard_read_process(pid_t pid, struct q2s_diag *diag);

/**
 * @path, or standard output if it is NULL, is about to be written. It may not exist yet. May be
 * asked again, with the same @what, when more files are known.
 *
 * @what  the output, for messages, and so that two outputs are not one file: "output", "--out"
 * Returns Q2S_OK, Q2S_E_CONFLICT (diag->file names it), Q2S_E_NOMEM.
 */
enum q2s_err guard_output(const char *path, const char *what, struct q2s_diag *diag);
/**
 * The image @path is about to be changed, as the output "FILE", and standard output may be written
 * to; neither is the other one, nor what is read.
 */
enum q2s_err guard_edit(const char *path, struct q2s_diag *diag);
/** As guard_output() for an open descriptor; @name is for messages. */
enum q2s_err guard_output_fd(int fd, const char *name, const char *what, struct q2s_diag *diag);

/** Begin anew: another run in the same process, or its end. */
void guard_reset(void);

#endif
