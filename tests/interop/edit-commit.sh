#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit commit, beside qemu-img commit on copies of the same images: the same disks afterwards, clean
# images, and nothing but what differs written to the base.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/edit-lib.sh"
requires qemu-img qemu-io

# ours_and_theirs [OPTION...]: commit `over` in both ways, in copies of the folder `made`.
ours_and_theirs() {
	copy_made
	(cd theirs && qemu-img commit -q "$@" over)
	(cd ours && q2s-edit commit -q --follow=beside "$@" over)
}

for options in cluster_size=64k cluster_size=512 cluster_size=4k,refcount_bits=64 \
	cluster_size=2M cluster_size=4k,compat=0.10 cluster_size=16k,extended_l2=on \
	cluster_size=64k,extended_l2=on,lazy_refcounts=on; do
	for base in qcow2 raw; do
		make_images "$options" $base 3000320 3000320
		ours_and_theirs
		same_disks over base $base
		assert_equal "$(allocated_bytes theirs/over)" "$(allocated_bytes ours/over)" \
			"bytes that the emptied overlay holds ($options)"
		same_info over
		[ "$(stat -c %s ours/over)" -le "$(stat -c %s made/over)" ] || fail "the overlay grew"

		ours_and_theirs -d
		same_disks over base $base
		assert_same_bytes made/over ours/over
	done
	# An overlay of other clusters, smaller than its base.
	make_images "$options" qcow2 3000320 1900032 cluster_size=8k
	ours_and_theirs
	same_disks over base qcow2
done

# A base that is smaller grows.
make_images cluster_size=16k raw 1048576 3000320
ours_and_theirs
same_disks over base raw
for options in cluster_size=16k cluster_size=512 cluster_size=16k,extended_l2=on cluster_size=4k,compat=0.10; do
	make_images cluster_size=16k qcow2 1048576 3000320 "$options"
	ours_and_theirs
	same_disks over base qcow2
	same_info base
	ours_and_theirs -d
	same_disks over base qcow2
done

# With bitmaps: they grow with it, and learn of what is written there.
make_images cluster_size=16k qcow2 1048576 3000320
qemu-img bitmap --add -g 64k made/base b
ours_and_theirs
same_disks over base qcow2
same_info base
q2s-inspect bitmap --output=json b ours/base |
	jq -e '[.[] | select(.type == 1 and .offset + .length > 1048576)] | length > 0' >/dev/null ||
	fail "the bitmap of the base did not learn of what lies behind the old end"

# What lies below a smaller base, and is longer, does not show in it.
make_images cluster_size=16k qcow2 3145728 1048576
(cd made && mv over middle && qemu-img create -q -f qcow2 -b middle -F qcow2 over 3145728 &&
	qemu-io -f qcow2 -c 'write -q -P 3 2M 200k' over)
shown made/over qcow2 whole
copy_made
(cd ours && q2s-edit commit -q --follow=beside over)
qemu_check_clean ours/middle
for name in middle over; do
	shown ours/$name qcow2 got
	assert_same_bytes whole got
done

# One that cannot grow is refused, and nothing is done.
make_images cluster_size=16k qcow2 1048576 3000320 compat=0.10
qemu-img snapshot -c s made/base
cp -r made before
(
	cd made
	expect_exit 1 q2s-edit commit --follow=beside over
	expect_stderr '^q2s-edit: base: nb_snapshots.*version 2'
)
assert_same_bytes before/base made/base
assert_same_bytes before/over made/over
rm -r before

# Compressed clusters; internal snapshots of the overlay, which keep what they hold.
make_images cluster_size=64k qcow2 3145728 3145728
head -c 1500000 /dev/urandom | base64 | head -c 2M >text
truncate -s 3M text
qemu-img convert -c -O qcow2 -o cluster_size=64k -B base -F qcow2 text made/over
(cd made && qemu-img snapshot -c one over && qemu-io -c 'write -q -P 9 1M 300k' over)
qemu-img convert -l snapshot.name=one -O raw made/over one
ours_and_theirs
same_disks over base qcow2
qemu-img convert -l snapshot.name=one -O raw ours/over kept
assert_same_bytes one kept

# Into a deeper layer; the layers between are left as they are.
make_images cluster_size=64k qcow2 3145728 3145728
(cd made && mv over middle && qemu-img create -q -f qcow2 -b middle -F qcow2 over &&
	qemu-io -c 'write -q -P 3 100k 200k' -c 'write -q -z 2M 300k' over)
ours_and_theirs -b base
same_disks over base qcow2
assert_same_bytes made/middle ours/middle
assert_same_bytes made/over ours/over

# An external data file of the overlay.
make_images cluster_size=64k qcow2 2097152 2097152
(cd made && rm over && qemu-img create -q -f qcow2 -o data_file=data -b base -F qcow2 over &&
	qemu-io -c 'write -q -P 3 100k 200k' over)
ours_and_theirs
same_disks base base qcow2
# QEMU looks for a data file where it runs.
(cd ours && qemu_check_clean over && qemu_same_content base over qcow2)
assert_equal "$(stat -c %b theirs/data)" "$(stat -c %b ours/data)" "blocks of the data file"

# Only what differs is written: a second commit of the same has nothing to do.
make_images cluster_size=64k,extended_l2=on qcow2 3145728 3145728
copy_made
cd ours
q2s-edit commit -q -d --follow=beside over
sha256sum base >before
expect_exit 0 q2s-edit commit -d --follow=beside --dry-run over
expect_stdout '^base: 0 bytes to write, 0 to zero, 0 to give back$'
q2s-edit commit -q -d --follow=beside over
sha256sum --status -c before || fail "the second commit changed the base"
cd ..

# --dry-run says what it would be, and does nothing.
copy_made
cd ours
sha256sum base over >before
expect_exit 0 q2s-edit commit --follow=beside --dry-run over
expect_stdout '^base: write [0-9]+ at 0x'
expect_stdout '^base: [1-9][0-9]* bytes to write, [0-9]+ to zero, [0-9]+ to give back$'
expect_stdout '^over: [1-9][0-9]* bytes to write, 0 to zero, [1-9][0-9]* to give back$'
sha256sum --status -c before || fail "--dry-run changed something"

# What is refused leaves everything as it is.
refused() {
	local what=$1

	shift
	expect_exit 1 q2s-edit commit "$@"
	expect_stderr "^q2s-edit: .*$what"
	sha256sum --status -c before || fail "a refused commit changed something"
}
refused '--follow' over
refused 'has none to commit to' base
refused 'is not below' --follow=beside -b nothing over
refused 'is not below' --follow=beside -b over over
refused 'FILE is missing'
refused 'one FILE only' over base
refused 'only qcow2' -f raw over
cp over sound
printf '\2' | dd of=over bs=1 seek=79 conv=notrunc status=none
sha256sum base over >before
refused 'marked corrupt' --follow=beside over
refused 'marked corrupt' --follow=beside -d over
mv sound over
sha256sum base over >before
hold -f qcow2 over
refused 'another program' --follow=beside over
let_go
hold -f qcow2 base
refused 'another program' --follow=beside over
let_go
# A base that others read is not changed under their eyes.
hold -r -f qcow2 base
refused 'another program' --follow=beside over
let_go
ln base twin
q2s-create -q -u -b twin -F qcow2 loop 1M
ln -f loop twin
expect_exit 1 q2s-edit commit --follow=beside loop
