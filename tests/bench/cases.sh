# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2120
# What bench.sh measures: a function for each case. The two figures behind a title are the ratio that
# a busy machine should show, and that of a quiet one.

# shellcheck disable=SC2034 # the help of bench.sh
cases=(pipe extended file reflink sparse chain raw zlib zstd decode check map create cold memory
	growth)

script() {
	[ -n "$peer" ] || { skip "$1, qcow2-to-stdout.py: set Q2S_QCOW2_TO_STDOUT to its path"; return 1; }
}

case_pipe() {
	image
	if script 'raw -> qcow2, pipe'; then
		versus 'raw -> qcow2, pipe' 3 10 pipe q2s-stream "$work/disk.raw" \
			-- qcow2-to-stdout.py pipe python3 "$peer" "$work/disk.raw"
		versus 'the same, processor time' 8 12 pipe q2s-stream "$work/disk.raw" \
			-- qcow2-to-stdout.py pipe python3 "$peer" "$work/disk.raw"
	fi
	versus 'the same, finished bytes' 1.5 5 pipe q2s-stream "$work/disk.raw" \
		-- 'cat | cat' pipe cat "$work/disk.qcow2"
}

case_extended() {
	disk
	versus 'raw -> extended L2, pipe' 2.2 4 pipe q2s-stream -o extended_l2=on "$work/disk.raw" \
		-- 'qemu-img convert' qemu-img convert -O qcow2 -o extended_l2=on "$work/disk.raw" \
		"$out"
}

case_file() {
	local to

	disk
	for to in "$work/out" "$out"; do
		versus "raw -> qcow2, file on $(stat -f -c %T "${to%/*}")" 0.9 1.1 \
			q2s-stream "$work/disk.raw" "$to" \
			-- 'qemu-img convert' qemu-img convert -O qcow2 "$work/disk.raw" "$to"
	done
}

case_reflink() {
	local type m=$work/mnt

	disk
	for type in xfs btrfs; do
		on_filesystem $type || continue
		versus "raw -> qcow2, file on $type" 10 15 \
			sh -c 'rm -f "$2" && exec q2s-stream "$1" "$2"' sh "$m/disk.raw" "$m/a" \
			-- 'qemu-img convert' \
			sh -c 'rm -f "$2" && exec qemu-img convert -O qcow2 "$1" "$2"' sh "$m/disk.raw" \
			"$m/b"
		versus "the same, --trust-holes" 50 100 \
			sh -c 'rm -f "$2" && exec q2s-stream --trust-holes "$1" "$2"' sh \
			"$m/disk.raw" "$m/a" -- 'qemu-img convert' \
			sh -c 'rm -f "$2" && exec qemu-img convert -O qcow2 "$1" "$2"' sh "$m/disk.raw" \
			"$m/b"
		off_filesystem
	done
}

case_sparse() {
	sparse 1 || return
	! script '1 TiB sparse' ||
		versus '1 TiB sparse, pipe' 8 20 pipe q2s-stream "$sparse" \
			-- qcow2-to-stdout.py pipe python3 "$peer" "$sparse"
	versus '1 TiB sparse, pipe' 5 10 pipe q2s-stream "$sparse" \
		-- 'qemu-img convert' qemu-img convert -O qcow2 "$sparse" "$out"
}

case_chain() {
	image
	versus 'qcow2 -> qcow2, pipe' 3 4.5 pipe q2s-stream "$work/disk.qcow2" \
		-- 'qemu-img convert -W' qemu-img convert -W -O qcow2 "$work/disk.qcow2" "$out"
	chain
	versus 'chain of three, pipe' 3 4.5 pipe q2s-stream --follow=beside "$work/top.qcow2" \
		-- 'qemu-img convert -W' qemu-img convert -W -O qcow2 "$work/top.qcow2" "$out"
}

case_raw() {
	have nbdcopy && have qemu-nbd || { skip 'qcow2 -> raw: no nbdcopy or qemu-nbd'; return; }
	image
	versus 'qcow2 -> raw, pipe' 8 13 pipe q2s-stream -O raw "$work/disk.qcow2" \
		-- 'nbdcopy [qemu-nbd]' pipe nbdcopy -- '[' qemu-nbd -r -f qcow2 "$work/disk.qcow2" ']' -
}

# compressed FLOOR QUIET TYPE [LEVEL]
compressed() {
	local how=$3${4:+:$4}

	disk
	versus "$how" "$1" "$2" q2s-stream "-z$how" "$work/disk.raw" "$out" \
		-- 'qemu-img convert -c' qemu-img convert -c -W -m 16 -O qcow2 \
		-o "compression_type=$3" "$work/disk.raw" "$out"
	q2s-stream "-z$how" "$work/disk.raw" "$work/a.qcow2"
	qemu-img convert -c -W -m 16 -O qcow2 -o "compression_type=$3" "$work/disk.raw" \
		"$work/b.qcow2"
	stat -c %s "$work/a.qcow2" "$work/b.qcow2" | paste -s | awk -v how="$how" '{
		more = 100 * ($1 / $2 - 1)
		printf "%-34s %+.1f %% bytes against qemu-img (%d, %d)  want 10 %s\n", how, more, $1, $2,
			more <= 10 ? "reached" : "MISSED" }'
	rm -f "$work/a.qcow2" "$work/b.qcow2"
}

case_zlib() {
	compressed 8 12 zlib
}

case_zstd() {
	compressed 1.5 1.9 zstd
	compressed 2 2.5 zstd 1
}

case_decode() {
	local type floor quiet

	disk
	while read -r type floor quiet; do
		q2s-stream "-z$type" "$work/disk.raw" "$work/a.qcow2"
		versus "$type -> raw" "$floor" "$quiet" q2s-stream -O raw "$work/a.qcow2" "$out" \
			-- 'qemu-img convert -W' qemu-img convert -W -O raw "$work/a.qcow2" "$out"
		rm -f "$work/a.qcow2"
	done <<<$'zlib 2.2 3\nzstd 1.6 2.2'
}

# on_full VERB TITLE FLOOR QUIET
on_full() {
	versus "$1 1 TiB, $2" "$3" "$4" q2s-inspect "$1" --output=json "$full" \
		-- "qemu-img $1" qemu-img "$1" --output=json "$full"
}

case_check() {
	full || return
	on_full check standard 20 40
	full extended_l2=on || return
	on_full check extended 15 30
	permuted || return
	on_full check permuted 500 2000
	rm -f "$full"
}

case_map() {
	sparse 1 || return
	q2s-stream "$sparse" "$work/a.qcow2"
	versus 'map 1 TiB, sparse' 25 50 q2s-inspect map --output=json "$work/a.qcow2" \
		-- 'qemu-img map' qemu-img map --output=json "$work/a.qcow2"
	rm -f "$work/a.qcow2"
	full || return
	on_full map preallocated 10 25
	rm -f "$full"
}

case_create() {
	versus 'create 1 TiB, metadata' 18 26 \
		q2s-create -q -o preallocation=metadata "$out" 1T \
		-- 'qemu-img create' qemu-img create -q -f qcow2 -o preallocation=metadata "$out" 1T
}

case_cold() {
	local cold=yes limit=100

	script 'raw -> qcow2, cold cache' || return
	[ -w /proc/sys/vm/drop_caches ] || { skip 'cold cache: not root'; return; }
	[ "$(stat -f -c %T "$work")" != tmpfs ] || { skip 'cold cache: tmpfs has none; see -d'; return; }
	disk
	versus 'raw -> qcow2, pipe, cold cache' 2 2.9 pipe q2s-stream "$work/disk.raw" \
		-- qcow2-to-stdout.py pipe python3 "$peer" "$work/disk.raw"
}

case_memory() {
	sparse 1 || return
	memory 'stream, 1 TiB sparse' 8 pipe q2s-stream "$sparse"
	q2s-stream "$sparse" "$work/a.qcow2"
	memory 'map, 1 TiB sparse' 8 q2s-inspect map --output=json "$work/a.qcow2"
	rm -f "$work/a.qcow2"
	if sparse 16; then
		memory 'stream, 16 TiB sparse' 40 pipe q2s-stream "$sparse"
		rm -f "$sparse"
	fi
	disk
	memory 'compress' 32 pipe q2s-stream -zzlib "$work/disk.raw"
	full || return
	memory 'check, 1 TiB' 16 q2s-inspect check --output=json "$full"
	rm -f "$full"
	if full '' 16; then
		memory 'check, 16 TiB' 96 q2s-inspect check --output=json "$full"
		rm -f "$full"
	fi
	memory 'create, 1 TiB' 8 q2s-create -q -o preallocation=metadata "$out" 1T
}

# The same data on larger and larger disks: what grows should be the metadata alone.
case_growth() {
	local tib length

	for tib in 1 4 16 64; do
		sparse $tib || return
		length=$(q2s-stream --measure --output=json "$sparse" | jq .length)
		once pipe q2s-stream "$sparse" >"$work/a" || return
		awk -v tib=$tib -v bytes="$length" '{
			printf "%-34s %.3f s, cpu %.3f, %.1f MiB; the image has %.0f MiB\n",
				"growth: " tib " TiB sparse", $1, $2, $3 / 1024, bytes / 1048576
		}' "$work/a"
		[ $tib = 1 ] || rm -f "$sparse"
	done
}
