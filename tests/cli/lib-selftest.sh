#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A test that cannot fail proves nothing: tries the helpers of lib.sh on what they must notice.
# shellcheck disable=SC2016  # the scripts tried here expand what they hold

. "$Q2S_SRC/tests/cli/lib.sh"

# attempt STATUS SCRIPT: SCRIPT, as a test of its own, must end so.
attempt() {
	local got=0

	printf '. "%s/tests/cli/lib.sh"\n%s\n' "$Q2S_SRC" "$2" >attempt.sh
	TMPDIR=$tmp bash attempt.sh >attempt.out 2>&1 || got=$?
	[ "$got" = "$1" ] || fail "exit $got instead of $1 from: $2: $(cat attempt.out)"
}

said() {
	grep -Fq -e "$1" attempt.out || fail "'$1' was not said: $(cat attempt.out)"
}

attempt 0 'true'
attempt 1 'false'
said 'failed: line 2'
attempt 1 'false | true'
attempt 1 'fail "as asked"'
said 'failed: as asked'

attempt 0 'requires sh'
attempt 77 'requires no-such-command-anywhere'
said 'skipped: needs no-such-command-anywhere'
attempt 77 'requires HAVE_NO_SUCH_FEATURE'
attempt 77 'script() { return 1; }; requires terminal'
attempt 0 'script() { printf "yes\r\n"; }; requires terminal'
attempt 77 'command() { [ "$2" != qemu-img ]; }; qemu_check_clean x'

attempt 0 'expect_exit 3 sh -c "echo oops >&2; exit 3"; expect_stderr "^o+ps$"'
attempt 1 'expect_exit 0 sh -c "echo oops >&2; exit 3"'
said 'exit 3 instead of 0'
said 'stderr: oops'
attempt 1 'expect_exit 0 true; expect_stderr .'
attempt 1 'expect_exit 0 echo one; expect_stdout two'
attempt 1 'expect_exit 0 sh -c "echo x >&2"; expect_silence'
attempt 1 'assert_equal 1 2 number'
said "number is '2' instead of '1'"

attempt 0 'echo a >x; echo a >y; assert_same_bytes x y'
attempt 1 'echo a >x; echo ab >y; assert_same_bytes x y'

attempt 1 "cleanup_fn touch '$tmp/with space'; cleanup_fn false; fail now"
[ -e "$tmp/with space" ] || fail "cleanup_fn did not run after a failure"
attempt 0 'cleanup_fn false'
[ ! -s attempt.out ] || fail "a cleanup that failed was reported: $(cat attempt.out)"
attempt 0 'echo mine >file'
! compgen -G "$tmp/q2s-test.*" >/dev/null || fail "a private folder was left behind"

if command -v qemu-img >/dev/null; then
	attempt 0 'truncate -s 1M a; qemu-img create -qf qcow2 b 1M
		qemu_check_clean b; qemu_same_content a b'
	attempt 1 'truncate -s 1M a; qemu-img create -qf qcow2 b 2M; qemu_same_content a b'
	said 'virtual size of b'
	attempt 1 'truncate -s 1M a; echo x >>a; truncate -s 2M a
		qemu-img create -qf qcow2 b 2M; qemu_same_content a b'
	attempt 1 'qemu-img create -qf qcow2 b 1M; printf "\377" |
		dd of=b bs=1 seek=131072 conv=notrunc status=none; qemu_check_clean b'
	attempt 1 'truncate -s 1M a; qemu_check_clean a'
fi
