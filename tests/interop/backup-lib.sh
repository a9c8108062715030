# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the tests of changed blocks, bitmaps and layers share.

# wait_for_end PID: of a process that is no child of ours.
wait_for_end() {
	local i

	for ((i = 0; i < 1500; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.02
	done
	fail "process $1 does not end"
}

: "${tmp:?}"

stop_left_over() {
	[ ! -s "$tmp/nbd.pid" ] || kill "$(cat "$tmp/nbd.pid")"
}
cleanup_fn stop_left_over

# serve OPTION...: qemu-nbd on $tmp/socket until stop_serving; $uri is its address.
serve() {
	qemu-nbd -t -e 8 -k "$tmp/socket" "$@" --fork --pid-file="$tmp/nbd.pid" >"$tmp/nbd.log" 2>&1 ||
		fail "qemu-nbd $*: $(cat "$tmp/nbd.log")"
	uri="nbd+unix:///?socket=$tmp/socket"
}

stop_serving() {
	local pid

	pid=$(cat "$tmp/nbd.pid")
	kill "$pid"
	wait_for_end "$pid"
	rm -f "$tmp/nbd.pid" "$tmp/socket"
}

# qemu_bitmap NAME IMAGE: the ranges of a bitmap, as QEMU serves them.
qemu_bitmap() {
	serve -r -f qcow2 -B "$1" "$2"
	nbdinfo --map="qemu:dirty-bitmap:$1" --json "$uri"
	stop_serving
}

# qemu_bitmap_flags NAME IMAGE
qemu_bitmap_flags() {
	qemu-img info --output=json "$2" |
		jq -c --arg name "$1" '."format-specific".data.bitmaps[] | select(.name == $name) |
			[.flags, .granularity]'
}

# dirty_bytes FILE: how many a map calls dirty.
dirty_bytes() {
	jq '[.[] | select(.type == 1).length] | add // 0' "$1"
}

# serve_traced BITMAP IMAGE: as serve, read-only and with a trace of all requests, until stop_tracing.
serve_traced() {
	local i

	qemu-nbd -t -e 8 -r -k "$tmp/socket" -f qcow2 -B "$1" "$2" --pid-file="$tmp/nbd.pid" \
		--trace nbd_receive_request 2>"$tmp/trace" &
	traced=$!
	for ((i = 0; i < 500; i++)); do
		[ ! -s "$tmp/nbd.pid" ] || break
		sleep 0.02
	done
	uri="nbd+unix:///?socket=$tmp/socket"
}

stop_tracing() {
	kill "$traced"
	wait "$traced" || true
	rm -f "$tmp/nbd.pid" "$tmp/socket"
	# "Got request: { magic = 0x25609513, .flags = 0x0, .type = 0x0, from = 1048576, len = 65536 }"
	sed -n 's/.*\.type = 0x0, from = \([0-9]*\), len = \([0-9]*\) .*/\1 \2/p' "$tmp/trace" \
		>"$tmp/requests"
	[ -s "$tmp/requests" ] || fail "no request was seen: $(head -n 5 "$tmp/trace")"
}

# bytes_read: how many were asked for, by the trace.
bytes_read() {
	awk '{ sum += $2 } END { printf "%.0f\n", sum }' "$tmp/requests"
}

# assert_only_dirty MAP: nothing was asked for that the map calls clean.
assert_only_dirty() {
	jq -r '.[] | select(.type == 1) | "\(.offset) \(.length)"' "$1" >"$tmp/dirty"
	awk 'NR == FNR { start[n++] = $1; len[n - 1] = $2; next }
		{
			for (i = 0; i < n; i++)
				if ($1 >= start[i] && $1 + $2 <= start[i] + len[i]) next
			print "clean bytes were read: " $0
			bad = 1
		}
		END { exit bad }' "$tmp/dirty" "$tmp/requests" >&2 || fail "clean ranges are read"
}
