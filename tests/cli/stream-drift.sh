#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A source that is not what the plan was made for, or does not stay what it was, though its size and
# modification time say so: exit 1, one line that names it, and no image under any name.

. "$Q2S_SRC/tests/cli/lib.sh"

make_disk=$Q2S_BUILD/tests/interop/make_disk
mkfifo pipe

# Changes within one tick of the clock that files are stamped with are not the matter here.
tick() {
	sleep 0.05
}

# hidden COMMAND...: run it, and put the modification time of disk back.
hidden() {
	touch -r disk stamp
	tick
	"$@"
	touch -r stamp disk
}

poke() { # FILE OFFSET
	printf '\125' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

fill_hole() {
	poke disk 10000000
}

change_data() {
	poke disk 2000000
}

zero_tail() {
	truncate -s 6000000 disk
	truncate -s 12000000 disk
}

replace() {
	cp disk new
	head -c 8000000 /dev/zero | tr '\0' z | dd of=new bs=64k conv=notrunc status=none
	mv new disk
}

fresh() {
	"$make_disk" disk 12000000 data@0+8000000
	touch -d '2020-01-01' disk
	tick
}

# refused OPTION...: neither to a pipe nor to a file; what was there before stays.
refused() {
	echo before >old
	rm -f out
	expect_exit 1 q2s-stream "$@" disk out
	assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
	expect_stderr '^q2s-stream: disk: source: .* is not what it was when the plan was made'
	[ ! -e out ] || fail "q2s-stream $*: left a file behind"
	expect_exit 1 q2s-stream "$@" disk old
	assert_equal before "$(cat old)"
	expect_exit 1 q2s-stream "$@" disk
	[ ! -s stdout ] || fail "q2s-stream $*: wrote something"
}

# ---- between the plan and the writing, or between two parts

for change in fill_hole change_data zero_tail replace; do
	for options in '' '-z' '-o extended_l2=on' '--dedup'; do
		fresh
		# shellcheck disable=SC2086  # words
		q2s-stream $options --save-plan plan disk want
		q2s-stream --plan plan --part 1/2 disk part1
		hidden $change
		refused --plan plan
		refused --plan plan --part 2/2
		refused --plan plan --range 0:65536
		refused --plan plan --resume 65536
	done
done

# ---- while it is written

# changed COMMAND...: run it when the tool has written its first byte and waits for a reader.
changed() {
	local options got

	for options in '' '-c 512' '-O raw' '--dedup'; do
		fresh
		# shellcheck disable=SC2086  # words
		q2s-stream $options disk >pipe 2>stderr &
		exec 3<pipe
		head -c 1 <&3 >/dev/null
		hidden "$@"
		cat <&3 >/dev/null
		got=0
		wait $! || got=$?
		assert_equal 1 "$got" "exit of q2s-stream $options after: $*"
		assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
		expect_stderr '^q2s-stream: disk: source.* while it was read'
	done
}

changed change_data
changed fill_hole

# To a file: slowly, so that the change comes between its length, which is told first, and its end.
fresh
echo before >old
for dest in old new; do
	q2s-stream --limit-rate 4M --size-fd 4 disk $dest 4>pipe 2>stderr &
	read -r _ <pipe
	hidden change_data
	got=0
	wait $! || got=$?
	assert_equal 1 "$got" "exit when the source changes while $dest is written"
	expect_stderr '^q2s-stream: disk: source.* while it was read'
done
assert_equal before "$(cat old)"
[ ! -e new ] || fail "an image of a source that changed got its name"

# ---- another file with the same content is a source too

fresh
for options in '' '-z'; do
	# shellcheck disable=SC2086  # words
	q2s-stream $options --save-plan plan disk want
	mkdir -p elsewhere
	cp -p disk elsewhere/disk
	tick
	for k in 1 2 3; do
		q2s-stream --plan plan --part $k/3 elsewhere/disk
	done >got
	assert_same_bytes want got
	cat disk >elsewhere/disk # without holes
	touch -r disk elsewhere/disk
	q2s-stream --plan plan elsewhere/disk got
	assert_same_bytes want got
done
touch -d '2020-01-02' elsewhere/disk
expect_exit 1 q2s-stream --plan plan elsewhere/disk
expect_stderr 'its modification time is not'

# So is a stream, which has no times, and one without holes; not one that has data in one.
cat disk | q2s-stream --save-plan plan - want
cat disk | q2s-stream --plan plan - got
assert_same_bytes want got
fill_hole
cat disk | expect_exit 1 q2s-stream --plan plan - other
expect_stderr 'its data in the 2 MiB at this'

# One byte of a copy shows in the part that is made of it, before that writes anything; and where
# the image holds nothing of it, in the part that has the header: stored zeros, what the base holds
# too, and what shares another's place.
"$make_disk" base 72000000 data@0+2000000
varied() {
	"$make_disk" "$1" 72000000 data@0+64000000 zero@65011712+4194304 data@70000000+1000
}

repeated() {
	for ((i = 0; i < 800; i++)); do
		head -c 65536 block
	done >"$1"
}

one_byte() { # OFFSET OPTION...
	local at=$1 refusals=0

	shift
	q2s-stream "$@" --save-plan plan --measure disk >/dev/null
	$content elsewhere/disk # cp may turn zeros into holes
	printf '\377' | dd of=elsewhere/disk bs=1 seek="$at" conv=notrunc status=none
	touch -r disk elsewhere/disk
	for k in 1 2 3 4; do
		q2s-stream --plan plan --part $k/4 disk >/dev/null
		rm -f out
		q2s-stream --plan plan --part $k/4 elsewhere/disk out 2>stderr && continue
		expect_stderr '^q2s-stream: elsewhere/disk: source: its data in the 2 MiB at this'
		[ ! -e out ] || fail "a part of another source got its name"
		refusals=$((refusals + 1))
	done
	[ "$refusals" -gt 0 ] || fail "no part is refused: $at $*"
	expect_exit 1 q2s-stream --plan plan elsewhere/disk
	[ ! -s stdout ] || fail "something was written"
	rm -f out
}

content=varied
varied disk
one_byte 3000000
one_byte 3000000 -z
one_byte 70000999 -z
one_byte 66000000
one_byte 66000000 -z -o extended_l2=on
one_byte 1000000 -b base -F raw
printf 'one and the same %.0s' {1..4096} >block
content=repeated
repeated disk
one_byte 30000000 --dedup

# ---- every file of a chain counts

rm disk
q2s-create -q base.qcow2 16M -w data@0+8388608:1
q2s-create -q -b base.qcow2 -F qcow2 disk 16M -w data@9437184+65536:2
q2s-stream -f qcow2 --save-plan plan disk want
touch -r base.qcow2 stamp
tick
poke base.qcow2 $((5 * 65536 + 100))
touch -r stamp base.qcow2
expect_exit 1 q2s-stream -f qcow2 --plan plan disk out
expect_stderr 'base.qcow2: source: its change time is not'
[ ! -e out ] || fail "an image of a changed chain got its name"

q2s-stream -f qcow2 disk >pipe 2>stderr &
exec 3<pipe
head -c 1 <&3 >/dev/null
tick
poke base.qcow2 $((5 * 65536 + 101))
touch -r stamp base.qcow2
cat <&3 >/dev/null
got=0
wait $! || got=$?
assert_equal 1 "$got" "exit when a backing file changes"
expect_stderr 'base.qcow2: source.* while it was read'
