#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# ./run tests/bench/serve.sh [-n RUNS] [-t SECONDS] [-m MIB] [-d DIR] [CASE...]
#
# Measures nbdkit-q2s-plugin against qemu-storage-daemon, both in turn: fio's nbd engine, 4 KiB at
# random, depth 16, a new empty overlay over a full base for each run. Medians of requests a second, and
# of the server's processor time for each, with their ratios: where others work on the same machine only
# the second one says much. Bytes and syncs for each request. Absolute figures hold for one machine on
# one day.
#
# -n RUNS     of each (default 3)
# -t SECONDS  of each run (default 3)
# -m MIB      size of the disk (default 1024)
# -d DIR      where the images lie (default /dev/shm: no disk in the way)
# CASE        write sync read chain bytes syncs memory (default: all)
#
# Q2S_STORAGE_DAEMON  the command of the peer (default qemu-storage-daemon)

set -u

: "${Q2S_SRC:?run it through ./run}" "${Q2S_BUILD:?}"

cases=(write sync read chain bytes syncs memory)
usage() {
	sed -n '/^# .\/run/,/^$/s/^# \{0,1\}//p' "$0" >&2
	exit 1
}

runs=3 seconds=3 mib=1024 dir=/dev/shm
while getopts n:t:m:d: option; do
	case $option in
	n) runs=$OPTARG ;;
	t) seconds=$OPTARG ;;
	m) mib=$OPTARG ;;
	d) dir=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
for case; do
	[[ " ${cases[*]} " = *" $case "* ]] || usage
done
[ $# -gt 0 ] || set -- "${cases[@]}"

daemon=${Q2S_STORAGE_DAEMON:-qemu-storage-daemon}
plugin=$Q2S_BUILD/plugins/nbdkit/.libs/nbdkit-q2s-plugin.so
for tool in nbdkit fio jq qemu-io "$daemon"; do
	type -P "$tool" >/dev/null || {
		echo "$tool is missing" >&2
		exit 1
	}
done
[ -e "$plugin" ] || {
	echo "this build has no plugin" >&2
	exit 1
}

work=$(mktemp -d "$dir/q2s-serve.XXXXXX") || exit 1
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
socket=$work/socket

# server WHO IMAGE [writable|read-only]: as $pid, when it answers.
server() {
	local how=() i

	rm -f "$socket"
	if [ "$1" = q2s ]; then
		[ "$3" = writable ] || how=(-r)
		nbdkit -f "${how[@]}" -U "$socket" "$plugin" "$2" follow=any &
	else
		[ "$3" = writable ] && how=(writable=on) || how=(writable=off)
		"$daemon" --blockdev "driver=file,node-name=f,filename=$2,discard=unmap" \
			--blockdev driver=qcow2,node-name=d,file=f,discard=unmap \
			--nbd-server "addr.type=unix,addr.path=$socket" \
			--export "type=nbd,id=e,node-name=d,name=,${how[0]}" &
	fi
	pid=$!
	for ((i = 0; i < 500; i++)); do
		[ ! -S "$socket" ] || return 0
		sleep 0.02
	done
	echo "no server: $1 $2" >&2
	return 1
}

stop() {
	kill "$pid"
	wait "$pid"
	pid=
}

# ticks: processor time of the server until now.
ticks() {
	awk '{ print $14 + $15 }' "/proc/$pid/stat"
}

# load ARG...: fio; prints requests a second, and the server's microseconds for each.
load() {
	local before after

	before=$(ticks)
	fio --name=b --ioengine=nbd --uri="nbd+unix:///?socket=$socket" --bs=4k --size="${mib}M" \
		--time_based --runtime="$seconds" --output-format=json "$@" 2>/dev/null |
		sed -n '/^{/,$p' >"$work/fio.json"
	after=$(ticks)
	jq -r --argjson ticks $((after - before)) --argjson hz "$(getconf CLK_TCK)" '.jobs[0]
		| select(.error == 0) | [.read, .write] | [(map(.iops) | max | floor),
			$ticks * 1000000 / $hz / (map(.total_ios) | add)] | join(" ")' "$work/fio.json"
}

# median COLUMN: of the lines of stdin.
median() {
	sort -n -k "$1" | awk -v column="$1" '{ a[NR] = $column } END { print a[int((NR + 1) / 2)] }'
}

# ratios TITLE: a row from the lines in $work/ours and $work/theirs; sets $ours, requests a second.
ratios() {
	local theirs cpu their_cpu

	ours=$(median 1 <"$work/ours")
	theirs=$(median 1 <"$work/theirs")
	cpu=$(median 2 <"$work/ours")
	their_cpu=$(median 2 <"$work/theirs")
	awk -v title="$1" -v a="${ours:-0}" -v b="${theirs:-0}" -v c="${cpu:-0}" -v d="${their_cpu:-0}" \
		'BEGIN {
			if (a * b * c * d == 0) {
				printf "%-34s failed\n", title
				exit
			}
			printf "%-34s q2s %8d  qemu %8d  %5.1f times   cpu %6.1f %6.1f us  %5.1f times\n",
				title, a, b, a / b, c, d, d / c
		}'
}

fresh() {
	rm -f "$work/image"
	q2s-create -q -o "$1" -b "$work/base" -F raw "$work/image" "${mib}M"
}

# iops WHO OPTIONS FIO-ARG...: of a new overlay, for as long as a run takes.
iops() {
	fresh "$2"
	server "$1" "$work/image" writable || return
	load "${@:3}"
	stop
}

# compare TITLE OPTIONS FIO-ARG...: in turn; sets $ours.
compare() {
	local title=$1 i

	shift
	: >"$work/ours"
	: >"$work/theirs"
	for ((i = 0; i < runs; i++)); do
		iops q2s "$@" >>"$work/ours"
		iops qemu "$@" >>"$work/theirs"
	done
	ratios "$title"
}

case_write() {
	local size standard

	for size in 64k 128k 2M; do
		compare "random write, standard $size" "cluster_size=$size" --rw=randwrite --iodepth=16
		standard=$ours
		compare "random write, extended $size" "extended_l2=on,cluster_size=$size" --rw=randwrite --iodepth=16
		awk -v size="$size" -v a="${ours:-0}" -v b="${standard:-0}" 'BEGIN {
			if (b > 0)
				printf "  extended %-23s %.1f times our standard\n", size, a / b }'
	done
}

# Depth 1: only there fio flushes after each write, see fsync=1.
case_sync() {
	local size

	for size in 64k 128k 2M; do
		compare "write and flush, extended $size" "extended_l2=on,cluster_size=$size" \
			--rw=randwrite --iodepth=1 --fsync=1
	done
}

# reading TITLE IMAGE
reading() {
	local i

	: >"$work/ours"
	: >"$work/theirs"
	for ((i = 0; i < runs; i++)); do
		server q2s "$2" read-only && load --rw=randread --iodepth=16 >>"$work/ours" && stop
		server qemu "$2" read-only && load --rw=randread --iodepth=16 >>"$work/theirs" && stop
	done
	ratios "$1"
}

case_read() {
	local size

	for size in 64k 2M; do
		rm -f "$work/image"
		q2s-stream -f raw -c "$size" "$work/base" "$work/image" 2>/dev/null
		reading "random read, full $size" "$work/image"
	done
	rm -f "$work/image"
	q2s-stream -f raw -o extended_l2=on,cluster_size=128k "$work/base" "$work/image" 2>/dev/null
	reading "random read, full extended 128k" "$work/image"
}

# Each of eight layers has an eighth of the clusters, at random.
case_chain() {
	local layer below=$work/base format=raw

	for layer in 1 2 3 4 5 6 7 8; do
		rm -f "$work/layer$layer"
		awk -v clusters=$((mib * 16)) -v layer="$layer" 'BEGIN { srand(1)
			for (i = 0; i < clusters; i++)
				if (int(rand() * 8) + 1 == layer)
					print "data@" i * 65536 "+65536:" i }' >"$work/specs"
		q2s-create -q -b "$below" -F "$format" --write-file "$work/specs" "$work/layer$layer" "${mib}M"
		below=$work/layer$layer format=qcow2
	done
	reading "random read, chain of 8" "$work/layer8"
	rm -f "$work"/layer*
}

# written WHO TITLE OPTIONS WRITES FLUSHES QEMU-IO-COMMAND...: bytes that the server writes to the file.
written() {
	local before after

	fresh "$3"
	server "$1" "$work/image" writable || return
	before=$(awk '/^wchar/ { print $2 }' "/proc/$pid/io")
	qemu-io -f raw -t writeback "${@:5}" "nbd+unix:///?socket=$socket" >/dev/null
	after=$(awk '/^wchar/ { print $2 }' "/proc/$pid/io")
	stop
	printf '%-34s %-4s %10d bytes a write\n' "$2" "$1" $(((after - before) / $4))
}

case_bytes() {
	local size who i many=()

	# 1,024 writes of 4 KiB all over the disk, then a flush
	for ((i = 0; i < 1024; i++)); do
		many+=(-c "aio_write -q $(((i * 7919 % (mib * 256)) * 4096)) 4k")
	done
	for size in 64k 128k 2M; do
		for who in q2s qemu; do
			written "$who" "1,024 writes, a flush, ext. $size" "extended_l2=on,cluster_size=$size" 1024 \
				"${many[@]}" -c aio_flush -c flush
		done
	done
	for size in 64k 128k 2M; do
		for who in q2s qemu; do
			# the first one makes the L2 table
			fresh "extended_l2=on,cluster_size=$size"
			server "$who" "$work/image" writable || return
			qemu-io -f raw -t writeback -c 'write -q 0 4k' -c flush "nbd+unix:///?socket=$socket" >/dev/null
			before=$(awk '/^wchar/ { print $2 }' "/proc/$pid/io")
			qemu-io -f raw -t writeback -c 'write -q 8M 4k' -c flush "nbd+unix:///?socket=$socket" >/dev/null
			after=$(awk '/^wchar/ { print $2 }' "/proc/$pid/io")
			stop
			printf '%-34s %-4s %10d bytes\n' "a write and a flush, ext. $size" "$who" $((after - before))
		done
	done
}

# Barriers for a flush of the guest after each write, mostly to a new cluster.
case_syncs() {
	local size who count tracer

	type -P strace >/dev/null || {
		echo "skipped: syncs, as strace is missing"
		return
	}
	awk -v blocks=$((mib * 256)) 'BEGIN {
		srand(3)
		for (i = 0; i < 300; i++)
			printf "write -q %.0f 4k\nflush\n", int(rand() * blocks) * 4096
	}' >"$work/commands"
	for size in 64k 128k 2M; do
		for who in q2s qemu; do
			fresh "extended_l2=on,cluster_size=$size"
			server "$who" "$work/image" writable || return
			strace -f -c -e trace=fsync,fdatasync -o "$work/calls" -p "$pid" 2>/dev/null &
			tracer=$!
			sleep 0.5
			qemu-io -f raw -t writeback "nbd+unix:///?socket=$socket" <"$work/commands" >/dev/null
			stop
			wait "$tracer"
			count=$(awk '$NF ~ /^f(data)?sync$/ { n += $4 } END { print n + 0 }' "$work/calls")
			printf '%-34s %-4s %10.2f for a flush\n' "syncs, extended $size" "$who" \
				"$(jq -n "$count / 300")"
		done
	done
}

# The most that the server had in memory, 1 TiB, after a random load.
case_memory() {
	local who peak

	for who in q2s qemu; do
		rm -f "$work/image"
		q2s-create -q -o extended_l2=on,cluster_size=128k "$work/image" 1T
		server "$who" "$work/image" writable || return
		mib=1048576 load --rw=randrw --iodepth=16 >/dev/null
		peak=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$pid/status")
		stop
		printf '%-34s %-4s %10d MiB\n' "peak memory, 1 TiB, random load" "$who" "$peak"
	done
	rm -f "$work/image"
}

head -c "${mib}M" /dev/urandom >"$work/base"
echo "$("$daemon" --version | head -n 1); $(nbdkit --version); $(fio --version)"
echo "$(uname -sr), $(nproc) processors, load $(cut -d ' ' -f 1 /proc/loadavg), $runs runs of" \
	"$seconds s, in $dir ($(stat -f -c %T "$dir"))"
for case; do
	"case_$case"
done
