#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit amend beside qemu-img amend, and extended_l2, which QEMU cannot change: QEMU then finds the
# image clean, with the same disk, also after a kill at any moment.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq

facts() {
	qemu-img info -U --output=json "$1" | jq -S 'del(.filename, ."actual-size", .children) |
		if .snapshots then .snapshots |= map(del(."date-sec", ."date-nsec")) else . end'
}

# fact KEY: what QEMU says of ours.
fact() {
	qemu-img info -U --output=json ours | jq -r ".\"format-specific\".data.\"$1\""
}

# sound: ours is clean, for us too, and shows what `shown` has.
sound() {
	qemu_check_clean ours
	q2s-inspect check -q ours >check.out || fail "$what: $(cat check.out)"
	qemu_same_content shown ours
}

# amend OPTION... LIST: ours alone.
amend() {
	expect_exit 0 q2s-edit amend -q --follow=beside "${@:1:$# - 1}" -o "${*: -1}" ours
	expect_silence
	sound
}

# both LIST: on both copies, with the same facts in the end.
both() {
	amend "$1"
	qemu-img amend -o "$1" theirs
	facts theirs >theirs.facts
	facts ours >ours.facts
	assert_same_bytes theirs.facts ours.facts
}

# image OPTIONS [BASE]: a copy for each of us, with data, zeros, compressed clusters.
head -c 1300000 /dev/urandom >full
head -c 700000 /dev/zero >>full
head -c 700000 /dev/urandom | base64 >>full
truncate -s 4100096 full
image() {
	qemu-img convert -O qcow2 -o "$1" full theirs
	[ "${2:-}" != compressed ] || qemu-img convert -c -O qcow2 -o "$1" full theirs
	if [ "${2:-}" = base ]; then
		qemu-img create -q -f qcow2 -o "$1" -b full -F raw theirs 5000192
		q2s-edit write -q --follow=beside theirs data@100k+300k:2 zero@1M+64k zero@4M+500k
	fi
	cp theirs ours
	qemu-img convert -O raw ours shown
}

# What QEMU can do.
for kind in plain compressed base; do
	what="amend, $kind"
	image cluster_size=4k $kind
	both refcount_bits=8
	both refcount_bits=64
	both refcount_bits=16,lazy_refcounts=on
	both compat=0.10
	both compat=1.1,refcount_bits=32
	both lazy_refcounts=on
	both lazy_refcounts=off,refcount_bits=16
	both compat=v2
	both compat=v3
	[ $kind != base ] || both backing_file=full,backing_fmt=raw
done
what=snapshots
image cluster_size=64k
for file in ours theirs; do
	qemu-img snapshot -c s "$file"
	q2s-edit write -q "$file" data@0+200k:9
done
qemu-img convert -O raw ours shown
both refcount_bits=8
both refcount_bits=16
both compat=0.10
both compat=1.1
qemu-img convert -l snapshot.name=s -O raw ours seen
assert_same_bytes full seen

# Small clusters: the refcount table has many clusters, the header little room.
what='512-byte clusters'
image cluster_size=512,refcount_bits=64
for bits in 16 1 8 64; do
	amend refcount_bits=$bits
done
amend refcount_bits=16,compat=0.10
amend compat=1.1

# Extended L2 entries and back.
for options in cluster_size=16k cluster_size=64k cluster_size=2M,refcount_bits=64; do
	for kind in plain compressed base; do
		what="extended_l2, $options, $kind"
		image "$options" $kind
		amend extended_l2=on
		assert_equal true "$(fact extended-l2)"
		amend extended_l2=on
		amend extended_l2=off
		assert_equal false "$(fact extended-l2)"
		amend extended_l2=on
		q2s-edit write -q --follow=beside ours data@3M+70k:5 zero@1200k+3k
		qemu-img convert -O raw ours shown
		cp ours before
		amend --materialise extended_l2=off
		assert_equal false "$(fact extended-l2)"
	done
done
what='extended_l2 and version'
image cluster_size=64k,compat=0.10
amend compat=1.1,extended_l2=on,refcount_bits=8
amend extended_l2=off,refcount_bits=16,compat=0.10

# An L1 table of many clusters; space without data, and what of it a base shows through.
what='long L1'
qemu-img create -q -f qcow2 -o cluster_size=16k ours 900G
q2s-edit write -q ours data@0+100k:1 data@899G+1M:2
cp ours was
amend_big() {
	expect_exit 0 q2s-edit amend -q -o "$1" ours
	qemu_check_clean ours
	expect_exit 0 q2s-stream --compare -f qcow2 was ours
}
amend_big extended_l2=on
amend_big extended_l2=off
what=preallocated
qemu-img create -q -f qcow2 -o preallocation=metadata,extended_l2=on -b full -F raw ours 4100096
qemu-img convert -O raw ours shown
amend extended_l2=off
amend extended_l2=on

# A data file: its clusters stay, the name is another one, and it need not be raw.
for raw in on off; do
	what="data file, raw=$raw"
	rm -f data data2
	qemu-img create -q -f qcow2 -o data_file=data,data_file_raw=$raw ours 4100096
	qemu-img convert -n -O qcow2 full ours
	cp full shown
	amend extended_l2=on
	amend extended_l2=off
	ln data data2
	amend data_file=data2
	assert_equal data2 "$(fact data-file)"
	amend data_file=data,data_file_raw=off
	assert_equal false "$(fact data-file-raw)"
	expect_exit 1 q2s-edit amend -o data_file_raw=on ours
	long=$(printf '%0300d' 0)
	expect_exit 0 q2s-edit amend -q -o "data_file=$long" ours
	assert_equal "$long" "$(fact data-file)"
	expect_exit 0 q2s-edit amend -q -o data_file= ours
	assert_equal null "$(fact data-file)"
	amend data_file=data
done

# Persistent bitmaps, enabled or not, stay as they are when the guest sees no change; size= is as resize.
bitmaps_of() {
	qemu-img info -U --output=json "$1" | jq -c '."format-specific".data.bitmaps'
	q2s-inspect bitmap --output=json on "$1"
	q2s-inspect bitmap --output=json off "$1"
}
what='bitmaps'
image cluster_size=64k,extended_l2=on base
qemu-img bitmap --add -g 4k ours on
qemu-img bitmap --add -g 4k ours off
q2s-edit write -q --follow=beside ours data@3M+6k:7 zero@3500k+4k
qemu-img bitmap --disable ours off
qemu-img convert -O raw ours shown
bitmaps_of ours >bitmaps.before
grep -q dirty bitmaps.before || fail "nothing is dirty"
for list in extended_l2=off extended_l2=on refcount_bits=64 lazy_refcounts=on refcount_bits=16; do
	case $list in
	extended_l2=off) amend --materialise $list ;;
	*) amend $list ;;
	esac
	bitmaps_of ours >bitmaps.after
	assert_same_bytes bitmaps.before bitmaps.after
done
cp ours theirs
truncate -s 6000128 shown
both size=6000128
bitmaps_of theirs >bitmaps.before
bitmaps_of ours >bitmaps.after
assert_same_bytes bitmaps.before bitmaps.after

# What is refused says why, and leaves the image alone.
refused() {
	local what=$1

	shift
	cp ours before
	expect_exit 1 q2s-edit amend "$@"
	expect_stderr "$what"
	assert_same_bytes before ours
}
image cluster_size=64k
refused 'power of two' -o refcount_bits=3 ours
refused 'no external data file' -o data_file=x ours
refused 'cannot be set' -o data_file_raw=on ours
refused 'rebase' -o backing_file=full ours
refused 'nonsense' -o nonsense=1 ours
refused 'cluster_size' -o cluster_size=4k ours
refused '--materialise belongs' --materialise -o extended_l2=on ours
refused '-o is missing' ours
cp ours kept.ours
qemu-img create -q -f qcow2 ours 1M
qemu-img bitmap --add ours b
refused 'bitmaps: version 2 has none.*removed first' -o compat=0.10 ours
qemu-img bitmap --disable ours b
refused 'bitmaps: version 2 has none.*removed first' -o compat=0.10 ours
qemu-img bitmap --remove ours b
expect_exit 0 q2s-edit amend -q -o compat=0.10 ours
mv kept.ours ours
qemu-img snapshot -c s ours
refused 'snapshots .*delete them first' -o extended_l2=on ours
q2s-edit write -q ours data@0+64k
refused 'refcount_bits=1 hold' -o refcount_bits=1 ours
image cluster_size=4k
refused '16' -o extended_l2=on ours
image cluster_size=64k,refcount_bits=8
refused 'refcount_bits=16' -o compat=0.10 ours
image cluster_size=64k,extended_l2=on
refused 'features that version 2' -o compat=0.10 ours
q2s-edit write -q ours zero@0+2k zero@128k+4k zero@192k+4k
refused '^  0x0\+0x10000$' -o extended_l2=off ours
expect_stderr '^  0x20000\+0x20000$'
expect_stderr '^q2s-edit: ours: guest cluster: .*there are [0-9]+ '
image cluster_size=64k,compat=0.10
refused 'version 2' -o lazy_refcounts=on ours
refused '[Vv]ersion ' -o refcount_bits=8 ours
refused '[Vv]ersion ' -o extended_l2=on ours
image cluster_size=64k
expect_exit 0 q2s-edit amend --dry-run -o extended_l2=on ours
expect_stdout '^write 512 at 0x0$'
assert_same_bytes theirs ours
expect_exit 0 q2s-edit amend -o help
expect_stdout '^ *extended_l2'

# Killed at any moment: it is the one or the other, whole.
what=killed
qemu-img create -q -f qcow2 -o cluster_size=64k,preallocation=metadata was 96G
q2s-edit write -q was data@0+1M:3 data@70G+5M:4 zero@40G+1M
state=off
cp was ours
for ((i = 0; i < 14; i++)); do
	[ $state = off ] && to=on || to=off
	q2s-edit amend -q -o extended_l2=$to ours &
	sleep "0.$(printf %02d $((i * 3)))"
	kill -9 $! 2>/dev/null || true
	wait $! 2>/dev/null || true
	got=0
	qemu-img check -q ours >check.out 2>&1 || got=$?
	case $got in 0 | 3) ;; *) fail "after a kill: $(head -n 5 check.out)" ;; esac
	expect_exit 0 q2s-stream --compare -f qcow2 was ours
	[ "$(fact extended-l2)" = true ] && state=on || state=off
	[ $got = 0 ] || qemu-img check -q -r leaks ours >check.out
done
[ $state = on ] || expect_exit 0 q2s-edit amend -q -o extended_l2=on ours
expect_exit 0 q2s-stream --compare -f qcow2 was ours
qemu_check_clean ours

image cluster_size=64k
hold -f qcow2 ours
refused 'lock' -o extended_l2=on ours
let_go
