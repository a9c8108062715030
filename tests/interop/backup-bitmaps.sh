#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bitmaps in new images: QEMU reads them bit for bit, whatever the image.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/backup-lib.sh"
requires qemu-img qemu-io qemu-nbd nbdinfo jq

# --- carried over -------------------------------------------------------------------------------

names=('g 512' 'g 65536' 'g 2097152' frozen)
qemu-img create -q -f qcow2 source.qcow2 50000384
for g in 512 65536 2097152; do
	qemu-img bitmap --add -g $g source.qcow2 "g $g"
done
qemu-img bitmap --add -g 4096 source.qcow2 frozen
qemu-io -c 'write 1M 192k' -c 'write 777 1' -c 'write -z 5M 1M' source.qcow2 >/dev/null
qemu-img bitmap --disable source.qcow2 frozen
qemu-io -c 'write -P 7 9M 20M' -c 'write 50000000 384' source.qcow2 >/dev/null
for name in "${names[@]}"; do
	qemu_bitmap "$name" source.qcow2 >"want $name"
done

# judge OPTION...: the image as a file and through a pipe, with its length known before.
judge() {
	local name

	rm -f out.qcow2
	expect_exit 0 q2s-stream --bitmaps=all "$@" source.qcow2 out.qcow2
	expect_silence
	# shellcheck disable=SC2016
	q2s-stream --bitmaps=all --size-fd=3 "$@" source.qcow2 3>length | cat >piped.qcow2
	assert_same_bytes out.qcow2 piped.qcow2
	assert_equal "$(stat -c %s out.qcow2)" "$(cat length)" "length of $*"
	assert_equal "$(cat length)" \
		"$(q2s-stream --bitmaps=all --measure --output=json "$@" source.qcow2 | jq .length)"
	qemu_check_clean out.qcow2
	qemu_same_content source.qcow2 out.qcow2 qcow2
	for name in "${names[@]}"; do
		q2s-inspect bitmap --output=json "$name" out.qcow2 >got
		assert_same_bytes "want $name" got
		assert_equal "$(qemu_bitmap_flags "$name" source.qcow2)" \
			"$(qemu_bitmap_flags "$name" out.qcow2)" "flags of $name"
	done
}

# by_qemu: the same through its server, and through its merge.
by_qemu() {
	local name

	for name in "${names[@]}"; do
		qemu_bitmap "$name" out.qcow2 >got
		assert_same_bytes "want $name" got
	done
	cp source.qcow2 merged.qcow2
	qemu-img bitmap --add -g 65536 --disable merged.qcow2 sum
	qemu-img bitmap --merge 'g 65536' -b out.qcow2 -F qcow2 merged.qcow2 sum
	qemu_bitmap sum merged.qcow2 >got
	assert_same_bytes 'want g 65536' got
	# All is rewritten when QEMU closes it, and is still the same.
	qemu-img bitmap --add out.qcow2 more
	qemu_check_clean out.qcow2
	qemu_bitmap 'g 512' out.qcow2 >got
	assert_same_bytes 'want g 512' got
}

judge -c 512
by_qemu
judge
judge -c 2M
judge -o extended_l2=on,cluster_size=16k -z
by_qemu
judge --dedup
judge -r 1

# Another granularity: as QEMU's merge into a bitmap that has it, outwards and into all parts.
for gran in 512 4096 65536 1048576 2147483648; do
	q2s-stream --bitmaps=all --bitmap-granularity $gran source.qcow2 out.qcow2
	q2s-stream --bitmaps=all --bitmap-granularity $gran source.qcow2 | cmp - out.qcow2
	qemu_check_clean out.qcow2
	for name in "${names[@]}"; do
		cp source.qcow2 merged.qcow2
		qemu-img bitmap --add -g $gran --disable merged.qcow2 sum
		qemu-img bitmap --merge "$name" merged.qcow2 sum
		qemu_bitmap sum merged.qcow2 >want
		qemu_bitmap "$name" out.qcow2 >got
		assert_same_bytes want got
		assert_equal "[$(qemu_bitmap_flags "$name" source.qcow2 | jq -c '.[0]'),$gran]" \
			"$(qemu_bitmap_flags "$name" out.qcow2)" "flags of $name"
	done
done
q2s-stream --bitmaps='g 512' --bitmap new:8k --bitmap-granularity=1M source.qcow2 out.qcow2
assert_equal '[["auto"],1048576]' "$(qemu_bitmap_flags 'g 512' out.qcow2)" "the one that is carried over"
assert_equal '[["auto"],8192]' "$(qemu_bitmap_flags new out.qcow2)" "the new one"
qemu-img create -q -f qcow2 huge.qcow2 3T
qemu-img bitmap --add -g 64k huge.qcow2 b
expect_exit 1 q2s-stream --bitmaps=all --bitmap-granularity 512 huge.qcow2 none
expect_stderr 'huge.qcow2: .*bitmap'
for gran in 256 3000 4G 1x -1 ''; do
	expect_exit 1 q2s-stream --bitmaps=all --bitmap-granularity "$gran" source.qcow2 none
	expect_stderr '^q2s-stream: --bitmap-granularity: .*granularity'
done
expect_exit 1 q2s-stream --bitmap-granularity 4k source.qcow2 none
expect_stderr 'needs --bitmaps'
[ ! -e none ] || fail "an image is there"

# --measure says what qemu-img says of them.
for size in 512 4096 65536 2097152; do
	assert_equal "$(qemu-img measure -O qcow2 -o cluster_size=$size --output=json source.qcow2 |
		jq .bitmaps)" \
		"$(q2s-stream --bitmaps=all --measure --output=json -c $size source.qcow2 | jq .bitmaps)" \
		"bytes of bitmaps with clusters of $size"
done
expect_exit 0 q2s-stream --bitmaps=all --measure source.qcow2
expect_stdout '^bitmaps size: [1-9][0-9]*$'

# Parts, and a kept plan.
q2s-stream --bitmaps=all source.qcow2 out.qcow2
for k in 1 2 3; do
	q2s-stream --bitmaps=all --part $k/3 source.qcow2
done >parts.qcow2
assert_same_bytes out.qcow2 parts.qcow2
q2s-stream --bitmaps=all --save-plan plan source.qcow2 again.qcow2
assert_same_bytes out.qcow2 again.qcow2
q2s-stream --plan plan source.qcow2 >again.qcow2
assert_same_bytes out.qcow2 again.qcow2

# Some of them.
q2s-stream --bitmaps='g 512,frozen' source.qcow2 out.qcow2
assert_equal 'g 512 frozen' \
	"$(qemu-img info --output=json out.qcow2 | jq -r '[."format-specific".data.bitmaps[].name] | join(" ")')"
for none in --bitmaps=none --threads=1; do
	q2s-stream $none source.qcow2 out.qcow2
	qemu-img info --output=json out.qcow2 | jq -e '."format-specific".data.bitmaps == null' >/dev/null
done

# A larger disk is clean where it is new.
q2s-stream --bitmaps=all -o size=100M source.qcow2 out.qcow2
qemu_check_clean out.qcow2
qemu_bitmap 'g 512' out.qcow2 >got
assert_equal "$(dirty_bytes 'want g 512')" "$(dirty_bytes got)"

# All dirty takes no space, and reads so.
qemu-img create -q -f qcow2 full.qcow2 1000000000
qemu-img bitmap --add -g 512 full.qcow2 all
qemu-img bitmap --add -g 65536 full.qcow2 all64
qemu-io -c 'write -z 0 1000000000' full.qcow2 >/dev/null
q2s-stream --bitmaps=all full.qcow2 out.qcow2
q2s-stream full.qcow2 bare.qcow2
[ "$(stat -c %s out.qcow2)" = $(($(stat -c %s bare.qcow2) + 3 * 65536)) ] ||
	fail "$(stat -c %s out.qcow2) bytes with bitmaps, $(stat -c %s bare.qcow2) without"
qemu_check_clean out.qcow2
qemu_bitmap all out.qcow2 >got
assert_equal 1000000000 "$(dirty_bytes got)"
qemu-img bitmap --add out.qcow2 more
qemu_check_clean out.qcow2

# --- new ones -----------------------------------------------------------------------------------

truncate -s 10M disk.raw
q2s-stream --bitmap mon --bitmap 'a:b:1M' --bitmap small:512 disk.raw out.qcow2
assert_equal '["auto"],65536' "$(qemu_bitmap_flags mon out.qcow2 | tr -d ' ' | sed 's/^.\(.*\).$/\1/')"
assert_equal '["auto"],1048576' "$(qemu_bitmap_flags a:b out.qcow2 | tr -d ' ' | sed 's/^.\(.*\).$/\1/')"
qemu_check_clean out.qcow2
qemu-io -c 'write 1M 1' out.qcow2 >/dev/null
qemu_bitmap small out.qcow2 >got
assert_equal 512 "$(dirty_bytes got)"
# A wrapper that lets a raw disk have bitmaps; the disk is not touched.
q2s-stream -R -c 2M --bitmap mon:64k disk.raw wrapper.qcow2
qemu_check_clean wrapper.qcow2
qemu_same_content disk.raw wrapper.qcow2
assert_equal '["auto"],65536' "$(qemu_bitmap_flags mon wrapper.qcow2 | sed 's/^.\(.*\).$/\1/')"
# Through pipes both ways.
q2s-stream --bitmap mon - <disk.raw | cat >out.qcow2
qemu_check_clean out.qcow2
[ -n "$(qemu_bitmap_flags mon out.qcow2)" ]
q2s-create -q --bitmap mon --bitmap week:4k new.qcow2 10G
qemu_check_clean new.qcow2
assert_equal '["auto"],4096' "$(qemu_bitmap_flags week new.qcow2 | sed 's/^.\(.*\).$/\1/')"
qemu-io -c 'write 5G 64k' new.qcow2 >/dev/null
qemu_bitmap week new.qcow2 >got
assert_equal 65536 "$(dirty_bytes got)"

# --- what is refused ----------------------------------------------------------------------------

refused() {
	local why=$1

	shift
	expect_exit 1 "$@"
	expect_stderr "$why"
	[ ! -e none ] || fail "an image is there"
}
serve -f qcow2 source.qcow2
cp source.qcow2 live.qcow2
stop_serving
cp live.qcow2 stale.qcow2
printf '\0' | dd of=stale.qcow2 bs=1 seek=95 conv=notrunc status=none
refused "live.qcow2: bitmap flags at host offset 0x.*'g 512' is in use.*; --bitmaps=skip-broken leaves" \
	q2s-stream --bitmaps=all live.qcow2 none
refused 'stale.qcow2: bitmaps: a program without support.*; --bitmaps=skip-broken leaves' \
	q2s-stream --bitmaps=all stale.qcow2 none
for broken in live stale; do
	expect_exit 0 q2s-stream --bitmaps=skip-broken --bitmap new $broken.qcow2 out.qcow2
	expect_stderr 'warning: left out: '
	qemu_check_clean out.qcow2
	assert_equal new "$(qemu-img info --output=json out.qcow2 |
		jq -r '."format-specific".data.bitmaps[].name')"
done
refused "there is none called 'x'" q2s-stream --bitmaps=x source.qcow2 none
refused 'only a qcow2 SOURCE' q2s-stream --bitmaps=all disk.raw none
refused 'only a qcow2 SOURCE' q2s-stream --bitmaps=all -f raw source.qcow2 none
refused 'nothing of a snapshot' q2s-stream --bitmaps=all -s 1 source.qcow2 none
refused 'contradict' q2s-stream --bitmap x -O raw source.qcow2 none
refused 'there twice' q2s-stream --bitmaps=all --bitmap frozen source.qcow2 none
refused 'needs version 3' q2s-stream --bitmap x -o compat=v2 disk.raw none
refused 'without any bytes' q2s-create --bitmap x none 0
refused 'power of two' q2s-create --bitmap x:1000 none 1M
refused 'power of two' q2s-create --bitmap x:4G none 1M
refused 'not a granularity' q2s-create --bitmap x:y none 1M
refused 'name is missing' q2s-create --bitmap :4k none 1M
refused 'more than 512 MiB' q2s-create --bitmap x:512 none 3T
refused 'from 1 to 1023' q2s-create --bitmap "$(printf '%01024d' 0)" none 1M
refused "does not fit" q2s-stream -c 512 --bitmap x --changed=bitmap:frozen \
	--backing-name "$(printf '%0360d' 0)" -F raw source.qcow2 none
