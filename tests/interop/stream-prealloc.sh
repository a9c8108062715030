#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# -o preallocation: the same disk, all of it with a place in the image, and with space where that was
# asked for; as qemu-img convert does it.

# shellcheck disable=SC2002 # a pipe is what is meant
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

make_disk=$Q2S_BUILD/tests/interop/make_disk
"$make_disk" disk $((20 << 20)) data@0+100000 zero@$((1 << 20))+200000 \
	"data@$((5 << 20))+1" "data@$(((20 << 20) - 5000))+5000"
cp disk odd
truncate -s $(((20 << 20) + 700)) odd

# blocks FILE: bytes of space that it takes.
blocks() {
	echo $(($(stat -c %b "$1") * 512))
}

# can_allocate: has this file system space without bytes?
fallocate -l 1M probe && [ "$(blocks probe)" -ge 1048576 ] || skip 'fallocate(1) allocates nothing here'
rm probe

# mapped IMAGE: does each byte of the disk have a place in the image? Not so for extended L2.
mapped() {
	! qemu-img map --output=json "$1" | grep -v '"offset"' | grep -q start ||
		fail "$1: $(qemu-img map --output=json "$1")"
}

# numbers: of a JSON measure, without what only we tell.
numbers() {
	sed -n 's/.*"\(required\|fully-allocated\)": \([0-9]*\).*/\1 \2/p' | sort
}

for options in cluster_size=64k cluster_size=512 cluster_size=2M compat=0.10 refcount_bits=1 extended_l2=on \
	size=30000000 extended_l2=on,size=30M; do
	for source in disk odd; do
		cp $source want
		case $options in
		*size=30000000) truncate -s 30000128 want ;;
		*size=30M) truncate -s 30M want ;;
		esac
		for mode in metadata falloc full; do
			rm -f out
			q2s-stream -o "$options,preallocation=$mode" $source out
			qemu_check_clean out
			expect_exit 0 q2s-inspect check out
			qemu_same_content want out
			case $options in
			*extended*) ;;
			*) mapped out ;;
			esac
			assert_equal "exact length: $(stat -c %s out)" \
				"$(q2s-stream --measure -o "$options,preallocation=$mode" $source | tail -n 1)" \
				"length with $options,$mode"
			[ $mode = metadata ] || [ "$(blocks out)" -ge "$(stat -c %s out)" ] ||
				fail "$options: $mode has $(blocks out) bytes of space of $(stat -c %s out)"
			[ $mode != metadata ] || [ "$(blocks out)" -lt 4000000 ] || fail 'metadata stores zeros'
			[ $mode = metadata ] || cmp out first
			cp --sparse=always out first
		done
		q2s-stream -o "$options,preallocation=metadata" $source | cmp - first
		for part in 1 2 3; do
			q2s-stream -o "$options,preallocation=metadata" --part $part/3 $source
		done | cmp - first
		q2s-stream -o "$options,preallocation=metadata" --save-plan plan --measure $source >/dev/null
		q2s-stream --plan plan $source | cmp - first

		# A guest that writes anywhere makes nothing longer.
		qemu-io -f qcow2 -c 'write -P 7 10M 5M' out >io.log
		assert_equal "$(stat -c %s first)" "$(stat -c %s out)" 'length after a write'
	done
done

# The numbers of qemu-img, and where the disk of its own image has a place.
truncate -s 20M empty
for mode in off metadata falloc full; do
	for options in cluster_size=64k cluster_size=4k,extended_l2=off extended_l2=on,cluster_size=16k; do
		assert_equal \
			"$(qemu-img measure -f raw -O qcow2 -o "$options,preallocation=$mode" --output=json empty | numbers)" \
			"$(q2s-stream -f raw --measure --output=json -o "$options,preallocation=$mode" empty | numbers)" \
			"measure with $options,$mode"
	done
done
shown() {
	qemu-img map --output=json "$1" | sed 's/, "offset": [0-9]*//'
}
for options in cluster_size=64k extended_l2=on; do
	rm -f theirs out
	qemu-img create -q -f qcow2 -o "$options,preallocation=metadata" theirs 20M
	q2s-stream -o "$options,preallocation=metadata" empty out
	assert_equal "$(shown theirs | grep -c '"present": true')" "$(shown out | grep -c '"present": true')" \
		"the map with $options"
done

# A difference, where its zeros and what shows through stay what they are.
q2s-stream disk base.qcow2
"$make_disk" changed $((20 << 20)) data@0+100000 "data@$((9 << 20))+3000"
rm -f out
q2s-stream -b base.qcow2 -F qcow2 -o extended_l2=on,preallocation=falloc changed out
qemu_same_content changed out
[ "$(blocks out)" -ge $((20 << 20)) ] || fail 'a difference has no space'
for name in base.qcow2 none; do
	expect_exit 1 q2s-stream -b base.qcow2 -F qcow2 --backing-name $name -o preallocation=metadata changed out2
	expect_stderr 'preallocation: would hide .* unless extended_l2 is on'
done

# A data file has its space, which is not ours to change; what a file held before is gone.
q2s-stream -d -o preallocation=metadata disk wrap.qcow2
qemu_check_clean wrap.qcow2
qemu_same_content disk wrap.qcow2
mapped wrap.qcow2
expect_exit 1 q2s-stream -d -o preallocation=falloc disk out2
expect_stderr 'preallocation=falloc and full would write to the data file, which with -d is SOURCE'

# --- raw images

for mode in off falloc full; do
	for how in file in-place redirected from-pipe; do
		rm -f out
		[ $how = file ] || head -c 30M /dev/zero | tr '\0' y >out
		case $how in
		file) q2s-stream -O raw -o size=25M,preallocation=$mode disk out ;;
		in-place) q2s-stream --in-place -O raw -o size=25M,preallocation=$mode disk out ;;
		redirected)
			q2s-stream -O raw -o size=25M,preallocation=$mode disk 1<>out
			truncate -s 25M out
			;;
		from-pipe) cat disk | q2s-stream -O raw -o size=25M,preallocation=$mode - out ;;
		esac
		cp disk want
		truncate -s 25M want
		cmp out want || fail "$how: $mode"
		[ $mode = off ] || [ "$(blocks out)" -ge $((25 << 20)) ] || fail "$how: $mode: no space"
		[ $mode != off ] || [ "$(blocks out)" -lt 1000000 ] || fail "$how: zeros are stored"
	done
done
q2s-stream -O raw -o preallocation=full --digest md5 disk out 2>digest || grep libgcrypt digest
cmp out disk
expect_exit 1 q2s-stream -O raw -o preallocation=metadata disk out2
expect_stderr 'preallocation=metadata: a raw image has none'

# --- what does not go together, and where there is no space to allocate

for more in -z --dedup '--save-plan plan2' --compare; do
	# shellcheck disable=SC2086 # words
	expect_exit 1 q2s-stream -o preallocation=full $more disk out2
	expect_stderr 'preallocation|allocate'
done
for mode in falloc full; do
	for output in qcow2 raw; do
		# shellcheck disable=SC2216 # only its status counts
		q2s-stream -O $output -o preallocation=$mode disk 2>stderr | cat >piped && fail 'a pipe has space'
		expect_stderr 'allocate the space of a file or a block device, and standard output is neither'
		[ ! -s piped ] || fail 'something was written'
		expect_exit 1 q2s-stream -O $output -o preallocation=$mode disk /dev/null
		expect_stderr 'and /dev/null is neither'
		q2s-stream -O $output -o preallocation=$mode disk 2>stderr >>piped && fail 'appending'
		expect_stderr 'and standard output is neither'
	done
done
q2s-stream -o preallocation=full --measure disk | grep -q '^exact length: [0-9]*$'
[ ! -e out2 ] && [ ! -e plan2 ] || fail 'a refusal left something behind'
