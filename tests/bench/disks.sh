# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2120
# What bench.sh measures with; each is made when it is first needed, in $work. Uses $size and $tree.

# disk: a raw disk with a file system full of real files. mkfs -d needs no mount.
disk() {
	[ -e "$work/disk.raw" ] && return
	truncate -s "$size" "$work/disk.raw"
	mkfs.ext4 -q -F -d "$tree" "$work/disk.raw" >/dev/null 2>&1 ||
		echo "note: not all of $tree fits into $size"
	echo "disk.raw: $size, $(($(stat -c %b "$work/disk.raw") / 2048)) MiB of data"
}

# image [OPTION...]: disk.raw as disk.qcow2
image() {
	disk
	[ -e "$work/disk.qcow2" ] || q2s-stream "$work/disk.raw" "$work/disk.qcow2"
}

# chain: three layers that show disk.raw, each with a part of what is new.
chain() {
	[ -e "$work/top.qcow2" ] && return
	image
	local at

	cp --sparse=always "$work/disk.raw" "$work/middle.raw"
	for ((at = 0; at < 4096; at += 97)); do
		head -c 65536 /dev/urandom |
			dd of="$work/middle.raw" bs=64K seek=$((at * 7)) conv=notrunc status=none
	done
	q2s-stream -f raw -b "$work/disk.qcow2" -F qcow2 "$work/middle.raw" "$work/middle.qcow2"
	for ((at = 0; at < 4096; at += 89)); do
		head -c 65536 /dev/urandom |
			dd of="$work/middle.raw" bs=64K seek=$((at * 5)) conv=notrunc status=none
	done
	q2s-stream -f raw -b "$work/middle.qcow2" -F qcow2 "$work/middle.raw" "$work/top.qcow2"
	rm "$work/middle.raw"
}

# room TIB: where a file can be a bit larger than that. On ext4 it is less than 16.
room() {
	local folder fits

	for folder in "$work" "$out_work"; do
		fits=yes
		truncate -s "$(($1 * 1024 + 64))G" "$folder/probe" 2>/dev/null || fits=no
		rm -f "$folder/probe"
		[ $fits = no ] || {
			echo "$folder"
			return
		}
	done
	skip "$1 TiB: no file can be so large here" >&2
	return 1
}

# sparse TIB: $sparse is a raw disk of that size with 20,000 scattered blocks of 4 KiB, the same ones
# each time.
sparse() {
	local folder

	folder=$(room "$1") || return
	sparse=$folder/sparse-$1.raw
	[ -e "$sparse" ] && return
	awk -v blocks=$(($1 << 28)) 'BEGIN {
		srand(1)
		for (i = 0; i < 20000; i++)
			printf "data@%.0f+4096:%d\n", int(rand() * blocks) * 4096, i + 1
	}' | sort -t @ -k 2n -u | awk -F '[@+]' '$2 != last { print; last = $2 }' >"$work/blocks"
	q2s-create -q -o extended_l2=on --write-file "$work/blocks" "$work/blocks.qcow2" "$1T"
	q2s-stream -O raw "$work/blocks.qcow2" "$sparse"
	rm "$work/blocks.qcow2" "$work/blocks"
}

# full [OPTION [TIB]]: $full has 1 TiB, or TIB, whose clusters are all allocated, with metadata alone.
full() {
	local folder

	folder=$(room "${2:-1}") || return
	full=$folder/full.qcow2
	q2s-create -q --force -o "preallocation=metadata${1:+,$1}" "$full" "${2:-1}T"
}

# permuted: the same, with the mapping in random order. The L2 tables lie in a row.
permuted() {
	local tables

	full || return
	tables=$(q2s-inspect dump --only l1 --output=json "$full" |
		jq -r '.l1[0].entries | "\(.[0].offset) \(length * 8192)"')
	# shellcheck disable=SC2086 # two words
	"$Q2S_BUILD/tests/bench/shuffle" "$full" $tables 8
}

# on_filesystem TYPE: a new one in a file, at $work/mnt, with disk.raw in it. Needs root.
on_filesystem() {
	[ "$(id -u)" = 0 ] || { skip "$1: not root"; return 1; }
	have "mkfs.$1" || { skip "mkfs.$1 is not here"; return 1; }
	mkdir -p "$work/mnt"
	truncate -s $((2 * $(numfmt --from=iec "$size") + (1 << 30))) "$work/fs"
	"mkfs.$1" -q "$work/fs" >/dev/null 2>&1 || "mkfs.$1" "$work/fs" >/dev/null 2>&1
	mount -o loop "$work/fs" "$work/mnt" 2>/dev/null || { skip "$1: cannot be mounted"; return 1; }
	cp --sparse=always "$work/disk.raw" "$work/mnt/disk.raw"
	sync "$work/mnt/disk.raw"
}

off_filesystem() {
	umount "$work/mnt"
	rm -f "$work/fs"
}
