#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit bitmap, beside qemu-img bitmap on a copy: the same bitmaps, with the same bits; and enabled ones
# learn of all that is written.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/edit-lib.sh"
requires qemu-img qemu-io jq

# bitmaps_of IMAGE: their names, flags and granularities.
bitmaps_of() {
	qemu-img info -U --output=json "$1" | jq -c '."format-specific".data.bitmaps // []'
}

# same_bitmaps: our image has the bitmaps of theirs, and both are clean.
same_bitmaps() {
	local bitmap

	qemu_check_clean ours/image
	q2s-inspect check -q ours/image || fail "q2s-inspect check"
	assert_equal "$(bitmaps_of theirs/image)" "$(bitmaps_of ours/image)" "bitmaps"
	while read -r bitmap; do
		q2s-inspect bitmap --output=json "$bitmap" theirs/image >want.json
		q2s-inspect bitmap --output=json "$bitmap" ours/image >got.json
		cmp want.json got.json || fail "bitmap $bitmap has other bits: $(diff want.json got.json)"
	done < <(bitmaps_of theirs/image | jq -r '.[] | select(.flags | index("in-use") | not) | .name')
}

for options in cluster_size=64k cluster_size=512 cluster_size=4k,refcount_bits=64 cluster_size=2M \
	cluster_size=16k,extended_l2=on cluster_size=64k,lazy_refcounts=on; do
	rm -rf made
	mkdir made
	qemu-img create -q -f qcow2 -o "$options" made/image 50M
	qemu-img create -q -f qcow2 -o "$options" made/other 50M
	qemu-img bitmap --add -g 4k made/other x
	qemu-io -c 'write -q 1M 100k' -c 'write -q 49M 1M' made/other
	copy_made
	(
		cd theirs
		qemu-img bitmap --add image a
		qemu-img bitmap --add -g 512 image b
		qemu-img bitmap --add --disable -g 2M image c
		qemu-io -c 'write -q 100k 300k' -c 'write -q -z 5M 1M' -c 'write -q 52428288 512' \
			-c 'discard -q 20M 4M' image
		qemu-img bitmap --disable image a
		qemu-img bitmap --enable image c
		qemu-img bitmap --merge b image c
		qemu-img bitmap --merge x -b other -F qcow2 image a
	)
	(
		cd ours
		q2s-edit bitmap add -q image a
		q2s-edit bitmap add -q -g 512 image b
		q2s-edit bitmap --add --disable -q -g 2M image c
		q2s-edit write -q image data@100k+300k:1 zero-alloc@5M+1M data@52428288+512:2 discard@20M+4M
		q2s-edit bitmap disable -q image a
		q2s-edit bitmap --enable -q image c
		q2s-edit bitmap merge -q image c b
		q2s-edit bitmap --merge x -b other -F qcow2 -q image a
	)
	same_bitmaps
	# Programs that take turns; then less and less.
	qemu-io -c 'write -q 30M 3M' ours/image
	qemu-io -c 'write -q 30M 3M' theirs/image
	same_bitmaps
	(cd theirs && qemu-img bitmap --clear image b && qemu-img bitmap --remove image c)
	(cd ours && q2s-edit bitmap clear -q image b && q2s-edit bitmap remove -q image c)
	same_bitmaps
	(cd theirs && qemu-img bitmap --remove image a && qemu-img bitmap --remove image b)
	(cd ours && q2s-edit bitmap remove --all -q image)
	same_bitmaps
	! q2s-inspect dump --only extensions ours/image | grep -qi '0x23852875\|bitmaps extension' || fail "the extension is left"
	(cd ours && q2s-edit bitmap add -q image again && q2s-edit bitmap --remove-all -q image)
	same_bitmaps
done

# Commit and rebase tell the bitmaps of what they write.
make_images cluster_size=64k qcow2 3000320 3000320
qemu-img bitmap --add -g 64k made/base b
qemu-img bitmap --add -g 64k made/over o
copy_made
(cd theirs && qemu-img commit -q over)
(cd ours && q2s-edit commit -q --follow=beside over)
assert_equal "$(bitmaps_of theirs/base)" "$(bitmaps_of ours/base)" "bitmaps of the base"
assert_equal "$(bitmaps_of theirs/over)" "$(bitmaps_of ours/over)" "bitmaps of the overlay"
q2s-inspect bitmap --output=json b theirs/base | jq '[.[] | select(.type == 1)]' >want.json
q2s-inspect bitmap --output=json b ours/base | jq '[.[] | select(.type == 1)]' >got.json
# Ours has what was the same already for clean.
[ -s got.json ] && [ "$(jq '[.[].length] | add' got.json)" -gt 0 ] || fail "nothing is dirty in the base"
[ "$(jq '[.[].length] | add' got.json)" -le "$(jq '[.[].length] | add' want.json)" ] || fail "too much is dirty"
qemu_check_clean ours/base
qemu_check_clean ours/over

# A backing file's name gives way to the extension, and an extension to the name.
name=$(printf 'n%.0s' {1..240})
qemu-img create -q -f qcow2 "$name" 1M
for size in 512 64k; do
	rm -f image
	qemu-img create -q -f qcow2 -o cluster_size=$size -b "$name" -F qcow2 image
	q2s-edit bitmap add -q image a
	qemu_check_clean image
	assert_equal '"a"' "$(bitmaps_of image | jq -c '.[0].name')" "name"
	qemu-img info image | grep -q "backing file: $name" || fail "the backing file's name is lost"
	q2s-edit bitmap remove -q image a
	qemu_check_clean image
done

# Where there is no room for the extension nothing happens.
name=$(printf 'n%.0s' {1..250})
truncate -s 1M "./$name"
rm image
qemu-img create -q -f qcow2 -u -o cluster_size=512 -b "x/../././././././././././././././././././././././././././././././././././././././././././././././././$name" -F raw image 1M
cp image before
expect_exit 1 q2s-edit bitmap add image a
expect_stderr '^q2s-edit: image: .*(does not fit|no room)'
assert_same_bytes before image
rm image

# A crash leaves the mark, and nothing but the mark can be trusted.
qemu-img create -q -f qcow2 image 64M
q2s-edit bitmap add -q image a
q2s-edit bitmap add -q -g 4k image d
q2s-edit bitmap disable -q image d
for ((i = 0; i < 64; i++)); do
	echo "data@$((i))M+1M"
done >list
caught=0
for delay in $(awk 'BEGIN { for (d = 0.003; d < 8; d *= 1.2) print d }'); do
	q2s-edit write -q --write-file list image &
	sleep $delay
	kill -KILL $! 2>/dev/null || :
	wait $! 2>/dev/null || :
	qemu-img check -q image || [ $? = 3 ] || fail "it is corrupt"
	bitmaps_of image | grep -q '"in-use"' || continue
	caught=$((caught + 1))
	assert_equal '["in-use","auto"]' "$(bitmaps_of image | jq -c '.[] | select(.name == "a").flags')" flags
	break
done
[ $caught = 1 ] || fail "never killed while the image was written"
cp image before
for action in clear enable disable; do
	expect_exit 1 q2s-edit bitmap $action image a
	expect_stderr '^q2s-edit: image: bitmap flags .*in use'
done
expect_exit 1 q2s-edit bitmap merge image d a
expect_stderr 'in use'
assert_same_bytes before image
expect_exit 0 q2s-edit write -q image data@0+4k:1
bitmaps_of image | grep -q '"in-use"' || fail "the mark of a lost bitmap is gone"
expect_exit 0 q2s-edit bitmap remove image a
expect_exit 0 q2s-edit bitmap add image a

# --dry-run, and what is refused.
cp image before
expect_exit 0 q2s-edit bitmap add --dry-run image e
expect_stdout '^image: [1-9][0-9]* bytes to write, '
refused() {
	local what=$1

	shift
	expect_exit 1 q2s-edit bitmap "$@"
	expect_stderr "^q2s-edit: .*$what"
	assert_same_bytes before image
}
refused 'what to do is missing'
refused "'ad': it is one of.*did you mean 'add'" ad image a
refused 'FILE is missing' add
refused 'NAME of a bitmap is missing' add image
refused 'has a bitmap .a. already' add image a
refused 'no power of two' add -g 3000 image n
refused 'not from 1 to 1023' add image ''
refused 'not from 1 to 1023' add image "$(printf 'n%.0s' {1..1024})"
refused "has no bitmap 'nothing'" remove image nothing
refused 'merge needs FILE, NAME and SOURCE' merge image a
refused "none called 'nothing'" merge image a nothing
refused 'too many words' clear image a b
refused 'granularity is for add' clear -g 4k image a
refused 'source-file is for merge' clear -b before image a
refused 'same file' merge -b image image a d
refused 'only qcow2' merge -b before -F raw image a d
qemu-img create -q -f qcow2 small 1M
qemu-img bitmap --add small s
refused 'another size' merge -b small image a s
hold -f qcow2 image
expect_exit 1 q2s-edit bitmap add image n
expect_stderr 'another program'
let_go
qemu-img create -q -f qcow2 -o compat=0.10 old 1M
expect_exit 1 q2s-edit bitmap add old a
expect_stderr 'version 2'
qemu-img create -q -f qcow2 huge 4T
expect_exit 1 q2s-edit bitmap add -g 512 huge a
expect_stderr 'more than 512 MiB'
qemu_check_clean huge
