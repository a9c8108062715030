#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Differences of what changed: from a bitmap in the image, and from a server's.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/backup-lib.sh"
requires HAVE_LIBNBD qemu-img qemu-io qemu-nbd nbdinfo jq

# A full disk, and what a machine did to it since.
head -c 20000256 /dev/urandom >full.raw
qemu-img convert -f raw -O qcow2 full.raw vm.qcow2
q2s-stream vm.qcow2 full.qcow2
qemu-img bitmap --add -g 65536 vm.qcow2 mon
qemu-img bitmap --add -g 512 vm.qcow2 fine
qemu-img bitmap --add -g 2M vm.qcow2 coarse
# written, the same again, zeroed, zeros as data, trimmed, up to the last byte
dd if=full.raw of=piece bs=4096 skip=250 count=16 status=none
qemu-io -c 'write -P 5 1M 192k' -c 'write -P 6 3000000 5' -c 'write -z 5M 1M' -c 'write -P 0 7M 64k' \
	-c 'discard 9M 128k' -c 'write -P 9 20000000 256' -c 'write -s piece 1024000 65536' \
	vm.qcow2 >/dev/null
qemu-img convert -f qcow2 -O raw vm.qcow2 now.raw
for name in mon fine coarse; do
	qemu_bitmap $name vm.qcow2 >map.$name
done

# held IMAGE: bytes that this layer says are allocated, zeros included.
held() {
	qemu-img map -U --output=json "$1" | jq '[.[] | select(.depth == 0 and .present).length] | add // 0'
}

# judge OPTION...: the difference shows what the machine shows.
judge() {
	rm -f diff.qcow2
	expect_exit 0 q2s-stream "$@" diff.qcow2
	expect_silence
	qemu_check_clean diff.qcow2
	qemu_same_content now.raw diff.qcow2
	q2s-stream "$@" | cat >piped.qcow2
	assert_same_bytes diff.qcow2 piped.qcow2
	assert_equal "$(stat -c %s diff.qcow2)" "$(q2s-stream --measure --output=json "$@" | jq .length)"
}

# both_ways WHAT OPTION...: with the parent only what differs; without it the bitmap alone decides:
# dirty is stored, and what is zero is not absent.
both_ways() {
	local what=$1

	shift
	judge --changed="$what" -b full.qcow2 -F qcow2 "$@"
	judge --changed="$what" --backing-name full.qcow2 -F qcow2 "$@"
}

both_ways bitmap:mon -c 64k vm.qcow2
both_ways bitmap:mon -c 2M vm.qcow2
both_ways bitmap:coarse -c 128k -o extended_l2=on vm.qcow2
both_ways bitmap:coarse -z vm.qcow2
both_ways bitmap:fine -c 128k -o extended_l2=on vm.qcow2
both_ways bitmap:fine -c 512 vm.qcow2
assert_equal "$(dirty_bytes map.fine)" "$(held diff.qcow2)" "bytes in the difference"
judge --changed=auto:mon -b full.qcow2 -F qcow2 vm.qcow2

# With the parent, only what differs: the piece that was written again unchanged is not there.
q2s-stream --changed=bitmap:mon -b full.qcow2 -F qcow2 -c 128k -o extended_l2=on vm.qcow2 diff.qcow2
q2s-stream -b full.qcow2 -F qcow2 -c 128k -o extended_l2=on vm.qcow2 compared.qcow2
assert_same_bytes compared.qcow2 diff.qcow2
# What the bitmap calls clean is not looked at, whatever it is.
cp vm.qcow2 other.qcow2
qemu-img bitmap --clear other.qcow2 mon
q2s-stream --changed=bitmap:mon -b full.qcow2 -F qcow2 other.qcow2 diff.qcow2
assert_equal 0 "$(held diff.qcow2)" "bytes in an empty difference"

# A difference without a name, put over its parent by hand.
q2s-stream --changed=bitmap:mon --backing-name none vm.qcow2 nameless.qcow2
q2s-stream --changed=bitmap:mon --backing-name none vm.qcow2 | cat >piped.qcow2
assert_same_bytes nameless.qcow2 piped.qcow2
qemu_check_clean nameless.qcow2
qemu-img info --output=json nameless.qcow2 | jq -e '."backing-filename" == null' >/dev/null
q2s-stream -O raw --layers full.qcow2,nameless.qcow2 restored.raw
assert_same_bytes now.raw restored.raw

# Sizes: the disk has grown, with data in the new part that the bitmap calls clean; and shrunk.
cp vm.qcow2 grown.qcow2
qemu-img bitmap --remove grown.qcow2 coarse
qemu-img resize -q grown.qcow2 +3M
cp now.raw grown.raw
truncate -s +3M grown.raw
for base in full.raw now.raw; do
	q2s-stream --changed=bitmap:mon -b $base -F raw grown.qcow2 diff.qcow2
	qemu_check_clean diff.qcow2
	qemu_same_content grown.raw diff.qcow2
done
head -c 30000128 /dev/urandom >longer.raw
dd if=full.raw of=longer.raw conv=notrunc status=none
q2s-stream --changed=bitmap:mon -b longer.raw -F raw vm.qcow2 diff.qcow2
qemu_same_content now.raw diff.qcow2
q2s-stream --changed=bitmap:mon -b longer.raw -F raw -o size=25M vm.qcow2 diff.qcow2
cp now.raw padded.raw
truncate -s 25M padded.raw
qemu_same_content padded.raw diff.qcow2
head -c 10000000 full.raw >short.raw
q2s-stream --changed=bitmap:mon -b short.raw -F raw vm.qcow2 diff.qcow2
qemu_same_content now.raw diff.qcow2

# Random writes of 4 KiB under a bitmap of 64 KiB: subclusters hold a tenth of it at most.
qemu-img convert -f raw -O qcow2 full.raw random.qcow2
qemu-img bitmap --add -g 65536 random.qcow2 mon
RANDOM=1
writes=()
for ((i = 0; i < 60; i++)); do
	writes+=(-c "write -P $((1 + i)) $((RANDOM % 4880 * 4096)) 4096")
done
qemu-io "${writes[@]}" random.qcow2 >/dev/null
q2s-inspect bitmap --output=json mon random.qcow2 >map.random
q2s-stream --changed=bitmap:mon -b full.qcow2 -F qcow2 -c 128k -o extended_l2=on random.qcow2 diff.qcow2
[ $((10 * $(held diff.qcow2))) -le "$(dirty_bytes map.random)" ] ||
	fail "$(held diff.qcow2) bytes of $(dirty_bytes map.random) that are dirty"

# --- from a server ------------------------------------------------------------------------------

serve -r -f qcow2 -B mon -B fine -B coarse vm.qcow2
both_ways qemu:dirty-bitmap:mon -c 128k -o extended_l2=on "$uri"
both_ways qemu:dirty-bitmap:fine -c 512 "$uri"
both_ways qemu:dirty-bitmap:fine -c 2M "$uri"
both_ways qemu:dirty-bitmap:coarse -z "$uri"
judge --changed=auto:mon -b full.qcow2 -F qcow2 "$uri"
# Without the parent the tables of an image say what is zero, as a server does: no data has to be read
# before the first byte. What is compressed is looked at.
for options in '-c 64k' '-o extended_l2=on,cluster_size=128k'; do
	# shellcheck disable=SC2086 # several words
	{
		q2s-stream $options --changed=bitmap:mon --backing-name none vm.qcow2 diff.qcow2
		q2s-stream $options --changed=qemu:dirty-bitmap:mon --backing-name none "$uri" served.qcow2
	}
	assert_same_bytes served.qcow2 diff.qcow2
done
known() {
	q2s-stream --measure --output=json --changed=bitmap:mon "$@" vm.qcow2 | jq -r '."known-by"'
}
assert_equal 'the extents of SOURCE' "$(known --backing-name none)" "how the length is known"
assert_equal 'looking for zeros' "$(known -b full.qcow2 -F qcow2)" "how the length is known"
assert_equal 'looking for zeros' "$(known --dedup --backing-name none)" "how the length is known"
q2s-stream -z --changed=bitmap:mon --backing-name none vm.qcow2 diff.qcow2
qemu-img map --output=json diff.qcow2 |
	jq -e 'any(.[]; .zero and .present and .start <= 7340032 and .start + .length >= 7405568)' >/dev/null ||
	fail "zeros are compressed"
expect_exit 1 q2s-stream --changed=qemu:dirty-bitmap:none -b full.qcow2 -F qcow2 "$uri" none
expect_stderr "NBD server: does not offer the metadata context 'qemu:dirty-bitmap:none'"
expect_exit 0 q2s-stream --changed=auto:none -b full.qcow2 -F qcow2 "$uri" diff.qcow2
expect_stderr "warning: .*does not offer.*; comparing with full.qcow2 instead"
qemu_same_content now.raw diff.qcow2
stop_serving

# What is asked of the server, by its own trace: no clean byte, and each dirty one once.
serve_traced mon vm.qcow2
q2s-stream --changed=qemu:dirty-bitmap:mon --backing-name full.qcow2 -F qcow2 "$uri" diff.qcow2
stop_tracing
qemu_same_content now.raw diff.qcow2
read=$(bytes_read)
[ $((100 * read)) -le $((101 * $(dirty_bytes map.mon))) ] ||
	fail "$read bytes were read, $(dirty_bytes map.mon) are dirty"
assert_only_dirty map.mon
# So it is with many small ones, of which a few hundred are on their way at a time.
qemu-img create -q -f qcow2 many.qcow2 32M
qemu-img bitmap --add -g 4096 many.qcow2 mon
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "write -P %d %d 4096\n", 1 + i % 200, i * 16384 }' |
	qemu-io many.qcow2 >/dev/null
for cluster in 4k 64k; do
	serve_traced mon many.qcow2
	q2s-stream --changed=qemu:dirty-bitmap:mon --backing-name full.qcow2 -F qcow2 -c $cluster "$uri" \
		diff.qcow2
	stop_tracing
	sort -n "$tmp/requests" | uniq -d >twice
	[ ! -s twice ] || fail "$(wc -l <twice) ranges were read twice"
done

# With the parent once to compare, which tells what is zero as well, and once to write what differs.
truncate -s 32M empty.raw
serve_traced mon many.qcow2
q2s-stream --changed=qemu:dirty-bitmap:mon -b empty.raw -F raw -c 4k "$uri" diff.qcow2
stop_tracing
[ "$(bytes_read)" -le $((202 * 2000 * 4096 / 100)) ] ||
	fail "$(bytes_read) bytes were read of 2000 granules that differ"
# One question is enough for all threads that look near each other, however many extents there are.
qemu-img create -q -f qcow2 alternating.qcow2 32M
qemu-img bitmap --add -g 512 alternating.qcow2 mon
qemu-io -c 'write -P 5 0 512' alternating.qcow2 >/dev/null
at=$(q2s-inspect dump --only bitmaps alternating.qcow2 | awk '$4 == "stored" { print $5 }')
head -c 8192 /dev/zero | tr '\0' '\125' |
	dd of=alternating.qcow2 bs=512 seek=$((at / 512)) conv=notrunc status=none
serve_traced mon alternating.qcow2
q2s-stream --changed=qemu:dirty-bitmap:mon --backing-name none -c 512 "$uri" diff.qcow2
stop_tracing
assert_equal $((16 << 20)) "$(held diff.qcow2)" "bytes in the difference"
asked=$(grep -c 'type = 0x7' "$tmp/trace")
[ "$asked" -le 4 ] || fail "the server was asked $asked times about 65536 extents"

# --- what is refused ----------------------------------------------------------------------------

refused() {
	local why=$1

	shift
	expect_exit 1 q2s-stream "$@"
	expect_stderr "$why"
	[ ! -e none ] || fail "an image is there"
}
serve -f qcow2 vm.qcow2
cp vm.qcow2 live.qcow2
stop_serving
cp live.qcow2 stale.qcow2
printf '\0' | dd of=stale.qcow2 bs=1 seek=95 conv=notrunc status=none
base=(-b full.qcow2 -F qcow2)
refused "live.qcow2: bitmap flags at host offset 0x[0-9a-f]*: bitmap 'mon' is in use.*--changed=auto:NAME" \
	--changed=bitmap:mon "${base[@]}" live.qcow2 none
refused 'stale.qcow2: bitmaps extension: .*cannot be trusted|none of them can be trusted' \
	--changed=bitmap:mon "${base[@]}" stale.qcow2 none
for broken in live stale; do
	for what in auto auto:mon; do
		expect_exit 0 q2s-stream --changed=$what "${base[@]}" $broken.qcow2 diff.qcow2
		expect_stderr '^q2s-stream: warning: .*; comparing with full.qcow2 instead'
		qemu_same_content now.raw diff.qcow2
	done
done
# With auto alone there must be only one.
expect_exit 0 q2s-stream --changed=auto "${base[@]}" vm.qcow2 diff.qcow2
expect_stderr 'there are 3, so that one has to be named'
expect_exit 0 q2s-stream --changed=auto "${base[@]}" random.qcow2 diff.qcow2
expect_silence
refused "there is none called 'x'" --changed=bitmap:x "${base[@]}" vm.qcow2 none
refused 'only a qcow2 SOURCE has bitmaps' --changed=bitmap:x "${base[@]}" full.raw none
refused 'only a qcow2 SOURCE has bitmaps' --changed=bitmap:mon "${base[@]}" -f raw vm.qcow2 none
refused 'it needs --diff BASE, or the name of the parent' --changed=bitmap:mon vm.qcow2 none
refused 'needs the format of the parent' --changed=bitmap:mon --backing-name x vm.qcow2 none
refused 'there is none; see' --changed=bitmap:mon --backing-name none -F raw vm.qcow2 none
refused 'it needs --diff' --changed=auto --backing-name none vm.qcow2 none
refused 'needs an NBD SOURCE' --changed=qemu:dirty-bitmap:mon "${base[@]}" vm.qcow2 none
refused 'reads a qcow2 file' --changed=bitmap:mon "${base[@]}" "$uri" none
refused "'mon' is not bitmap:NAME" --changed=mon "${base[@]}" vm.qcow2 none
refused 'contradict' -O raw --changed=bitmap:mon --backing-name none vm.qcow2 none
refused 'both say where to look' --changed=bitmap:mon "${base[@]}" --extents x vm.qcow2 none
refused 'nothing of a snapshot' --changed=bitmap:mon "${base[@]}" -s 1 vm.qcow2 none
