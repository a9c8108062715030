#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon that reads a foreign format ends with q2s-stream, however that ends; and no socket,
# folder or output stays.

. "$Q2S_SRC/tests/cli/lib.sh"
requires HAVE_LIBNBD qemu-storage-daemon qemu-img mkfifo

real=$(command -v qemu-storage-daemon)
stream=$(command -v q2s-stream)
mkdir run temp bin
export XDG_RUNTIME_DIR=$tmp/run TMPDIR=$tmp/temp
PATH=$tmp/bin:$PATH

# daemon_is COMMAND: what is started as qemu-storage-daemon; its process ID goes to the file pid.
daemon_is() {
	printf '#!/bin/sh\necho $$ >%q\n%s\n' "$tmp/pid" "$1" >bin/qemu-storage-daemon
	chmod +x bin/qemu-storage-daemon
	rm -f pid
}
the_real_one="exec $real \"\$@\""

seq 1 2000000 >disk.raw # far more than a pipe holds
truncate -s 16M disk.raw
qemu-img convert -f raw -O vmdk disk.raw disk.vmdk

# until_true WHAT CMD...: a bound against hanging, not a measure.
until_true() {
	local what=$1 i

	shift
	for ((i = 0; i < 1500; i++)); do
		"$@" && return
		sleep 0.02
	done
	fail "waited in vain: $what"
}

# A zombie whom nobody has buried yet has ended.
is_gone() {
	! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"
}

is_running() {
	[ -s pid ]
}

nothing_left() {
	until_true "the daemon's end ($1)" is_gone "$(cat pid)"
	assert_equal '' "$(find run temp -mindepth 1)" "what is left ($1)"
	[ ! -e out ] && ! compgen -G '.out*' >/dev/null || fail "an output was left ($1)"
}

# --- ends of its own ---
daemon_is "$the_real_one"
expect_exit 0 q2s-stream -f vmdk -O raw disk.vmdk disk.out
assert_same_bytes disk.raw disk.out
nothing_left 'normal end'
daemon_is "$the_real_one"
expect_exit 1 q2s-stream -f vmdk disk.raw out
expect_stderr 'invalid VMDK image descriptor'
nothing_left 'refused by the daemon'
daemon_is "$the_real_one"
expect_exit 1 q2s-stream -f vmdk -o size=1M disk.vmdk out
nothing_left 'error'
daemon_is "$the_real_one"
{ q2s-stream -f vmdk disk.vmdk 2>stderr || echo $? >status; } | head -c 10000 >/dev/null
assert_equal 1 "$(cat status)" "exit code behind a closed pipe"
nothing_left 'closed pipe'
daemon_is "$the_real_one"
expect_exit 1 sh -c 'exec q2s-stream -f vmdk disk.vmdk >/dev/full'
nothing_left 'full device'
daemon_is "$the_real_one"
mkdir broken
: >"broken/$(sed -n 's/^#define SONAME_LIBNBD "\(.*\)"$/\1/p' "$Q2S_BUILD/config.h")"
LD_LIBRARY_PATH=$tmp/broken:$LD_LIBRARY_PATH expect_exit 1 q2s-stream -f vmdk disk.vmdk out
expect_stderr '^q2s-stream: disk.vmdk: NBD: libnbd.* cannot be loaded: '
nothing_left 'no libnbd'

# --- signals, in the middle of the output ---
# start [DEST]: a q2s-stream ($!) that can go no further, as nobody reads what it writes.
mkfifo fifo
start() {
	env --default-signal "$stream" -f vmdk disk.vmdk >fifo 2>stderr &
	exec 3<fifo
	until_true "output" read -r -N 1 -u 3 _
	until_true "a daemon" is_running
	assert_equal '' "$(find run temp -mindepth 1)" "what can be seen while it runs"
}

for signal in TERM INT HUP KILL ABRT; do
	daemon_is "$the_real_one"
	start
	kill -"$signal" $!
	got=0
	wait $! 2>/dev/null || got=$?
	assert_equal $((128 + $(kill -l "$signal"))) "$got" "status after SIG$signal"
	[ ! -s stderr ] || fail "it said something after SIG$signal"
	# nobody else holds the pipe: this ends
	cat <&3 >/dev/null
	exec 3<&-
	nothing_left "SIG$signal"
done

# The daemon's end is ours.
daemon_is "$the_real_one"
start
kill -KILL "$(cat pid)"
cat <&3 >/dev/null
got=0
wait $! || got=$?
exec 3<&-
assert_equal 1 "$got" "exit code when the daemon is killed"
expect_stderr '^q2s-stream: disk.vmdk: NBD server: '
nothing_left 'killed daemon'

# --- signals while the daemon is not ready ---
for signal in TERM KILL; do
	daemon_is 'exec sleep 1000'
	env --default-signal "$stream" -f vmdk disk.vmdk out 2>stderr &
	until_true "a daemon" is_running
	kill -"$signal" $!
	wait $! 2>/dev/null || true
	nothing_left "SIG$signal while it starts"
done

# --- strange daemons ---
daemon_is 'trap "" TERM; while :; do sleep 0.1; done'
env --default-signal "$stream" -f vmdk disk.vmdk out 2>stderr &
until_true "a daemon" is_running
kill -TERM $!
wait $! 2>/dev/null || true
nothing_left 'a daemon that does not listen'

daemon_is 'exit 3'
expect_exit 1 q2s-stream -f vmdk disk.vmdk out
expect_stderr '^q2s-stream: disk.vmdk: NBD server: cannot connect: '
daemon_is 'echo "qemu-storage-daemon: warning: odd" >&2; echo "qemu-storage-daemon: no way" >&2; exit 1'
expect_exit 1 q2s-stream -f vmdk disk.vmdk out
expect_stderr '^q2s-stream: disk.vmdk: qemu-storage-daemon: cannot read it as vmdk: no way$'

# What it inherits: three descriptors of its own and nothing of the user's. (A shell blocks signals
# for a moment whenever it starts a command, so the command looks at itself.)
daemon_is 'ls -l /proc/self/fd >../fds; grep "^Sig[BI]" /proc/self/status >../signals; exit 1'
(
	exec 7<disk.raw 8>mine
	cd bin
	expect_exit 1 "$stream" -f vmdk ../disk.vmdk ../out
)
! grep -E 'mine|disk.raw' fds || fail "descriptors of the user's were inherited"
grep -q '^SigBlk:[[:space:]]*0*$' signals || fail "signals are blocked: $(cat signals)"
grep -q ' 4 -> .*disk.vmdk$' fds || fail "the image was not inherited: $(cat fds)"

# --- no daemon ---
rm bin/qemu-storage-daemon
PATH=$tmp/bin expect_exit 1 "$stream" -f vmdk disk.vmdk out
expect_stderr '^q2s-stream: disk.vmdk: qemu-storage-daemon: .* not installed .*package qemu-utils\)$'
touch bin/qemu-storage-daemon # but no program
PATH=$tmp/bin expect_exit 1 "$stream" -f vmdk disk.vmdk out
expect_stderr 'qemu-storage-daemon: cannot be run: Permission denied'
assert_equal '' "$(find run temp -mindepth 1)" "what is left without a daemon"
[ ! -e out ] || fail "an output was left without a daemon"
