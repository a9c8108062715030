/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 0: the words that every other header uses: offsets with a meaning,
 * error codes with a class, and the diagnostic that says what exactly was wrong.
 */
#ifndef Q2S_BASE_H
#define Q2S_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Around the declarations of each header: C's names, visible also where all else is hidden. */
#ifdef __cplusplus
#define Q2S_EXTERN_C_BEGIN_ extern "C" {
#define Q2S_EXTERN_C_END_ }
#else
#define Q2S_EXTERN_C_BEGIN_
#define Q2S_EXTERN_C_END_
#endif
#ifdef __GNUC__
#define Q2S_BEGIN_DECLS _Pragma("GCC visibility push(default)") Q2S_EXTERN_C_BEGIN_
#define Q2S_END_DECLS Q2S_EXTERN_C_END_ _Pragma("GCC visibility pop")
#else
#define Q2S_BEGIN_DECLS Q2S_EXTERN_C_BEGIN_
#define Q2S_END_DECLS Q2S_EXTERN_C_END_
#endif

Q2S_BEGIN_DECLS

/** A byte offset on the virtual disk. A struct, so that it cannot stand in for a host offset. */
typedef struct {
	uint64_t v;
} q2s_guest;

/** A byte offset in an image file (or in its external data file, where that is said). */
typedef struct {
	uint64_t v;
} q2s_host;

/** The host offset of nothing: a diagnostic without a place. */
#ifdef __cplusplus
#define Q2S_NOWHERE (q2s_host{ UINT64_MAX })
#else
#define Q2S_NOWHERE ((q2s_host){ UINT64_MAX })
#endif

/**
 * Why a call failed. Every code belongs to one class (q2s_err_class()), by its hundreds; numbers
 * stay what they are, and later versions may add some.
 *
 * The comment behind a code names its cause; the diagnostic carries the structure, the host
 * offset and the offending value.
 */
enum q2s_err {
	Q2S_OK = 0,

	/* usage: the caller asked for something impossible */
	Q2S_E_USAGE = 100,       /* an argument or option is wrong by itself */
	Q2S_E_CONFLICT = 101,    /* options that exclude each other, or one that needs another */
	Q2S_E_POLICY = 102,      /* a reference to a file that the follow policy forbids */
	Q2S_E_EXISTS = 103,      /* the destination exists */

	/* i/o: the world did not cooperate; sys_errno may say why */
	Q2S_E_IO = 200,          /* a system call failed */
	Q2S_E_NOMEM = 201,       /* out of memory */
	Q2S_E_SHORT = 202,       /* a file ended before the bytes that were asked for */
	Q2S_E_CHANGED = 203,     /* the source changed while it was being read */
	Q2S_E_CANCELLED = 204,   /* the caller asked to stop */
	Q2S_E_PLAN = 205,        /* the bytes written do not match the plan (a bug or drift) */
	Q2S_E_BUSY = 206,        /* another program has locked the file, as QEMU does what it has open */

	/* unsupported: legal, but not by this build or this function */
	Q2S_E_UNSUPPORTED = 300, /* an unknown version, feature bit, encryption or compression type */
	Q2S_E_MISSING = 301,     /* needs an optional library or program that is not there */
	Q2S_E_KEY = 302,         /* encrypted, and the secret is missing or wrong */

	/* limit: beyond what the format or QEMU can hold, or beyond a stated budget */
	Q2S_E_LIMIT = 400,       /* a stated limit is exceeded */
	Q2S_E_OVERFLOW = 401,    /* arithmetic on the values given leaves 64 bits */

	/* corrupt: bytes that no correct writer leaves behind */
	Q2S_E_MAGIC = 500,       /* not a qcow2 file */
	Q2S_E_HEADER = 501,      /* a header field is out of range, or contradicts another */
	Q2S_E_EXTENSION = 502,   /* a header extension is malformed */
	Q2S_E_TRUNCATED = 503,   /* a structure or cluster lies wholly past the end of the file */
	Q2S_E_RESERVED = 504,    /* a bit that must be zero is set */
	Q2S_E_OFFSET = 505,      /* a host offset is misaligned or out of range */
	Q2S_E_COPIED = 506,      /* COPIED where it cannot be */
	Q2S_E_SUBCLUSTER = 507,  /* subcluster both allocated and zero, or without a host cluster */
	Q2S_E_ZERO_FLAG = 508,   /* the zero flag where the format has none (version 2, extended L2) */
	Q2S_E_COMPRESSED = 509,  /* a compressed descriptor that cannot be (data file, bitmap, end) */
	Q2S_E_DATA = 510,        /* compressed data that does not decode to one cluster */
	Q2S_E_REFCOUNT = 511,    /* a refcount structure is malformed, or a count does not fit */
	Q2S_E_SNAPSHOT = 512,    /* a snapshot record is malformed */
	Q2S_E_BITMAP = 513,      /* a persistent bitmap's record or table is malformed */
	Q2S_E_CRYPTO = 514,      /* an encryption header is malformed */
};

enum q2s_err_class {
	Q2S_CLASS_OK,
	Q2S_CLASS_USAGE,
	Q2S_CLASS_IO,
	Q2S_CLASS_UNSUPPORTED,
	Q2S_CLASS_LIMIT,
	Q2S_CLASS_CORRUPT,
};

/** The class of a code. Pure; total over enum q2s_err. */
enum q2s_err_class q2s_err_class(enum q2s_err err);

/** A short stable name in lower case with dashes, such as "subcluster"; static storage. */
const char *q2s_err_name(enum q2s_err err);

#define Q2S_DIAG_FILE 1024
#define Q2S_DIAG_WHAT 64
#define Q2S_DIAG_TEXT 320

/**
 * What went wrong, and where. Filled by the function that fails; the caller owns the storage and
 * may pass NULL where it does not care. The first failure wins: nothing overwrites a filled one.
 * Zero-initialise before use: `struct q2s_diag diag = { 0 };`, and again before it is used for
 * another call.
 *
 * @sys_errno errno of the failed system call, or 0
 * @err       the code that the function returned
 * @at        host byte offset of the structure, or Q2S_NOWHERE
 * @value     the offending value, when @has_value
 * @follow    with Q2S_E_POLICY: the least enum q2s_follow that would allow it
 * @file      the file concerned, as it was named; empty when the caller knows it
 * @what      the structure or field, in the format's own term: "L2 entry", "cluster_bits"
 * @text      the rule that was broken, lower case, no full stop
 */
struct q2s_diag {
	int sys_errno;
	enum q2s_err err;
	bool has_value;
	uint8_t follow;
	q2s_host at;
	uint64_t value;
	char file[Q2S_DIAG_FILE];
	char what[Q2S_DIAG_WHAT];
	char text[Q2S_DIAG_TEXT];
};

/**
 * Write one line for people: "WHAT at host offset 0xAT: TEXT (found 0xVALUE): strerror".
 *
 * Parts that are not there are left out; the file name is not part of it. Control characters
 * are escaped as \xNN.
 *
 * @buf   receives at most @size bytes, always NUL-terminated when @size > 0
 */
void q2s_diag_format(const struct q2s_diag *diag, char *buf, size_t size);

/** What a long piece of work is doing. */
enum q2s_phase {
	Q2S_PHASE_SCAN,     /* looking for data; unit: guest bytes */
	Q2S_PHASE_COMPRESS, /* compressing into the spool; unit: guest bytes */
	Q2S_PHASE_WRITE,    /* writing the output; unit: output bytes */
	Q2S_PHASE_CHECK,    /* counting references; unit: guest bytes mapped */
	Q2S_PHASE_COMPARE,  /* comparing two disks; unit: guest bytes */
	Q2S_PHASE_SPOOL,    /* reading a stream to its end; unit: its bytes; total may be 0: unknown */
	Q2S_PHASE_SHARE,    /* looking for clusters that are the same; unit: guest bytes */
	Q2S_PHASE_VERIFY,   /* reading what a kept plan was made for; unit: guest bytes */
};

/**
 * Someone who watches long work and may stop it.
 *
 * @step  called now and then, from one thread at a time, with @done of @total units; returns
 *        false to stop: the work then ends with Q2S_E_CANCELLED
 */
struct q2s_observer {
	bool (*step)(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total);
	void *opaque;
};

Q2S_END_DECLS
#endif
