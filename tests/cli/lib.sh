# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What shell tests share. A test begins with
#
#	. "$Q2S_SRC/tests/cli/lib.sh"
#
# and then runs, under `set -eu`, in a private folder ($tmp) that is removed when it ends. The built
# tools come first in PATH; files of the source tree are below $Q2S_SRC. Each command that fails
# ends the test as failed. By hand: ./run tests/cli/NAME.sh (Q2S_KEEP=1 keeps the folder).

set -Eeuo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin # a user's PATH lacks them, and mkfs is there

: "${Q2S_SRC:?run tests through make check or ./run}" "${Q2S_BUILD:?}"

cleanup_commands=()

run_cleanups() {
	local status=$? i

	# a cleanup may fail, as what it ends may have ended by itself, and that says nothing of the test
	trap - EXIT ERR
	set +e
	for ((i = ${#cleanup_commands[@]} - 1; i >= 0; i--)); do
		eval "${cleanup_commands[i]}"
	done
	cd /
	if [ -n "${Q2S_KEEP:-}" ]; then
		echo "kept: $tmp"
	else
		rm -rf "$tmp"
	fi
	exit "$status"
}

tmp=$(mktemp -d "${TMPDIR:-/tmp}/q2s-test.XXXXXX")
trap run_cleanups EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
trap '[ "$BASHPID" != $$ ] || echo "failed: line $LINENO of $0: $BASH_COMMAND" >&2' ERR
cd "$tmp"

# cleanup_fn CMD [ARG...]: run this when the test ends, however it ends; the last one first.
cleanup_fn() {
	cleanup_commands+=("$(printf '%q ' "$@")")
}

# skip REASON: end the test as skipped.
skip() {
	echo "skipped: $*"
	exit 77
}

# fail MESSAGE: end the test as failed, and show what the last expect_exit caught.
fail() {
	trap - ERR
	echo "failed: $*" >&2
	if [ -s "$tmp/stderr" ]; then
		sed 's/^/  stderr: /' "$tmp/stderr" >&2
	fi
	exit 1
}

# has_terminal: can `script` run a command on a pseudo-terminal? In a bare chroot it cannot.
has_terminal() {
	[ "$(script -qec 'test -t 1 && echo yes' /dev/null </dev/null 2>/dev/null | tr -d '\r')" = yes ]
}

# requires WHAT...: skip unless each is there. WHAT is a command; root; terminal, which `script` makes;
# or HAVE_NAME, an optional part of this build as configure decided.
requires() {
	local what

	for what; do
		case $what in
		root)
			[ "$(id -u)" = 0 ] || skip "needs root"
			;;
		terminal)
			has_terminal || skip "needs script and a pseudo-terminal"
			;;
		HAVE_*)
			grep -q "^#define $what 1\$" "$Q2S_BUILD/config.h" ||
				skip "q2s was built without ${what#HAVE_}"
			;;
		*)
			command -v "$what" >/dev/null || skip "needs $what, which is not installed"
			;;
		esac
	done
}

# skip_under_sanitizers: for a test that limits memory, which AddressSanitizer cannot live with.
skip_under_sanitizers() {
	! grep -q '^#define HAVE_SANITIZERS 1$' "$Q2S_BUILD/config.h" ||
		skip "limits memory, which sanitizers need much of"
}

# expect_exit STATUS CMD [ARG...]: run it; its output is kept in $tmp/stdout and $tmp/stderr.
expect_exit() {
	local want=$1 got=0

	shift
	"$@" >"$tmp/stdout" 2>"$tmp/stderr" || got=$?
	[ "$got" = "$want" ] || fail "exit $got instead of $want: $*"
}

# expect_stderr REGEX, expect_stdout REGEX (extended): a line of what the last expect_exit caught.
expect_stderr() {
	grep -Eq -e "$1" "$tmp/stderr" || fail "no line of stderr matches '$1'"
}

expect_stdout() {
	grep -Eq -e "$1" "$tmp/stdout" ||
		fail "no line of stdout matches '$1': $(head -c 2000 "$tmp/stdout")"
}

# expect_silence: the last expect_exit wrote nothing to stderr.
expect_silence() {
	[ ! -s "$tmp/stderr" ] || fail "stderr is not empty"
}

# assert_equal WANT GOT [WHAT]
assert_equal() {
	[ "$1" = "$2" ] || fail "${3:-value} is '$2' instead of '$1'"
}

# assert_same_bytes A B: two files are equal, byte by byte and in length.
assert_same_bytes() {
	cmp -- "$1" "$2" || fail "$1 and $2 differ"
}

# qemu_check_clean IMAGE: QEMU finds neither corruption nor leaks.
qemu_check_clean() {
	requires qemu-img
	qemu-img check -f qcow2 -- "$1" >"$tmp/qemu-check" 2>&1 ||
		fail "qemu-img check $1: $(cat "$tmp/qemu-check")"
}

# hold ARG...: QEMU has the file that these arguments of qemu-io name open until let_go.
hold() {
	local i

	requires qemu-io
	rm -f held # of the last time, which said that it was open
	mkfifo ctl
	qemu-io "$@" <ctl >held 2>&1 &
	holder=$!
	exec 9>ctl
	echo length >&9
	for ((i = 0; i < 1500; i++)); do
		! grep -Eqs '[0-9] ([KMGT]iB|bytes)' held || return 0
		sleep 0.02
	done
	fail "QEMU does not open it: $(cat held)"
}

let_go() {
	exec 9>&-
	wait "$holder" || true
	rm ctl
}

# qemu_again CMD [ARG...]: run what makes QEMU measure how fast the machine is for LUKS. It gives up
# where the machine is too fast for its clock; then again.
qemu_again() {
	local try

	for ((try = 0; try < 50; try++)); do
		"$@" 2>"$tmp/qemu-again" && return
		grep -q 'CPU usage' "$tmp/qemu-again" || break
	done
	cat "$tmp/qemu-again" >&2
	return 1
}

# qemu_create_luks IMAGE SIZE [OPTIONS]: an image encrypted by LUKS, with the passphrase abc.
qemu_create_luks() {
	rm -f "$1"
	qemu_again qemu-img create -q -f qcow2 --object secret,id=s,data=abc \
		-o "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10${3:+,$3}" "$1" "$2"
}

# qemu_virtual_size IMAGE FORMAT: in bytes, as QEMU sees it.
qemu_virtual_size() {
	qemu-img info -f "$2" --output=json -- "$1" |
		sed -n 's/^ \{4\}"virtual-size": \([0-9]*\).*/\1/p'
}

# qemu_same_content A B [FORMAT_A [FORMAT_B]]: QEMU reads the same guest disk, of the same size,
# from both (raw and qcow2 unless said otherwise).
qemu_same_content() {
	local a=$1 b=$2 format_a=${3:-raw} format_b=${4:-qcow2}

	requires qemu-img
	assert_equal "$(qemu_virtual_size "$a" "$format_a")" "$(qemu_virtual_size "$b" "$format_b")" \
		"virtual size of $b"
	qemu-img compare -f "$format_a" -F "$format_b" -- "$a" "$b" >"$tmp/qemu-compare" 2>&1 ||
		fail "qemu-img compare $a $b: $(cat "$tmp/qemu-compare")"
}
