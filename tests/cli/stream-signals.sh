#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Signals: SIGUSR1 is a question; those that end the tool end it as they should, and leave nothing.

. "$Q2S_SRC/tests/cli/lib.sh"

make_disk=$Q2S_BUILD/tests/interop/make_disk
"$make_disk" disk 30000000 data@0+20000000
q2s-stream disk want
mkfifo pipe

# start [ARG...]: the tool with a reader who has taken one byte, and waits. $pid, descriptor 3.
start() {
	env --default-signal q2s-stream "$@" >pipe 2>stderr &
	pid=$!
	exec 3<pipe
	head -c 1 <&3 >first
}

# await FILE REGEX: a line that comes sooner or later.
await() {
	until grep -Eq "$2" "$1"; do
		kill -0 "$pid" || fail "the tool is gone, without '$2': $(cat "$1")"
		sleep 0.05
	done
}

start disk
kill -USR1 "$pid"
await stderr '^q2s-stream: write: [0-9]+% '
cat first - <&3 >got
wait "$pid" || fail "exit $? after SIGUSR1"
assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
assert_same_bytes want got

for signal in INT TERM HUP; do
	start disk
	kill "-$signal" "$pid"
	got=0
	wait "$pid" || got=$?
	assert_equal "$((128 + $(kill -l "$signal")))" "$got" "exit after SIG$signal"
	cat <&3 >/dev/null
	exec 3<&-
done

# nohup: what was ignored stays ignored.
(
	trap '' HUP
	exec q2s-stream disk >pipe 2>stderr
) &
pid=$!
exec 3<pipe
head -c 1 <&3 >first
kill -HUP "$pid"
cat first - <&3 >got
wait "$pid" || fail "exit $? though SIGHUP is ignored"
assert_same_bytes want got

# At whatever time it comes: the file is complete, or it is not there and nothing beside it is.
mkdir out
"$make_disk" slow 400000000 zero@0+200000000 data@300000000+50000000
q2s-stream -c 512 slow whole
for delay in 0 0.01 0.02 0.04 0.06 0.1 0.15 0.2 0.3; do
	got=0
	env --default-signal q2s-stream -c 512 slow out/image 2>stderr &
	pid=$!
	sleep "$delay"
	kill -TERM "$pid" 2>/dev/null || true
	wait "$pid" || got=$?
	case $got in
	0) assert_equal image "$(ls -A out)" "what is there" ;;
	143)
		[ ! -e out/image ] || assert_same_bytes whole out/image
		rm -f out/image
		assert_equal "" "$(ls -A out)" "what is left after $delay s"
		;;
	*) fail "exit $got after $delay s" ;;
	esac
	rm -f out/image
done
