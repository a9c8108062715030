# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by the tests of images on HTTP servers, after tests/cli/lib.sh.

requires python3 HAVE_LIBCURL
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

# serve NAME [OPTION...]: start http_server.py for the folder www, with its state in the folder NAME;
# its URL goes to the variable NAME.
serve() {
	local name=$1 i

	shift
	mkdir "$name"
	python3 "$Q2S_SRC/tests/interop/http_server.py" www "$name" "$@" >"$name/out" 2>&1 &
	cleanup_fn kill $!
	for ((i = 0; i < 300; i++)); do
		[ ! -e "$name/port" ] || break
		sleep 0.1
	done
	[ -e "$name/port" ] || fail "the server does not start: $(cat "$name/out")"
	printf -v "$name" 'http%s://127.0.0.1:%s' \
		"$([[ " $* " != *' --tls '* ]] || echo s)" "$(<"$name/port")"
}

# requests NAME: how many it answered since the last call; and forget them.
requests() {
	# a request is noted when its last byte is on its way
	sleep 0.2
	wc -l <"$1/log"
	: >"$1/log"
}
