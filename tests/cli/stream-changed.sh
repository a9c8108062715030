#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A source that changes while it is read: exit 1 and one line that names it, for pipe and file.

. "$Q2S_SRC/tests/cli/lib.sh"

make_disk=$Q2S_BUILD/tests/interop/make_disk
mkfifo pipe

# changed COMMAND...: run it when the tool has written its first byte and waits for a reader.
changed() {
	local options got

	for options in '' '-c 512' '-o extended_l2=on' '-O raw'; do
		"$make_disk" disk 12000000 data@0+8000000
		touch -d '2020-01-01' disk
		# shellcheck disable=SC2086  # words
		q2s-stream $options disk >pipe 2>stderr &
		exec 3<pipe
		head -c 1 <&3 >/dev/null
		"$@"
		cat <&3 >/dev/null
		got=0
		wait $! || got=$?
		assert_equal 1 "$got" "exit of q2s-stream $options after: $*"
		assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
		expect_stderr '^q2s-stream: disk: source.* while it was read'
	done
}

changed truncate -s 0 disk
changed truncate -s 5000000 disk
changed truncate -s 11999999 disk
changed truncate -s 12000001 disk
changed dd if=/dev/zero of=disk bs=1 count=1 seek=11000000 conv=notrunc status=none
changed dd if=/dev/zero of=disk bs=1 count=1 seek=0 conv=notrunc status=none

# What is no change: its name, its rights, and another file under its name.
"$make_disk" disk 12000000 data@0+8000000
q2s-stream disk want
q2s-stream disk >pipe 2>stderr &
exec 3<pipe
head -c 1 <&3 >got
ln disk other
chmod 600 other
rm disk
echo other >disk
cat <&3 >>got
wait $! || fail "exit $?: $(cat stderr)"
assert_same_bytes want got
