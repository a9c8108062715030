# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2120
# Measuring for bench.sh: commands in turn, rows of the table. Uses $runs, $limit, $work and $out.

measure=$Q2S_BUILD/tests/bench/measure

skip() {
	echo "skipped: $*"
}

have() {
	type -P "$1" >/dev/null
}

# once COMMAND...: wall seconds, processor seconds and KiB, on one line. A first word `pipe` lets
# the output go through a pipe. $out and $work/out are gone before. 124: it took longer than $limit.
once() {
	local how=(-t "$limit") got=0

	rm -rf "$out" "$work/out"
	[ "$1" != pipe ] || {
		how+=(-p)
		shift
	}
	[ -z "${cold:-}" ] || { sync && echo 3 >/proc/sys/vm/drop_caches; }
	"$measure" "${how[@]}" "$@" 2>"$work/err" || got=$?
	[ $got = 0 ] || [ $got = 124 ] ||
		echo "failed: $*: $(tail -n 1 "$work/err")" >&2
	return $got
}

# row TITLE PEER FLOOR QUIET A B: from lines of both, pair by pair: the ratio of wall times (least,
# median, most), that of processor times, and medians.
row() {
	paste -d ' ' "$5" "$6" | awk -v title="$1" -v peer="$2" -v floor="$3" -v quiet="$4" \
		-v more="${cut:+>=}" '
	function median(a, n,   i, j, t) {
		for (i = 2; i <= n; i++)
			for (j = i; j > 1 && a[j - 1] > a[j]; j--) {
				t = a[j]; a[j] = a[j - 1]; a[j - 1] = t
			}
		return a[int((n + 1) / 2)]
	}
	function ratio(x) { return sprintf(x < 20 ? "%.1f" : "%.0f", x) }
	{
		n++
		wall[n] = $4 / ($1 > 0 ? $1 : 0.0001)
		cpu[n] = $5 / ($2 > 0 ? $2 : 0.0001)
		ours[n] = $1; ours_cpu[n] = $2; ours_kib[n] = $3
		theirs[n] = $4; theirs_kib[n] = $6
	}
	END {
		w = median(wall, n)
		c = median(cpu, n)
		got = (title ~ /processor time/) ? c : w
		said = more ? "unknown" : "MISSED"
		if (got >= floor)
			said = "floor"
		if (got >= quiet)
			said = "reached"
		printf "%-34s %-20s %s%6sx (%s-%s)  cpu %6sx  want %4s/%-4s %-8s", title, peer, more,
			ratio(w), ratio(wall[1]), ratio(wall[n]), ratio(c), floor, quiet, said
		printf " q2s %.3f s, cpu %.3f, %.1f MiB; peer %.3f s, %.1f MiB\n", median(ours, n),
			median(ours_cpu, n), median(ours_kib, n) / 1024, median(theirs, n),
			median(theirs_kib, n) / 1024
	}'
}

# versus TITLE FLOOR QUIET OURS... -- PEER-NAME PEER...: both in turn, after a run of each that is not
# counted, then the row. A peer that takes longer than $limit is run once, and the ratio is a
# lower bound.
versus() {
	local title=$1 floor=$2 quiet=$3 ours=() name i got=0 cut=

	shift 3
	while [ "$1" != -- ]; do
		ours+=("$1")
		shift
	done
	name=$2
	shift 2
	: >"$work/a"
	: >"$work/b"
	once "${ours[@]}" >/dev/null || return
	once "$@" >"$work/b.first" || got=$?
	if [ $got = 124 ]; then
		cut=yes
		cp "$work/b.first" "$work/b"
		once "${ours[@]}" >>"$work/a" || return
	elif [ $got != 0 ]; then
		return
	else
		for ((i = 0; i < runs; i++)); do
			once "${ours[@]}" >>"$work/a" || return
			once "$@" >>"$work/b" || return
		done
	fi
	row "$title" "$name" "$floor" "$quiet" "$work/a" "$work/b"
	rm -rf "$out" "$work/out"
}

# memory TITLE LIMIT COMMAND...: the peak, in MiB, of the worst of three runs.
memory() {
	local title=$1 wanted=$2 i

	shift 2
	: >"$work/a"
	for i in 1 2 3; do
		once "$@" >>"$work/a" || return
	done
	sort -n -k 3 "$work/a" | tail -n 1 | awk -v title="$title" -v wanted="$wanted" '{
		mib = $3 / 1024
		printf "%-34s peak memory %6.1f MiB  want %s %s  (%.3f s, cpu %.3f)\n", title, mib,
			wanted, mib <= wanted ? "reached" : "MISSED", $1, $2 }'
	rm -rf "$out" "$work/out"
}
