#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-stream --digest, --limit-rate and --size-fd: what stands between an image and its destination.

. "$Q2S_SRC/tests/cli/lib.sh"

head -c 700000 /dev/urandom >source.raw
truncate -s 3M source.raw
printf end | dd of=source.raw bs=1 seek=2500000 conv=notrunc status=none
q2s-stream source.raw plain.qcow2
length=$(stat -c %s plain.qcow2)

# --- --size-fd --------------------------------------------------------------------------------

# The length comes first: this reader takes nothing before it knows how much there will be.
mkfifo size
q2s-stream --size-fd 3 source.raw 3>size | {
	read -r told <size
	assert_equal "$length" "$told"
	cat >a.qcow2
}
assert_same_bytes plain.qcow2 a.qcow2

# It is the length of what comes, in all forms of output.
q2s-stream --size-fd 3 source.raw b.qcow2 3>told
assert_equal "$length" "$(cat told)"
assert_equal 1 "$(wc -l <told)"
q2s-stream -O raw --size-fd 3 source.raw b.raw 3>told
assert_equal 3145728 "$(cat told)"
q2s-stream --range 100:1000 --size-fd 3 source.raw 3>told >c
assert_equal 1000 "$(cat told)"
q2s-stream --compress --size-fd 3 source.raw 3>told >c
assert_equal "$(stat -c %s c)" "$(cat told)"
# To a file that is named, descriptor 1 is as good as any.
assert_equal "$length" "$(q2s-stream --size-fd 1 source.raw d.qcow2)"

refused() {
	local why=$1

	shift
	expect_exit 1 "$@"
	expect_stderr "$why"
	[ ! -e out ] || fail "an image is there"
}

refused '--size-fd: no such descriptor is open.*--help' q2s-stream --size-fd 9 source.raw out
refused '--size-fd: no such descriptor' q2s-stream --size-fd 99999999999 source.raw out
refused '--size-fd: the descriptor is not open for writing' q2s-stream --size-fd 3 source.raw out 3<source.raw
refused '--size-fd: not a whole number' q2s-stream --size-fd x source.raw out
refused '--size-fd: negative' q2s-stream --size-fd -1 source.raw out
refused '--size-fd: descriptor 1 is where the image goes' q2s-stream --size-fd 1 source.raw
[ ! -s stdout ]
refused '--size-fd.*No space left' q2s-stream --size-fd 3 source.raw out 3>/dev/full

# --- --limit-rate -----------------------------------------------------------------------------

q2s-stream --limit-rate 100M source.raw | cmp - plain.qcow2
q2s-stream --limit-rate 9223372036854775807 source.raw | cmp - plain.qcow2
q2s-stream --limit-rate 2m source.raw e.qcow2
assert_same_bytes plain.qcow2 e.qcow2
refused '--limit-rate: nothing would ever be written' q2s-stream --limit-rate 0 source.raw out
refused '--limit-rate: unknown unit' q2s-stream --limit-rate 5x source.raw out
refused '--limit-rate: negative' q2s-stream --limit-rate=-5 source.raw out

# At a small rate it takes for ever, but it can be stopped, and tells how far it is.
q2s-stream --limit-rate 1 --progress=json source.raw out 2>progress &
until grep -q '"phase": "write", "done": [1-9]' progress; do
	kill -0 $! || fail "it ended by itself: $(cat progress)"
	sleep 0.05
done
kill -TERM $!
stopped=0
wait $! || stopped=$?
assert_equal 143 "$stopped"
[ -z "$(compgen -G 'out*' ; compgen -G '.out*')" ] || fail "something is left behind"

# --- progress ---------------------------------------------------------------------------------

# Before the first byte of the image there is a line that tells the length.
mkfifo lines
q2s-stream --progress=json source.raw 2>lines | {
	while read -r line; do
		case $line in *'"phase": "write"'*) break ;; esac
	done <lines
	case $line in
	'{"phase": "write", "done": 0, "total": '"$length, \"length\": $length, "*'"rate": '*'"final": false}') ;;
	*) fail "the first line of writing is $line" ;;
	esac
	cat >f.qcow2
}
assert_same_bytes plain.qcow2 f.qcow2

# --- --digest ---------------------------------------------------------------------------------

refused '--measure and --compare write nothing' q2s-stream --measure --limit-rate 1 source.raw
refused '--measure and --compare write nothing' q2s-stream --measure --size-fd 2 source.raw
if ! grep -q '^#define HAVE_LIBGCRYPT 1$' "$Q2S_BUILD/config.h"; then
	refused 'needs libgcrypt' q2s-stream --digest sha256 source.raw out
	exit 0
fi

# digest ALG PROGRAM ARG...: what is printed is what PROGRAM says of the file that was written.
digest() {
	local alg=$1 program=$2 want

	shift 2
	expect_exit 0 q2s-stream --digest "$alg" "$@" source.raw g
	want=$("$program" g)
	assert_equal "$alg  ${want%% *}" "$(cat stderr)" "digest with $*"
	expect_exit 0 q2s-stream --digest "$alg" "$@" source.raw
	assert_equal "$alg  ${want%% *}" "$(cat stderr)" "digest with $*, down a pipe"
	assert_same_bytes g stdout
}

digest md5 md5sum
digest sha1 sha1sum
digest sha256 sha256sum
digest sha512 sha512sum
digest blake2b b2sum
digest sha256 sha256sum -O raw
digest sha256 sha256sum -c 512 -o extended_l2=off
digest sha256 sha256sum -o extended_l2=on
digest sha256 sha256sum --compress=zstd
digest sha256 sha256sum --spool none --compress
digest sha256 sha256sum --part 2/3
digest sha256 sha256sum --range 0:0
digest sha256 sha256sum --limit-rate 50M

expect_exit 0 q2s-stream --digest sha256 --progress=json source.raw g
want=$(sha256sum g)
expect_stderr "^\\{\"digest\": \"sha256\", \"hex\": \"${want%% *}\"\\}\$"
expect_exit 0 q2s-stream --digest SHA256 source.raw g
expect_stderr "  ${want%% *}\$"

refused "unknown algorithm 'sha'; known: md5, .*blake2b.*--help" q2s-stream --digest sha source.raw out
refused '--measure and --compare write nothing' q2s-stream --measure --digest md5 source.raw
# What was not written has no digest.
expect_exit 1 sh -c 'q2s-stream --digest md5 source.raw >/dev/full'
! grep -q '^md5' stderr || fail "a digest of nothing"
# Nor may one be missed.
expect_exit 1 sh -c 'q2s-stream --digest md5 source.raw g 2>/dev/full'
