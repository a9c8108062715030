# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2120
# What bench.sh measures: a function for each case. The two figures behind a title are the ratio that
# a busy machine should show, and that of a quiet one.

# shellcheck disable=SC2034 # the help of bench.sh
cases=(pipe extended file reflink sparse chain raw zlib zstd decode check map create cold memory
	growth changed extents chunks dedup difference layers)

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

# strided COUNT STRIDE: writes of 4 KiB, for qemu-io.
strided() {
	awk -v count="$1" -v stride="$2" 'BEGIN {
		for (i = 0; i < count; i++) printf "write -P %d %.0f 4096\n", i % 255 + 1, i * stride }'
}

# nbd_server NAME OPTION...: qemu-nbd on $work/NAME, for the length of the case.
nbd_server() {
	local name=$1

	shift
	qemu-nbd -r -t -e 16 -k "$work/$name" -f qcow2 "$@" --fork --pid-file="$work/$name.pid" >&2
}

# first_byte TITLE PART COMMAND...: how much of the whole run is over when the first byte is there.
first_byte() {
	local title=$1 part=$2 start first end

	shift 2
	start=$EPOCHREALTIME
	"$@" | {
		head -c 1 >/dev/null
		echo "$EPOCHREALTIME" >"$work/first"
		cat >/dev/null
	}
	end=$EPOCHREALTIME
	first=$(cat "$work/first")
	awk -v title="$title" -v part="$part" -v a="$start" -v b="$first" -v c="$end" 'BEGIN {
		got = (b - a) / (c - a)
		printf "%-34s first byte after %.3f of the run  want %s %s  (%.3f s)\n", title, got, part,
			got <= part ? "reached" : "MISSED", c - a }'
}

case_changed() {
	local count=${Q2S_BENCH_EXTENTS:-50000} uri="nbd+unix:///?socket=$work/vm"
	local changed=(q2s-stream --changed=qemu:dirty-bitmap:mon --backing-name none "$uri")

	have nbdcopy && have qemu-nbd && have qemu-io || { skip 'changed: no nbdcopy, qemu-nbd, qemu-io'; return; }
	qemu-img create -q -f qcow2 "$work/vm.qcow2" $((count * 16384))
	qemu-img bitmap --add -g 4096 "$work/vm.qcow2" mon
	strided "$count" 16384 | qemu-io "$work/vm.qcow2" >/dev/null
	nbd_server vm -B mon "$work/vm.qcow2" || return
	"${changed[@]}" -c 4k "$work/same.qcow2" && nbd_server same "$work/same.qcow2" || return
	versus "changed, $count extents" 0.8 0.83 "${changed[@]}" -c 4k "$out" \
		-- 'nbdcopy of the same' nbdcopy "nbd+unix:///?socket=$work/same" "$out"
	qemu-img create -q -f qcow2 -o cluster_size=4k -b "$uri" -F raw "$work/over.qcow2"
	awk -v count="$count" 'BEGIN {
		for (i = 0; i < count; i++) printf "read %.0f 4096\n", i * 16384 }' >"$work/reads"
	versus 'the same, overlay' 3 3 "${changed[@]}" -c 4k "$out" \
		-- 'copy on read' sh -c 'qemu-img create -q -f qcow2 -o cluster_size=4k -b "$1" -F raw "$2" &&
			qemu-io -C "$2" <"$3"' sh "$uri" "$out" "$work/reads"
	first_byte 'the same, into a pipe' 0.05 "${changed[@]}" -c 4k
	kill "$(cat "$work/vm.pid")" "$(cat "$work/same.pid")"

	qemu-img create -q -f qcow2 "$work/large.qcow2" 1T
	qemu-img bitmap --add -g 64k "$work/large.qcow2" mon
	strided 1500 687194112 | qemu-io "$work/large.qcow2" >/dev/null
	memory 'changed, 1 TiB' 32 q2s-stream --changed=bitmap:mon --backing-name none \
		"$work/large.qcow2" /dev/null
	rm -f "$work"/{vm,same,over,large}.qcow2
}

# A local image: its bitmap and its tables say all, and no data is read before the first byte.
case_extents() {
	local count=${Q2S_BENCH_EXTENTS:-1000000} vm=$work/vm.qcow2
	local changed=(q2s-stream --changed=bitmap:mon --backing-name none "$vm")

	q2s-create -q -o cluster_size=4k "$vm" $((count * 16384))
	q2s-edit bitmap add -g 4096 "$vm" mon >&2
	q2s-edit write -q --write-file <(awk -v count="$count" 'BEGIN {
		for (i = 0; i < count; i++) printf "data@%.0f+4096:0x%02x\n", i * 16384, i % 255 + 1 }') "$vm"
	first_byte "changed, $count extents of an image" 0.05 "${changed[@]}"
	first_byte 'the same, 4 KiB clusters' 0.05 "${changed[@]}" -c 4k
	first_byte 'the same, subclusters' 0.05 "${changed[@]}" -o extended_l2=on,cluster_size=128k
	memory 'the same' 32 "${changed[@]}" -c 4k /dev/null
	rm -f "$vm"
}

# new_chunks COMMAND...: it makes $out of the disk $raw, of the old one and of the changed one; KiB that a
# chunk store keeps for the second when it has the first.
new_chunks() {
	local store=$out_work/store raw before

	rm -rf "$store"
	for raw in "$work/disk.raw" "$work/changed.raw"; do
		before=$(du -sk --apparent-size "$store" 2>/dev/null | cut -f 1)
		rm -f "$out"
		raw=$raw out=$out "$@" >"$work/said" 2>&1 &&
			casync make --store="$store" "$out_work/index.caibx" "$out" >"$work/said" 2>&1 || {
			tail -n 1 "$work/said" >&2
			return 1
		}
	done
	echo $(($(du -sk --apparent-size "$store" | cut -f 1) - before))
	rm -rf "$store" "$out" "$out_work/index.caibx"
}

# The same disk a day later: what a store of content-defined chunks has to add. Bytes and not times.
case_chunks() {
	local raw new

	have casync || { skip 'chunks: no casync'; return; }
	disk
	cp --sparse=always "$work/disk.raw" "$work/changed.raw"
	awk -v blocks=$(($(stat -c %s "$work/disk.raw") >> 12)) 'BEGIN {
		srand(1)
		for (i = 0; i < 400; i++) print int(rand() * (blocks - 5)) }' | while read -r at; do
		head -c 20000 /dev/urandom |
			dd of="$work/changed.raw" bs=4k seek="$at" conv=notrunc status=none
	done
	# shellcheck disable=SC2016 # the other shell expands it
	raw=$(new_chunks sh -c 'cp --sparse=always "$raw" "$out"') || return
	chunks_row() {
		new=$(new_chunks sh -c "$2") || return
		awk -v title="$1" -v new="$new" -v raw="$raw" -v want="${3:-}" 'BEGIN {
			printf "new chunks, %-22s %.2fx of raw%s  (%.1f MiB; raw %.1f)\n", title, new / raw,
				want ? "  want " want (new / raw <= want ? " reached" : " MISSED") : "",
				new / 1024, raw / 1024 }'
	}
	# shellcheck disable=SC2016
	{
		chunks_row 'q2s-stream' 'q2s-stream "$raw" "$out"' 1.1
		chunks_row 'q2s-stream -z zstd' 'q2s-stream -z zstd "$raw" "$out"'
		chunks_row 'qemu-img convert' 'qemu-img convert -O qcow2 "$raw" "$out"'
		chunks_row 'qemu-img convert -W' 'qemu-img convert -W -O qcow2 "$raw" "$out"'
	}
	rm -f "$work/changed.raw"
}

# Two files that are equal from the half on; the peer reads them, and does nothing with it.
case_dedup() {
	disk
	cp --sparse=always "$work/disk.raw" "$work/twice.raw"
	truncate -s "$(($(stat -c %s "$work/disk.raw") * 2))" "$work/twice.raw"
	dd if="$work/disk.raw" of="$work/twice.raw" bs=1M seek="$(($(stat -c %s "$work/disk.raw") >> 20))" \
		conv=sparse,notrunc status=none
	versus 'dedup, half is shared' 0.67 0.67 q2s-stream --dedup "$work/twice.raw" "$out" \
		-- cat sh -c 'cat "$1" >/dev/null' sh "$work/twice.raw"
	memory 'the same' 64 q2s-stream --dedup "$work/twice.raw" "$out"
	rm -f "$work/twice.raw"
}

# What differs of two disks, a hundredth of their data.
case_difference() {
	local megabytes

	image
	cp --sparse=always "$work/disk.raw" "$work/changed.raw"
	megabytes=$(($(stat -c %s "$work/disk.raw") >> 20))
	awk -v from="$megabytes" 'BEGIN {
		srand(2)
		for (i = 0; i < from / 100; i++) print int(rand() * from) }' | while read -r at; do
		head -c 1M /dev/urandom |
			dd of="$work/changed.raw" bs=1M seek="$at" conv=notrunc status=none
	done
	q2s-stream "$work/changed.raw" "$work/changed.qcow2"
	# shellcheck disable=SC2016 # the other shell expands it
	versus 'difference, 1 %' 4 4 q2s-stream -b "$work/disk.qcow2" -F qcow2 "$work/changed.qcow2" "$out" \
		-- 'qemu-img rebase' sh -c 'cp --sparse=always "$1" "$3" && qemu-img rebase -f qcow2 \
			-b "$2" -F qcow2 "$3"' sh "$work/changed.qcow2" "$work/disk.qcow2" "$out"
	# cmp ends where two files differ.
	cp --sparse=always "$work/disk.raw" "$work/same.raw"
	versus 'the same, of raw disks' 1 1 q2s-stream -b "$work/disk.raw" -F raw -f raw \
		"$work/changed.raw" "$out" \
		-- 'cmp of equal ones' cmp "$work/disk.raw" "$work/same.raw"
	rm -f "$work"/{changed,same}.raw "$work/changed.qcow2"
}

case_layers() {
	local layer below=

	for layer in $(seq -w 20); do
		q2s-create -q ${below:+-b "$below" -F qcow2} -o cluster_size=64k \
			-w "data@$((10#$layer * 7))M+1M:$((10#$layer))" "$work/layer-$layer.qcow2" 100G
		below=$work/layer-$layer.qcow2
	done
	versus 'map of 20 layers' 10 10 q2s-inspect map --follow=any --output=json "$below" \
		-- 'qemu-img map' qemu-img map --output=json "$below"
	versus 'info of 20 layers' 8 8 q2s-inspect info --follow=any --backing-chain --output=json "$below" \
		-- 'qemu-img info' qemu-img info --backing-chain --output=json "$below"
	rm -f "$work"/layer-*.qcow2
}
