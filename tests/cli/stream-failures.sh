#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What cannot be read or written: one line that says so, exit 1, no new file, and the old one kept.

. "$Q2S_SRC/tests/cli/lib.sh"

make_disk=$Q2S_BUILD/tests/interop/make_disk
"$make_disk" disk 30000000 data@0+20000000
mkdir out

# fails REGEX ARG...: one line on stderr that matches.
fails() {
	local regex=$1

	shift
	expect_exit 1 "$@"
	assert_equal 1 "$(wc -l <stderr)" "lines of stderr of: $*"
	expect_stderr "^q2s-stream: $regex\$"
}

# Sources that are none.
for what in 'out' '/dev/null' '/dev/zero'; do
	fails "$what: .*neither a regular file nor a block device" q2s-stream "$what" out/new
done
fails 'missing: .*No such file or directory' q2s-stream missing out/new
fails 'disk/x: .*Not a directory' q2s-stream disk/x out/new
fails '.*No such file or directory' q2s-stream '' out/new
for what in /proc/self/mem /proc/self/status; do
	[ ! -e "$what" ] || fails "$what: .*neither a regular file nor a block device" q2s-stream "$what" out/new
done
assert_equal "" "$(ls -A out)" "what is left of sources that are none"

# Destinations that are none.
fails 'out: .*Is a directory' q2s-stream disk out
fails 'no/folder: .*No such file or directory' q2s-stream disk no/folder
fails 'out/new/: .*Is a directory' q2s-stream disk out/new/
ln -s no/folder dangling
fails 'dangling: .*No such file or directory' q2s-stream disk dangling
fails '.*File name too long' q2s-stream disk "out/$(printf '%0300d' 0)"
fails '/dev/full: .*No space left on device' q2s-stream disk /dev/full
fails 'standard output: .*No space left on device' sh -c 'q2s-stream disk >/dev/full'
fails 'standard output: .*No space left on device' sh -c 'q2s-stream -O raw disk >/dev/full'
fails 'standard output: .*Bad file descriptor' sh -c 'q2s-stream disk 1</dev/null'
assert_equal "" "$(ls -A out)" "what is left of destinations that are none"

# A reader that goes early.
for count in 0 1 100000 3000000; do
	got=0
	{ q2s-stream disk 2>stderr || got=$?; echo "$got" >status; } | head -c "$count" >/dev/null
	assert_equal 1 "$(cat status)" "exit when the reader goes after $count bytes"
	assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
	expect_stderr '^q2s-stream: standard output: .*Broken pipe$'
done

# A file that may not grow: nothing new, and the old one is kept. Its name is there all the time.
printf old >out/old
for dest in out/old out/new; do
	fails "$dest: .*File too large" bash -c "ulimit -f 1000; exec q2s-stream disk $dest"
	assert_equal old "$(ls -A out)" "what is there"
	assert_equal old "$(cat out/old)" "the old file"
done

requires root mount umount
mkdir small
mount -t tmpfs -o size=1m tmpfs small 2>/dev/null || skip "a tmpfs cannot be mounted here"
cleanup_fn umount "$tmp/small"
printf old >small/old
for dest in small/old small/new; do
	fails "$dest: .*No space left on device" q2s-stream disk "$dest"
	assert_equal old "$(ls -A small)" "what is there"
	assert_equal old "$(cat small/old)" "the old file"
done
fails "standard output: .*No space left on device" sh -c 'q2s-stream disk >small/redirected'
