#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The page of `report` in a browser: it shows what the other verbs say, leads from place to place,
# asks nobody for anything, and takes the words of an image for words.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/cli/browser.sh"

questions=$(cat "$Q2S_SRC/tests/cli/inspect-report-browser.js")

# ask EXPRESSION: its value in the page, with the functions of inspect-report-browser.js.
ask() {
	browser_run "$questions return $1"
}

# make IMAGE: from a spec on stdin (doc/corpus).
make() {
	"$Q2S_BUILD/tests/hostile/make_image" /dev/stdin "$1"
}

# show IMAGE [STATUS]: open its page in the browser.
show() {
	expect_exit "${2:-0}" q2s-inspect report --force --out page.html -- "$1"
	[ "$(stat -c %s page.html)" -lt $((2 << 20)) ] || fail "the page of $1 is large"
	browser_open page.html
}

hex() {
	printf '%x' "$1"
}

# click_link MAP OFFSET: the panel's link to there.
click_link() {
	browser_click "#detail a[href='#$1-$(hex "$2")']"
}

# arrived MAP OFFSET TITLE: wait until that place is chosen, and the panel is about it.
arrived() {
	browser_until "$(jq -nc --arg hash "#$1-$(hex "$2")" --arg map "$1" --arg title "$3" \
		--argjson cell $(($2 >> 16)) '[$hash, [[$map, $cell]], $title]')" \
		"$questions return chosen()"
}

# quiet: since the last time no page complained, or asked for anything but itself.
quiet() {
	assert_equal '[]' "$(browser_log browser | jq -c 'map(.message)')" 'what the console says'
	assert_equal '[]' "$(browser_log performance | jq -c '[.[].message | fromjson.message |
		select(.method == "Network.requestWillBeSent").params.request.url |
		select(test("^file:///.*/page\\.html(#.*)?$") | not)]')" 'requests'
	assert_equal 0 "$(ask 'performance.getEntriesByType("resource").length')" 'resources'
}

# readable: in a bright and in a dark room.
readable() {
	local scheme

	for scheme in light dark; do
		browser_cdp Emulation.setEmulatedMedia "$(jq -nc --arg value $scheme \
			'{features: [{name: "prefers-color-scheme", $value}]}')" >/dev/null
		assert_equal '[]' "$(ask 'hardToRead()')" "text that is hard to read in $scheme"
	done
}

# narrow: in a narrow window nothing sticks out, and nothing is cut off in a box of its own.
narrow() {
	local width

	for width in 360 500; do
		browser_cdp Emulation.setDeviceMetricsOverride "{\"width\": $width, \"height\": 700,
			\"deviceScaleFactor\": 1, \"mobile\": false}" >/dev/null
		browser_until true "return innerWidth === $width"
		browser_until true 'return document.documentElement.scrollWidth <= innerWidth'
		browser_until '[]' "$questions return cutOff()"
	done
	browser_cdp Emulation.clearDeviceMetricsOverride '{}' >/dev/null
}

browser_start

# --- an image with entries of every kind; each cluster is a cell
make rich.qcow2 <<'END'
title  every kind of extended entry
image extended_l2=on size=32M
data 0..3
zero 4
zero-alloc 5
kept 6
compressed 7 8
subclusters 9 0xf 0xf00
subclusters 10 0x55555555 0xaaaaaaaa
data 300..310
snapshot one
data 0 4
bitmap dirty 64k
END
show rich.qcow2
q2s-inspect map --raw-entries --output=json rich.qcow2 >map.json
q2s-inspect dump --only=l2 --output=json rich.qcow2 | jq '.l2[0].entries' >l2.json
q2s-inspect info --output=json rich.qcow2 | jq .q2s.header >header.json
q2s-inspect report --output=json rich.qcow2 >report.json

want=$(jq -c --slurpfile l2 l2.json '
	{"normal": "D", "compressed": "C", "zero-plain": "0", "zero-alloc": "0",
		"unallocated": ".", "unallocated-alloc": "."} as $letters |
	($l2[0] | map({"\(.index)": .at}) | add) as $entries |
	group_by(.l2) | map($entries["\(.[0].l2)"] as $at |
		if $at == null then [""]
		else [(map($letters[.state]) | add), $at, (.[0].offset | values)] end)' map.json)
assert_equal 512 "$(jq length <<<"$want")" 'guest clusters in the map'
assert_equal "$want" "$(ask 'clusters()')" 'guest clusters as drawn'

# A cell of the data is [[kind, 1], samples, findings]; the last one is empty: nothing lies past
# the end of the file.
for map in host guest; do
	jq -c --arg map $map '.[$map] | .kinds as $kinds |
		[.cells[][0] | select(. != []) | $kinds[.[0]]]' report.json >kinds.json
	assert_equal "$(jq length kinds.json)" "$(ask "cells('#$map .cell').length")" "$map cells"
	assert_equal "$(jq -c 'group_by(.) | map([.[0], length])' kinds.json)" \
		"$(ask "legendOf('$map')" | jq -c sort)" "the legend of the $map map"
done
assert_equal "$(jq -c 'to_entries | map([.key, .value])' header.json)" "$(ask 'fields()')" 'header'

# --- by mouse: a guest cluster, its L2 entry, its host cluster, and back
guest=$((9 << 16))
at=$(jq '.[] | select(.index == 9).at' l2.json)
host=$(jq '.[] | select(.index == 9).offset' l2.json)
l1=$(jq .l1_table_offset header.json)
table_title="Host cluster 0x$(hex $((at & ~0xffff)))"
browser_click '#guest .cell[data-i="9"]'
arrived guest $guest 'Guest cluster 0x90000'
assert_equal "$(jq -nc --argjson at "[$l1, $at, $host]" '$at | map(. / 65536 | floor) | sort')" \
	"$(ask 'cells("#host .kin")' | jq -c 'map(.[1]) | sort')" 'cells that it leads to'
click_link host "$at"
arrived host "$at" "$table_title"
assert_equal "\"L2 entry 9 at 0x$(hex "$at")\"" "$(ask 'text("#detail h3:last-of-type")')" entry
click_link host "$host"
arrived host "$host" "Host cluster 0x$(hex "$host")"
browser refresh >/dev/null
arrived host "$host" "Host cluster 0x$(hex "$host")"
click_link guest $guest
arrived guest $guest 'Guest cluster 0x90000'
browser back >/dev/null
arrived host "$host" "Host cluster 0x$(hex "$host")"
for _ in {1..3}; do
	browser back >/dev/null
done
browser_until '["",[["guest",0]],"Guest cluster 0x0"]' "$questions return chosen()"

# --- by keyboard: an offset typed, the panel's second link, and steps in the map, where Tab enters
# at one cell
browser_click 'form[data-space=guest] input'
browser_keys 0 x 9 1 2 3 4 Enter
arrived guest 0x91234 'Guest cluster 0x90000'
browser_keys Tab Tab Tab Enter # the subclusters, the L1 entry, the L2 entry
arrived host "$at" "$table_title"
browser_click '#guest .cell[data-i="9"]'
arrived guest $guest 'Guest cluster 0x90000'
browser_keys Right Down Up Enter
arrived guest 0xa0000 'Guest cluster 0xa0000'
assert_equal '[["guest",10]]' "$(ask 'cells("#guest [tabindex=\"0\"]")')" 'where Tab enters'

# --- the chosen byte is marked in its subcluster, and its host byte named; subclusters can be chosen
browser_open page.html
browser_click 'form[data-space=guest] input'
browser_keys 0 x 9 1 2 3 4 Enter
arrived guest 0x91234 'Guest cluster 0x90000'
q2s-inspect explain --output=json 0x91234 rich.qcow2 >explain.json
assert_equal "[$(jq '.layers[0].steps[] | select(.id == "split").subcluster' explain.json)]" "$(ask 'here()')" \
	'the marked subcluster'
assert_equal "[[\"host\",$(jq '.result."host-offset"' explain.json)]]" "$(ask 'byteLinks()')" 'the host byte'
browser_keys Tab Right Down Enter
arrived guest $((0x90000 + 11 * 2048)) 'Guest cluster 0x90000'
assert_equal '[11]' "$(ask 'here()')" 'the subcluster that was chosen by keyboard'
assert_equal '"11"' "$(ask 'document.activeElement.querySelector("small").textContent')" 'where the keyboard is'
ask 'text("#detail .way li:last-child")' | grep -q 'preallocated, but not read: subcluster 11 is zero' ||
	fail "the space of a zero subcluster: $(ask 'text("#detail .way li:last-child")')"
browser_click '#detail .sub:nth-child(3)'
arrived guest $((0x90000 + 2 * 2048)) 'Guest cluster 0x90000'
browser_click '#guest .cell[data-i="10"]'
arrived guest 0xa0000 'Guest cluster 0xa0000'

browser_click '#guest-legend [data-kind=mixed] button'
assert_equal '[["guest",9],["guest",10]]' "$(ask 'cells(".picked")')" 'cells of one kind'
readable
narrow
quiet

# --- what changed since an earlier state: as diff says it, and a mark at each cell
cp rich.qcow2 before.qcow2
q2s-edit write --quiet rich.qcow2 data@1M+1k data@0x91000+1k discard@64k+64k 2>stderr ||
	fail "q2s-edit: $(cat stderr)"
q2s-inspect diff --output=json before.qcow2 rich.qcow2 >diff.json
expect_exit 0 q2s-inspect report --force --out page.html before.qcow2 rich.qcow2
browser_open page.html
assert_equal "$(jq -c '.operations | map([.text, ."guest-offset"]) | sort' diff.json)" \
	"$(ask 'changes().map(([words, places]) => [words, places[0][1]])' |
		jq -c --slurpfile diff diff.json 'map([.[0] as $words | ($diff[0].operations[].text |
			select(. as $text | $words | contains($text))), .[1]] | [.[0], .[-1]]) | sort')" 'operations'
assert_equal "$(jq -c '[.operations[]."guest-offset" / 65536 | floor] | unique' diff.json)" \
	"$(ask 'cells("#guest .cell.changed").map((it) => it[1])' | jq -c unique)" 'changed cells of the disk'
assert_equal "$(jq -c '[.clusters[] | range(.clusters) as $i | ."host-offset" / 65536 + $i] | unique' diff.json)" \
	"$(ask 'cells("#host .cell.changed").map((it) => it[1])' | jq -c unique)" 'changed cells of the file'
readable
narrow
quiet
expect_exit 1 q2s-inspect report --force --out page.html nowhere rich.qcow2
expect_stderr '^q2s-inspect: nowhere: '
mv before.qcow2 rich.qcow2

# --- findings: in the list, in the maps, and linked
make broken.qcow2 <<'END'
title  wrong in several places
image size=4M
data 0..5
leak 2
set l2[0][1].offset = @data[0]
set l2[0][2] = old | 2
set l2[0][3].offset = 0x7000000000
set refcount[3] = 2
END
show broken.qcow2
q2s-inspect check --output=json broken.qcow2 >check.json && fail 'broken.qcow2 is sound'
jq -c '.findings | map([.severity, .id, ["host", ."host-offset"],
	(."guest-offset" | values | ["guest", .])])' check.json >findings.json
[ "$(jq length findings.json)" -gt 4 ] || fail "too few findings: $(cat findings.json)"
assert_equal "$(cat findings.json)" "$(ask 'findings()')" 'the findings'
assert_equal "$(jq -c 'map(.[2:][] | [.[0], (.[1] / 65536 | floor)]) | unique' findings.json)" \
	"$(ask 'cells(".cell.marked")' | jq -c unique)" 'marked cells'
browser_click '#findings li a[href^="#guest"]'
browser_until "$(jq 'map(select(.[3]))[0][1]' findings.json)" "$questions return text('#detail b')"
readable
narrow
quiet

# --- words of the image, and its name; U+202E, U+2028 and an escape among them
evil=$'<img/src=x/onerror=window.pwned=1>\xe2\x80\xae\xe2\x80\xa8\e[2J'
plain='<img/src=x/onerror=window.pwned=1>\u202e\u2028\u001b[2J'
make words.qcow2 <<END
title  hostile words
image backing_file=</script>$evil backing_format=raw
data 0
snapshot $evil
bitmap $evil 64k
extension 0x6803f857 0 9 $(printf '%s' "${evil:0:46}" | od -An -v -tu1 | tr '\n' ' ') 0 0 0 0 0 0
END
mv words.qcow2 $'<img src=x onerror=window.pwned=1>\xe2\x80\xae\e[2J\xff.qcow2'
show ./*onerror*.qcow2
assert_equal './<img src=x onerror=window.pwned=1>\u202e\u001b[2J'$'\xef\xbf\xbd.qcow2' \
	"$(ask 'text("h1")' | jq -r .)" 'the file name'
assert_equal "backing file</script>$plain" "$(ask 'text("#names")' | jq -r .)" 'the backing file'
ask 'text("#rest")' >rest.json
assert_equal 2 "$(jq --arg plain "$plain" 'split($plain) | length - 1' rest.json)" \
	'the names of snapshot and bitmap'
grep -qF 'incompatible 9: <img/src=x/onerror=window.pwned=1>' rest.json ||
	fail "no name of a feature: $(cat rest.json)"
assert_equal '[true,2,0]' "$(ask '[window.pwned === undefined, document.scripts.length,
	all("img, svg, iframe, link").length]')" 'elements'
narrow
quiet

# --- a header that is refused: no maps, but the fields
q2s-create -q refused.qcow2 1G
printf '\377' | dd of=refused.qcow2 bs=1 seek=23 conv=notrunc status=none
show refused.qcow2 1
assert_equal '["refused",255]' "$(ask '[text(".fact b"), fields().find(([name]) =>
	name === "cluster_bits")[1]]')" 'a refused header'
q2s-create -q --force refused.qcow2 1G
truncate -s 100 refused.qcow2 # within the header
show refused.qcow2 1
assert_equal '["refused",13]' "$(ask '[text(".fact b"), fields().length]')" 'a header that is cut'
quiet

# --- 1 TiB, all of it mapped, and 20,000 places in it: pages of bounded size that answer a click
q2s-create -q -o preallocation=metadata mapped.qcow2 1T
for ((i = 0; i < 20000; i++)); do
	echo "zero-alloc@$((i * 838 * 65536))+65536"
done >places
q2s-create -q --write-file=places scattered.qcow2 1T
for image in mapped scattered; do
	show $image.qcow2
	browser_click '#guest .cell[data-i="4000"]'
	browser_until '[["guest",4000]]' "$questions return chosen()[1]"
	browser_click '#detail .way li:nth-child(2) a'
	browser_until '"host"' "$questions return chosen()[1][0][0]"
	narrow
	quiet
	echo "$image: $(stat -c %s page.html) bytes, drawn in $(ask 'Math.round(
		performance.getEntriesByType("navigation")[0].domComplete)') ms"
done

# --- and this test hears what a page says: a request that it must not make
browser_run 'const image = new Image();
	image.src = "http://127.0.0.1:9/";
	document.body.append(image);' >/dev/null
for ((i = 0; i < 600; i++)); do
	[ "$(browser_log browser)" = '[]' ] || exit 0
	sleep 0.1
done
fail 'a forbidden request is not heard of'
