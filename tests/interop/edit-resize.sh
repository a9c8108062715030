#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit resize beside qemu-img resize. Both leave clean images of the same facts. The bytes are those of
# a raw file that is cut and lengthened, which QEMU itself does not always show.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq

facts() {
	qemu-img info -U --output=json "$1" |
		jq -S 'del(.filename, ."actual-size", .children)'
}

alone= # QEMU does not do it

# step OPTION... SIZE: on both copies, and on the raw file.
step() {
	local size=${*: -1}

	expect_exit 0 q2s-edit resize -q --follow=beside "${@:1:$# - 1}" ours "$size"
	expect_silence
	[ -n "$alone" ] || qemu-img resize -q "${@:1:$# - 1}" theirs "$size" 2>theirs.err ||
		fail "$what $size: $(cat theirs.err)"
	truncate -s "$size" raw
	qemu_check_clean ours
	q2s-inspect check -q ours >check.out || fail "$what $size: $(cat check.out)"
	if [ -z "$alone" ]; then
		facts theirs >theirs.facts
		facts ours >ours.facts
		assert_same_bytes theirs.facts ours.facts
	fi
	qemu_same_content raw ours
}

head -c 5000000 /dev/urandom >full
truncate -s 5M full

# A disk of one kind through sizes that end in and between clusters, L2 tables and L1 clusters.
steps() {
	step --shrink 3M
	step --shrink 1300992
	step 5M
	step ${1:-700}M
	step --shrink -$((${1:-700} - 2))M
	step --shrink 512
	step +1233920
}

for options in cluster_size=64k cluster_size=512 cluster_size=4k,refcount_bits=1 cluster_size=2M \
	cluster_size=4k,compat=0.10 cluster_size=16k,extended_l2=on \
	cluster_size=128k,extended_l2=on,refcount_bits=8 cluster_size=512,refcount_bits=64; do
	what=$options
	qemu-img convert -O qcow2 -o "$options" full ours
	cp ours theirs
	cp full raw
	case $options in
	cluster_size=512*) steps 20 ;; # of many tables, which takes QEMU long
	*) steps ;;
	esac
done
for options in cluster_size=64k cluster_size=16k,extended_l2=on,compression_type=zstd; do
	what="compressed, $options"
	head -c 3000000 /dev/urandom | base64 >raw
	truncate -s 4100096 raw
	qemu-img convert -c -O qcow2 -o "$options" raw ours
	cp ours theirs
	steps
done

# A longer base does not show in what is new, nor when the disk was shorter for a while.
for options in cluster_size=64k cluster_size=16k,extended_l2=on cluster_size=4k,compat=0.10; do
	what="over a base, $options"
	qemu-img create -q -f qcow2 -o "$options" -b full -F raw ours 1234432
	cp ours theirs
	head -c 1234432 full >raw
	case $options in *compat=0.10) alone=yes ;; esac # no zero flag: zeros are written
	step 2M
	step --shrink 1M
	step 3M
	step 6M
	step --preallocation=metadata 7M
	alone=
done

# Space in advance.
for mode in metadata falloc full; do
	for options in cluster_size=64k cluster_size=16k,extended_l2=on cluster_size=512,refcount_bits=64; do
		what="$mode, $options"
		qemu-img create -q -f qcow2 -o "$options" ours 1M
		cp ours theirs
		rm raw
		truncate -s 1M raw
		step --preallocation=$mode 4M
		qemu-img map --output=json ours >map
		assert_equal true "$(jq '[.[] | select(.start >= 1048576) | .present] | all' map)" "$what"
		[ $mode = metadata ] || [ "$(stat -c '%b * %B' ours | tr -d '\n' | { read -r e; echo $((e)); })" -ge 3145728 ] ||
			fail "$what: no space was taken"
	done
done

# With snapshots, which keep their size.
what=snapshots
qemu-img convert -O qcow2 -o cluster_size=4k full ours
qemu-img snapshot -c s ours
cp ours theirs
cp full raw
step --shrink 1000448
step 6M
q2s-stream -f qcow2 -O raw -s s ours seen 2>stderr
assert_same_bytes full seen

# A data file is as long as its disk.
for options in data_file=ours.data data_file=ours.data,data_file_raw=on,cluster_size=16k,extended_l2=on; do
	what=$options
	rm -f ours ours.data
	qemu-img create -q -f qcow2 -o "$options" ours 1M
	qemu-img convert -n -O qcow2 full ours 2>/dev/null || qemu-io -c 'write -P 7 0 1M' ours >/dev/null
	qemu-img convert -O raw ours raw
	for size in 3M 1049088 2M; do
		expect_exit 0 q2s-edit resize -q --follow=beside --shrink ours $size
		truncate -s $size raw
		qemu_check_clean ours
		qemu_same_content raw ours
		assert_equal "$(stat -c %s raw)" "$(stat -c %s ours.data)" "length of the data file"
		case $options in *raw=on*) assert_same_bytes raw ours.data ;; esac
	done
done

# Persistent bitmaps get the size of the disk; what is new is clean, also where the disk was longer once.
bitmaps_step() {
	local name size=${*: -1}

	step "$@"
	for name in fine usual coarse off; do
		q2s-inspect bitmap --output=json $name theirs >want.json
		q2s-inspect bitmap --output=json $name ours >got.json
		cmp want.json got.json ||
			fail "$what $size: bitmap $name: $(diff want.json got.json | head -5)"
	done
}

# QEMU reads the bits that we read.
bitmaps_served() {
	local name

	for name in fine usual coarse off; do
		q2s-inspect bitmap --output=json $name ours |
			jq -c '[.[] | select(.type == 1) | [.offset, .length]]' >want.json
		qemu_bitmap $name ours | jq -c '[.[] | select(.type == 1) | [.offset, .length]]' >got.json
		assert_same_bytes want.json got.json
	done
}

by_nbd=
if command -v nbdinfo >/dev/null && command -v qemu-nbd >/dev/null; then
	. "$Q2S_SRC/tests/interop/backup-lib.sh"
	by_nbd=yes
fi
for options in cluster_size=64k cluster_size=512 cluster_size=4k,refcount_bits=64 cluster_size=2M \
	cluster_size=16k,extended_l2=on; do
	what="bitmaps, $options"
	rm -f raw
	truncate -s 5000192 raw
	qemu-img create -q -f qcow2 -o "$options" ours 5000192
	qemu-img bitmap --add -g 512 ours fine
	qemu-img bitmap --add -g 64k ours usual
	qemu-img bitmap --add -g 2M ours coarse
	qemu-img bitmap --add -g 4k ours off
	for where in 0+300k 1300992+1536 3M+700k 4999168+1k; do
		qemu-io -f qcow2 -c "write -q -P 9 $(echo $where | tr + ' ')" ours
		qemu-io -f raw -c "write -q -P 9 $(echo $where | tr + ' ')" raw
	done
	qemu-img bitmap --disable ours off
	cp ours theirs
	bitmaps_step 30000128
	assert_equal 0 "$(jq '[.[] | select(.offset + .length > 6291456 and .type == 1)] | length' got.json)" \
		"dirty ranges in what is new"
	bitmaps_step --shrink 4000256
	bitmaps_step 5000192
	bitmaps_step --shrink 1301504
	bitmaps_step --preallocation=metadata 4M
	bitmaps_step --shrink 512
	bitmaps_step 300M
	# They go on learning, each by the other's program.
	qemu-io -f qcow2 -c 'write -q -P 3 299M 64k' ours
	q2s-edit write -q theirs data@299M+64k:1
	qemu-io -f raw -c 'write -q -P 3 299M 64k' raw
	bitmaps_step 301M
	[ -z "$by_nbd" ] || bitmaps_served
	assert_equal 65536 "$(q2s-inspect bitmap --output=json fine ours |
		jq '[.[] | select(.type == 1 and .offset >= 1048576) | .length] | add')" "learned at the end"
	qemu-io -f qcow2 -c 'write -q 300M 4k' ours
done

# bitmap_field IMAGE FILTER: of its directory and tables, as jq finds it.
bitmap_field() {
	q2s-inspect dump --output=json --only bitmaps "$1" | jq -r ".bitmaps | $2"
}

# poke IMAGE OFFSET BYTES: in the escapes of printf.
poke() {
	# shellcheck disable=SC2059 # they are the format
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# All ones in a table, and bits behind the last granule, which the format allows: what is new is clean.
what='bits behind the end'
qemu-img create -q -f qcow2 ours 1M
q2s-edit bitmap add -q -g 64k ours ones
q2s-edit bitmap add -q -g 64k ours tail
poke ours $(($(bitmap_field ours '.records[0]."table-offset"') + 7)) '\x01'
q2s-edit bitmap merge -q ours tail ones
poke ours "$(bitmap_field ours '.tables[1].entries[0].offset')" '\xff\xff\xff\xff'
qemu_check_clean ours
for size in 3M 512k 2M; do
	expect_exit 0 q2s-edit resize -q --shrink ours $size
	qemu_check_clean ours
	for name in ones tail; do
		q2s-inspect bitmap --output=json $name ours >got.json
		case $size in 3M) want=1048576 ;; *) want=524288 ;; esac
		assert_equal "[[0,$want]]" "$(jq -c '[.[] | select(.type == 1) | [.offset, .length]]' got.json)" \
			"$what: $name, $size"
	done
done

# The base does not show in what is new, nor in the bitmaps.
what='bitmaps over a base'
qemu-img create -q -f qcow2 -b full -F raw ours 1234432
for granularity in 512 64k 2M; do qemu-img bitmap --add -g $granularity ours b$granularity; done
cp ours theirs
head -c 1234432 full >raw
step 3M
for name in b512 b64k b2M; do
	assert_equal 0 "$(q2s-inspect bitmap --output=json $name ours | jq '[.[] | select(.type == 1)] | length')" \
		"$what: dirty ranges of $name"
done

# Of all that kills it no moment leaves a bitmap that is trusted and does not fit.
what='killed'
qemu-img create -q -f qcow2 -o cluster_size=4k killed 64M
qemu-img bitmap --add -g 512 killed a
qemu-img bitmap --add --disable -g 64k killed b
qemu-io -f qcow2 -c 'write -q 0 48M' killed
for delay in 0.002 0.004 0.006 0.01 0.015 0.02 0.03 0.05; do
	for size in 3G 1M; do
		cp killed ours
		q2s-edit resize -q --shrink ours $size 2>/dev/null &
		sleep $delay
		kill -KILL $! 2>/dev/null || :
		wait $! 2>/dev/null || :
		qemu-img check -q ours >check.out 2>&1 || [ $? = 3 ] || fail "$what $size: it is corrupt"
		q2s-inspect check -q ours >check.out || [ $? = 3 ] || fail "$what $size: a finding"
		for name in a b; do
			q2s-inspect bitmap $name ours >/dev/null 2>stderr || grep -q 'in use' stderr ||
				fail "$what $size: $(cat stderr)"
		done
	done
done

# What qemu-img refuses.
refused() {
	local what=$1

	shift
	cp ours before
	expect_exit 1 q2s-edit resize "$@"
	expect_stderr "^q2s-edit: .*$what"
	assert_equal 1 "$(wc -l <stderr)" "lines on stderr"
	assert_same_bytes before ours
}
rm ours
qemu-img create -q -f qcow2 ours 1M
refused '--shrink' ours 512k
refused '--shrink' ours -512k
refused 'multiple of 512' ours +3
refused 'multiple of 512' ours 0
refused 'all of the disk' --shrink ours -1M
refused 'grows' --shrink --preallocation=full ours 512k
refused 'must be off' --preallocation=some ours 2M
refused '32 MiB' ours 4E
refused 'SIZE is missing' ours
refused "'x'" ours x
refused 'one word too many' ours 2M 3M
qemu-img create -q -f qcow2 ours 2T
q2s-edit bitmap add -q -g 512 ours most
refused '512 MiB' ours 3T
rm ours
qemu-img create -q -f qcow2 ours 1M
qemu-img bitmap --add ours a
q2s-edit bitmap add -q ours b
poke ours $(($(bitmap_field ours '.records[0].at') + 15)) '\x03'
! qemu-img resize -q ours 2M 2>/dev/null || fail "QEMU resizes an image with a bitmap in use"
refused "bitmap 'a' is marked as in use" ours 2M
refused "bitmap 'a' is marked as in use" --shrink ours 512k
qemu-img create -q -f qcow2 -o compat=0.10 ours 1M
qemu-img snapshot -c s ours
refused 'version 2' ours 2M
qemu-img create -q -f qcow2 theirs 1M
expect_exit 0 q2s-edit resize --dry-run theirs +1M
expect_stdout '^write 512 at 0x0$'
hold -f qcow2 ours
refused 'lock' ours 2M
let_go
