#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A file that holds a disk in another format, or in an archive, is not taken for the disk: it is
# named, with what reads it. What the user says it is, is believed.

. "$Q2S_SRC/tests/cli/lib.sh"

requires qemu-img
head -c 100000 /dev/urandom >disk
truncate -s 8M disk

# named FILE WORDS: refused everywhere, with these words.
named() {
	local file=$1 words=$2 command

	for command in "q2s-stream $file out" "q2s-stream - out" "q2s-stream --measure $file" \
		"q2s-stream --compare $file disk" "q2s-inspect info $file" "q2s-inspect map $file"; do
		# shellcheck disable=SC2086 # words
		expect_exit 1 $command <"$file"
		expect_stderr "format: it is a $words"
		[ ! -e out ] || fail "there is an output: $command"
	done
	expect_exit 63 q2s-inspect check "$file"
	expect_stderr "format: it is a $words"
	# The first bytes of a pipe come first again.
	expect_exit 0 q2s-stream -f raw -O raw "$file" out
	cmp -n "$(stat -c %s "$file")" "$file" out || fail "$file is not taken as it is"
	expect_exit 0 sh -c "cat $file | q2s-stream -f raw -O raw - out"
	cmp -n "$(stat -c %s "$file")" "$file" out || fail "$file is not taken as it is from a pipe"
	expect_exit 0 q2s-inspect info -f raw "$file"
	rm out
}

for format in vmdk vdi vhdx vpc qed parallels qcow; do
	qemu-img convert -f raw -O $format disk disk.$format
	named disk.$format ".* image, not a raw disk: q2s-stream -f $format reads it"
	if command -v qemu-storage-daemon >/dev/null; then
		expect_exit 0 q2s-stream -f $format -O raw disk.$format out
		cmp -n 8388608 disk out || fail "$format reads otherwise"
		rm out
	fi
	if [ $format != vpc ]; then
		expect_exit 1 sh -c "cat disk.$format | q2s-stream - out"
		expect_stderr "q2s-stream -f $format reads it"
	fi
done

# A fixed VHD has its mark at the end alone.
qemu-img convert -f raw -O vpc -o subformat=fixed disk disk.vhd
named disk.vhd 'VHD image, not a raw disk: q2s-stream -f vpc reads it'

for pack in 'gzip -c' 'xz -c' 'zstd -qc' 'bzip2 -c'; do
	command -v "${pack% *}" >/dev/null || continue
	$pack disk >disk.packed
	named disk.packed "${pack% *} file, not a disk: print what is in it with '${pack% *} -dc FILE'"
done
tar -cf disk.ova disk
named disk.ova "tar file, not a disk: print what is in it with 'tar -xOf FILE MEMBER'"
tar -xOf disk.ova disk | q2s-stream - out
qemu-img compare -q -f raw -F qcow2 disk out
rm out

# A disk that only holds such bytes elsewhere is a disk.
(head -c 512 /dev/zero; cat disk.vmdk) >mixed
expect_exit 0 q2s-stream mixed out
expect_silence
