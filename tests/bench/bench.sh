#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# ./run tests/bench/bench.sh [-n RUNS] [-s SIZE] [-d DIR] [CASE...]
#
# Measures q2s against qemu-img, QEMU's qcow2-to-stdout.py and `cat | cat`, all in one run and in
# turn (A B A B ...), and prints medians and ratios: how many times the peer needs of what q2s
# needs. Absolute figures hold for one machine on one day; ratios travel.
#
# -n RUNS  counted runs of each command, after one that is not counted (default 5)
# -s SIZE  of the disk with a file system (default 4G)
# -d DIR   where the disks and images lie (default /dev/shm: no disk in the way)
# CASE     pipe extended file sparse zlib zstd qcow2 check map create (default: all)
#
# Q2S_QCOW2_TO_STDOUT  path of QEMU's scripts/qcow2-to-stdout.py; without it that peer is skipped
# Q2S_BENCH_TREE       what the disk is filled with (default /usr/share)

set -u

runs=5 size=4G dir=/dev/shm
while getopts n:s:d: option; do
	case $option in
	n) runs=$OPTARG ;;
	s) size=$OPTARG ;;
	d) dir=$OPTARG ;;
	*) exit 1 ;;
	esac
done
shift $((OPTIND - 1))
cases=${*:-pipe extended file sparse zlib zstd qcow2 check map create}
tree=${Q2S_BENCH_TREE:-/usr/share}
peer=${Q2S_QCOW2_TO_STDOUT:-}

work=$(mktemp -d "$dir/q2s-bench.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

skip() {
	echo "skipped: $*"
}

have() {
	type -P "$1" >/dev/null
}

# --- measuring ------------------------------------------------------------------------------

# once COMMAND: wall seconds, CPU seconds and KiB at the peak, on one line.
once() {
	rm -f "$work/out" "$work/time"
	/usr/bin/time -o "$work/time" -f '%e %U %S %M' bash -c "$1" >/dev/null 2>"$work/err" || {
		echo "failed: $1: $(tail -n 1 "$work/err")" >&2
		return 1
	}
	awk '{ print $1, $2 + $3, $4 }' "$work/time"
}

# column FILE N: the median of a column.
column() {
	awk -v n="$2" '{ print $n }' "$1" | sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}

# spread FILE N: smallest to largest.
spread() {
	awk -v n="$2" '{ print $n }' "$1" | sort -g | awk '{ a[NR] = $1 } END { print a[1] "-" a[NR] }'
}

# versus TITLE OURS PEER-NAME PEER: both in turn, then the row.
versus() {
	local i

	: >"$work/a"
	: >"$work/b"
	once "$2" >/dev/null || return
	once "$4" >/dev/null || return
	for ((i = 0; i < runs; i++)); do
		once "$2" >>"$work/a" || return
		once "$4" >>"$work/b" || return
	done
	awk -v title="$1" -v name="$3" -v aw="$(column "$work/a" 1)" -v ac="$(column "$work/a" 2)" \
		-v am="$(column "$work/a" 3)" -v as="$(spread "$work/a" 1)" \
		-v bw="$(column "$work/b" 1)" -v bc="$(column "$work/b" 2)" \
		-v bm="$(column "$work/b" 3)" -v bs="$(spread "$work/b" 1)" 'BEGIN {
		ratio = aw > 0 ? sprintf("%.1f", bw / aw) : "-"
		cpu = ac > 0 ? sprintf("%.1f", bc / ac) : "-"
		printf "%-28s %-22s wall %6sx  cpu %6sx  q2s %s s (%s), %.1f MiB; peer %s s (%s), %.1f MiB\n",
			title, name, ratio, cpu, aw, as, am / 1024, bw, bs, bm / 1024 }'
}

# --- what is measured -----------------------------------------------------------------------

# A disk with a file system full of real files. mkfs -d needs no mount.
disk() {
	[ -e "$work/disk.raw" ] && return
	truncate -s "$size" "$work/disk.raw"
	mkfs.ext4 -q -F -d "$tree" "$work/disk.raw" >/dev/null 2>&1 ||
		echo "note: not all of $tree fits into $size"
}

sparse() {
	[ -e "$work/sparse.raw" ] && return
	truncate -s 1T "$work/sparse.raw"
	awk 'BEGIN { srand(1); for (i = 0; i < 20000; i++) print int(rand() * 268435456) }' |
		while read -r block; do
			echo "$block" | dd of="$work/sparse.raw" bs=4096 seek="$block" conv=notrunc status=none
		done
}

measure() {
	local w=$work in=$work/disk.raw

	case $1 in
	pipe)
		disk
		[ -n "$peer" ] && versus "raw -> qcow2, pipe" "q2s-stream $in | cat" \
			"qcow2-to-stdout.py" "python3 '$peer' $in | cat"
		q2s-stream "$in" "$w/disk.qcow2"
		versus "raw -> qcow2, pipe" "q2s-stream $in | cat" "cat image | cat" \
			"cat $w/disk.qcow2 | cat"
		;;
	extended)
		disk
		versus "raw -> extended L2, pipe" "q2s-stream -o extended_l2=on $in | cat" \
			"qemu-img convert" "qemu-img convert -O qcow2 -o extended_l2=on $in $w/out"
		;;
	file)
		disk
		versus "raw -> qcow2, file" "q2s-stream $in $w/out" \
			"qemu-img convert" "qemu-img convert -O qcow2 $in $w/out"
		versus "the same, --trust-holes" "q2s-stream --trust-holes $in $w/out" \
			"qemu-img convert" "qemu-img convert -O qcow2 $in $w/out"
		;;
	sparse)
		sparse
		[ -n "$peer" ] && versus "1 TiB sparse, pipe" "q2s-stream $w/sparse.raw | cat" \
			"qcow2-to-stdout.py" "python3 '$peer' $w/sparse.raw | cat"
		versus "1 TiB sparse" "q2s-stream $w/sparse.raw | cat" \
			"qemu-img convert" "qemu-img convert -O qcow2 $w/sparse.raw $w/out"
		;;
	zlib | zstd)
		disk
		versus "$1" "q2s-stream -z$1 $in $w/out" "qemu-img convert -c -W" \
			"qemu-img convert -c -W -m 16 -O qcow2 -o compression_type=$1 $in $w/out"
		q2s-stream "-z$1" "$in" "$w/a.qcow2"
		qemu-img convert -c -W -m 16 -O qcow2 -o "compression_type=$1" "$in" "$w/b.qcow2"
		echo "$1: $(stat -c %s "$w/a.qcow2") bytes, qemu-img $(stat -c %s "$w/b.qcow2")"
		versus "$1 -> raw" "q2s-stream -O raw $w/a.qcow2 $w/out" "qemu-img convert -W" \
			"qemu-img convert -W -O raw $w/a.qcow2 $w/out"
		rm -f "$w/a.qcow2" "$w/b.qcow2"
		;;
	qcow2)
		disk
		q2s-stream "$in" "$w/disk.qcow2"
		versus "qcow2 -> qcow2, pipe" "q2s-stream $w/disk.qcow2 | cat" \
			"qemu-img convert -W" "qemu-img convert -W -O qcow2 $w/disk.qcow2 $w/out"
		;;
	check | map)
		for extended in off on; do
			qemu-img create -q -f qcow2 -o "preallocation=metadata,extended_l2=$extended" \
				"$w/full.qcow2" 1T
			versus "$1 1 TiB, extended_l2=$extended" \
				"q2s-inspect $1 --output=json $w/full.qcow2" \
				"qemu-img $1" "qemu-img $1 --output=json $w/full.qcow2"
			rm -f "$w/full.qcow2"
		done
		;;
	create)
		versus "create 1 TiB, metadata" \
			"q2s-create -q --force -o preallocation=metadata $w/out 1T" "qemu-img create" \
			"qemu-img create -q -f qcow2 -o preallocation=metadata $w/out 1T"
		;;
	*) echo "unknown case: $1" >&2 ;;
	esac
}

for tool in q2s-stream qemu-img mkfs.ext4 /usr/bin/time; do
	have "$tool" || {
		echo "$tool is missing" >&2
		exit 1
	}
done
echo "$(q2s-stream --version | tr '\n' ' '); $(qemu-img --version | head -n 1)"
echo "$(uname -sr), $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg), $runs runs, in $dir ($(stat -f -c %T "$dir"))"
[ -n "$peer" ] || skip "qcow2-to-stdout.py: set Q2S_QCOW2_TO_STDOUT to its path"
for case in $cases; do
	measure "$case"
done
