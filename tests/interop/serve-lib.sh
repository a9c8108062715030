# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154
# What the tests of nbdkit-q2s-plugin share; sourced behind tests/cli/lib.sh.

# shellcheck disable=SC2034 # for the tests
plugin=$Q2S_BUILD/plugins/nbdkit/.libs/nbdkit-q2s-plugin.so
# Threads of the server may outnumber what a sanitizer's allocator likes.
requires HAVE_NBDKIT nbdkit

# serve ARG...: nbdkit on a socket of its own; ends with --run COMMAND, which finds it in $uri.
serve() {
	nbdkit -U - "$plugin" "$@"
}

# server_start SOCKET ARG...: a server in the background, as $server; it is ready on return.
server_start() {
	local socket=$1 i

	shift
	rm -f "$tmp/server.pid" "$socket"
	nbdkit -f -U "$socket" -P "$tmp/server.pid" "$plugin" "$@" 2>>"$tmp/server.log" &
	server=$!
	cleanup_fn sh -c "kill -9 $server 2>/dev/null || :"
	for ((i = 0; i < 1500; i++)); do
		[ ! -s "$tmp/server.pid" ] || return 0
		kill -0 "$server" 2>/dev/null || break
		sleep 0.02
	done
	fail "the server does not start: $(cat "$tmp/server.log")"
}

# server_stop: as a person ends it; it must end well.
server_stop() {
	kill "$server"
	wait "$server" || fail "the server ended with $?: $(cat "$tmp/server.log")"
}

# sound IMAGE: nothing is wrong with it, and no cluster is leaked, for QEMU and for us.
sound() {
	qemu_check_clean "$1"
	expect_exit 0 q2s-inspect check "$1"
}

# leaks_at_most IMAGE: after a crash clusters may be leaked, and nothing else.
leaks_at_most() {
	local got=0

	qemu-img check -f qcow2 "$1" >qemu-check 2>&1 || got=$?
	[ "$got" = 0 ] || [ "$got" = 3 ] || fail "qemu-img check $1: exit $got: $(cat qemu-check)"
	got=0
	q2s-inspect check "$1" >q2s-check 2>&1 || got=$?
	[ "$got" = 0 ] || [ "$got" = 3 ] || fail "q2s-inspect check $1: exit $got: $(cat q2s-check)"
}
