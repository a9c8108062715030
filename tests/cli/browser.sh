# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A page in a headless Chromium, driven through chromedriver's HTTP interface (W3C WebDriver). To be
# sourced after lib.sh. One browser a test; it, its driver and its profile go when the test ends.

requires chromium chromedriver curl jq

# driver METHOD PATH [BODY]: ask chromedriver; the value that it answers, as JSON.
driver() {
	local answer body=()

	[ "$1" != POST ] || body=(-H 'Content-Type: application/json' --data-binary @-)
	answer=$(printf '%s' "${3:-"{}"}" |
		curl -sS --noproxy '*' --max-time 300 -X "$1" "${body[@]}" "$driver_url$2") ||
		fail "chromedriver does not answer $1 $2"
	jq -c '.value | if type == "object" and has("error")
		then "\(.error): \(.message)\n" | halt_error
		else . end' <<<"$answer" || fail "chromedriver refuses $1 $2"
}

# browser_stop: end the session, and the browser with it; then the driver.
browser_stop() {
	[ -z "${browser_session:-}" ] || curl -s --noproxy '*' --max-time 60 -X DELETE \
		"$driver_url$browser_session" >driver.end || :
	kill "$driver_pid" 2>/dev/null || :
	wait "$driver_pid" || :
}

# browser_start: the driver takes a free port and says which. All that browser and driver keep is in
# the test's folder; they run as root, and where /dev/shm is small or missing.
browser_start() {
	local i port='' options

	mkdir browser
	: >driver.log
	HOME=$PWD/browser TMPDIR=$PWD/browser chromedriver --port=0 >>driver.log 2>&1 &
	driver_pid=$!
	cleanup_fn browser_stop
	for ((i = 0; i < 1200; i++)); do
		port=$(sed -n 's/.* successfully on port \([0-9]*\).*/\1/p' driver.log)
		[ -z "$port" ] || break
		kill -0 "$driver_pid" 2>/dev/null || fail "chromedriver: $(cat driver.log)"
		sleep 0.05
	done
	[ -n "$port" ] || fail "chromedriver names no port: $(cat driver.log)"
	driver_url=http://127.0.0.1:$port
	options=$(jq -nc --arg binary "$(command -v chromium)" --arg profile "$PWD/browser/profile" '
		{capabilities: {alwaysMatch: {timeouts: {script: 300000, pageLoad: 300000},
		"goog:loggingPrefs": {browser: "ALL", performance: "ALL"},
		"goog:chromeOptions": {$binary, args: ["--headless", "--no-sandbox", "--disable-gpu",
			"--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update",
			"--disable-sync", "--window-size=1400,900",
			"--user-data-dir=" + $profile]}}}}')
	browser_session=/session/$(driver POST /session "$options" | jq -r .sessionId)
	# Leave the browser's own first page, and what it asked for.
	browser url '{"url": "about:blank"}' >/dev/null
	browser_log performance >/dev/null
}

# browser COMMAND [BODY]: one command of the session.
browser() {
	driver POST "$browser_session/$1" "${2:-}"
}

# browser_cdp COMMAND PARAMETERS: a command of the DevTools protocol.
browser_cdp() {
	browser goog/cdp/execute "$(jq -nc --arg cmd "$1" --argjson params "$2" '{$cmd, $params}')"
}

# browser_open FILE: load a page.
browser_open() {
	browser url "$(jq -nc --arg url "file://$(realpath -- "$1")" '{$url}')" >/dev/null
}

# browser_run SCRIPT [ARG...]: what this body of a function returns, as JSON. ARGs are strings.
browser_run() {
	browser execute/sync "$(jq -nc '$ARGS.positional | {script: .[0], args: .[1:]}' \
		--args -- "$@")"
}

# browser_until WANT SCRIPT: run it until it returns WANT, which is JSON; give up after a minute.
browser_until() {
	local i got

	for ((i = 0; i < 600; i++)); do
		got=$(browser_run "$2")
		[ "$got" != "$1" ] || return 0
		sleep 0.1
	done
	fail "the page says $got instead of $1: ${2##*$'\n'}"
}

# browser_click SELECTOR: as a hand does it: scrolled to, and only if nothing lies on it.
browser_click() {
	local found

	found=$(browser element "$(jq -nc --arg value "$1" '{using: "css selector", $value}')")
	browser "element/$(jq -r '.[]' <<<"$found")/click" >/dev/null
}

# browser_keys KEY...: press and release each: Tab, Enter, Left, Right, Up, Down, or a character.
browser_keys() {
	browser actions "$(jq -nc '
		{Tab: "\ue004", Enter: "\ue007", Left: "\ue012", Up: "\ue013", Right: "\ue014",
			Down: "\ue015"} as $names |
		{actions: [{type: "key", id: "keyboard", actions: [$ARGS.positional[] |
			($names[.] // .) as $value |
			({type: "keyDown", $value}, {type: "keyUp", $value})]}]}' \
		--args -- "$@")" >/dev/null
}

# browser_log browser|performance: what was logged since the last time, as a list.
browser_log() {
	browser se/log "$(jq -nc --arg type "$1" '{$type}')"
}
