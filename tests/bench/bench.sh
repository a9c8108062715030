#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# ./run tests/bench/bench.sh [-n RUNS] [-s SIZE] [-d DIR] [-o DIR] [-t SECONDS] [CASE...]
#
# Measures q2s against qemu-img, QEMU's qcow2-to-stdout.py, nbdcopy and `cat | cat`, all in one run
# and in turn (A B A B ...). A row says how many times what q2s needs its peer needs: the median,
# least and most of the pairs of runs, and what is wanted of a busy machine and of a quiet one.
# Absolute figures hold for one machine on one day; ratios travel.
#
# -n RUNS     counted runs of each command, after one that is not counted (default 5)
# -s SIZE     of the disk with a file system (default 4G)
# -d DIR      where the disks and images lie that are read (default TMPDIR, or /var/tmp)
# -o DIR      where what is written goes (default /dev/shm: no disk in the way)
# -t SECONDS  a peer that takes longer is ended, and the ratio is a lower bound (default 60)
# CASE        (default: all)
#
# Q2S_QCOW2_TO_STDOUT  path of QEMU's scripts/qcow2-to-stdout.py; without it that peer is skipped
# PEERS                a folder whose programs are the peers, before those of PATH
# Q2S_BENCH_TREE       what the disk is filled with (default /usr/share)

set -u

: "${Q2S_SRC:?run it through ./run}" "${Q2S_BUILD:?}"
# shellcheck source=tests/bench/lib.sh
. "$Q2S_SRC/tests/bench/lib.sh"
# shellcheck source=tests/bench/disks.sh
. "$Q2S_SRC/tests/bench/disks.sh"
# shellcheck source=tests/bench/cases.sh
. "$Q2S_SRC/tests/bench/cases.sh"

usage() {
	sed -n '/^# .\/run/,/^$/s/^# \{0,1\}//p' "$0" >&2
	echo "CASE: ${cases[*]}" >&2
	exit 1
}

runs=5 size=4G dir=${TMPDIR:-/var/tmp} out_dir=/dev/shm limit=60
while getopts n:s:d:o:t: option; do
	case $option in
	n) runs=$OPTARG ;;
	s) size=$OPTARG ;;
	d) dir=$OPTARG ;;
	o) out_dir=$OPTARG ;;
	t) limit=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ -z "${PEERS:-}" ] || PATH=$PEERS:$PATH
tree=${Q2S_BENCH_TREE:-/usr/share}
peer=${Q2S_QCOW2_TO_STDOUT:-}
for case; do
	[[ " ${cases[*]} " = *" $case "* ]] || usage
done
[ $# -gt 0 ] || set -- "${cases[@]}"

for tool in qemu-img mkfs.ext4 jq; do
	have "$tool" || {
		echo "$tool is missing" >&2
		exit 1
	}
done
make -C "$Q2S_BUILD" -s --no-print-directory tests/bench/measure tests/bench/shuffle >&2 || exit 1

work=$(mktemp -d "$dir/q2s-bench.XXXXXX") || exit 1
out_work=$(mktemp -d "$out_dir/q2s-bench.XXXXXX") || exit 1
out=$out_work/out
trap '{ umount "$work/mnt"; rm -rf "$work" "$out_work"; } 2>/dev/null' EXIT
trap 'exit 130' INT TERM HUP

echo "$(q2s-stream --version | tr '\n' ' '); $(qemu-img --version | head -n 1)"
echo "$(uname -sr), $(nproc) processors, load $(cut -d ' ' -f 1 /proc/loadavg)," \
	"$runs runs, from $dir ($(stat -f -c %T "$dir")) to $out_dir ($(stat -f -c %T "$out_dir"))"
for case; do
	"case_$case"
done
