#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A file that is written to while it is checked is looked at again; one that does not come to rest is
# neither sound nor corrupt, but an error.

. "$Q2S_SRC/tests/cli/lib.sh"

q2s-create -q -o cluster_size=512 -w 'data@0+16M:1' image 16M
cp image copy

# Somebody who takes no locks, and writes what is there already.
(while [ ! -e stop ]; do
	dd if=copy of=image bs=512 conv=notrunc status=none
done) &
writer=$!
cleanup_fn kill $writer
changed=0
for ((i = 0; i < 100 && changed < 3; i++)); do
	got=0
	q2s-inspect check image >stdout 2>stderr || got=$?
	case $got in
	0) [ ! -s stderr ] || fail "it warns of what does not matter" ;;
	1)
		expect_stderr '^q2s-inspect: image: it was written to during each of 3 checks, so nothing can be said of it$'
		[ ! -s stdout ] || fail "it says what it cannot know: $(cat stdout)"
		changed=$((changed + 1))
		;;
	*) fail "exit $got: $(cat stdout)" ;;
	esac
done
[ $changed = 3 ] || fail "of 100 checks only $changed saw a change"
touch stop
wait $writer
expect_exit 0 q2s-inspect check image
expect_silence
