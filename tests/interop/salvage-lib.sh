# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A disk `raw`, its image whole.qcow2, and that damaged, image: what is right in a plan of salvage.

# number AT: a big-endian u64 of whole.qcow2.
number() {
	echo $((16#$(dd if=whole.qcow2 bs=8 skip=$(($1 / 8)) count=1 status=none | od -An -tx1 | tr -d ' \n')))
}

# zeros AT LENGTH: wipe bytes of image.
zeros() {
	dd if=/dev/zero of=image bs="$2" seek=$(($1 / $2)) count=1 conv=notrunc status=none
}

# certain_is_right: each entry that is certain is what it was.
certain_is_right() {
	local at old

	awk '/^step/ { sure = 0 } /^  sure  certain/ { sure = 1 } sure && /^  bytes/ { print $4, $8 }' plan >certain
	while read -r at new; do
		old=$(dd if=whole.qcow2 bs=8 skip=$((at / 8)) count=$((${#new} / 16)) status=none |
			od -An -v -tx1 | tr -d ' \n')
		assert_equal "$old" "$new" "what is certain at $at"
	done <certain
}

# wrong_clusters: of 64 KiB, that the guest reads otherwise now.
wrong_clusters() {
	rm -f got.raw
	qemu-img convert -f qcow2 -O raw image got.raw
	{ cmp -l raw got.raw || :; } | awk '{ print int(($1 - 1) / 65536) }' | uniq | wc -l
}
