#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A report is one page that needs nothing else, tells what the other verbs tell, and believes no
# word of the image.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/cli/bytes.sh"
requires jq

# page_data PAGE: the JSON in a page, which lies on a line of its own.
page_data() {
	grep -A 1 '^<script type="application/json" id="data">$' "$1" | tail -n 1
}

# sums DATA MAP: the clusters of each kind that is there, over all cells of a map.
sums() {
	jq -cS --arg map "$2" '.[$map] | .kinds as $kinds |
		[.cells[][0] | range(0; length; 2) as $i | {kind: $kinds[.[$i]], n: .[$i + 1]}] |
		group_by(.kind) | map({(.[0].kind): (map(.n) | add)}) | add' "$1"
}

# clusters DATA MAP KIND: how many there are of one kind.
clusters() {
	sums "$1" "$2" | jq --arg kind "$3" '.[$kind] // 0'
}

# draw IMAGE STATUS: its page and data, judged as every page is.
draw() {
	rm -f page.html
	expect_exit "$2" q2s-inspect report --out page.html "$1"
	[ ! -s stdout ] || fail "report --out says something on stdout"
	page_data page.html >data.json
	jq -e .filename data.json >/dev/null || fail "the data of $1 is not JSON"
	! grep -v '^{"' page.html | grep -Eiq '(https?:)?//[a-z0-9]|src=|<link|@import|url\(' ||
		fail "the page of $1 refers to something else"
	assert_equal 2 "$(grep -c '<script' page.html)" 'script elements'
	assert_equal 2 "$(grep -c '</script' page.html)" 'ends of script elements'
	[ "$(stat -c %s page.html)" -lt $((2 << 20)) ] || fail "the page of $1 is large"
	if [ "${xmllint:=$(command -v xmllint || echo none)}" != none ]; then
		! xmllint --html --noout page.html 2>&1 |
			grep -Ev 'Tag (main|header|section|aside|footer) invalid' | grep -q 'error :' ||
			fail "the page of $1 is not well-formed"
	fi
}

# --- an image of every kind, made by hand: an L2 table and three clusters of data
q2s-create -q hand.qcow2 1G
l1=$(q2s-inspect info --output=json hand.qcow2 | jq .q2s.header.l1_table_offset)
truncate -s $((0x80000)) hand.qcow2
poke hand.qcow2 "$l1" 8000000000040000
entries=(8000000000050000 0000000000000001 8000000000060001 4040000000070123 8000000000050200
	8000000000900000)
for i in "${!entries[@]}"; do
	poke hand.qcow2 $((0x40000 + 8 * i)) "${entries[i]}"
done
draw hand.qcow2 0
want='{"compressed":1,"data":2,"invalid":1,"unallocated":16378,"zero":1,"zero, preallocated":1}'
assert_equal "$want" "$(sums data.json guest)" 'guest clusters'
want='{"L1 table":1,"L2 table":1,"compressed data":1,"data":2,"free":0,"header":1,'
want+='"past the end of the file":1,"refcount block":1,"refcount table":1}'
assert_equal "$want" "$(sums data.json host | jq -cS '.free = 0')" 'host clusters'
assert_equal '[6,1]' "$(jq -c '.host.cells[5][0]' data.json)" 'a cell of data'
assert_equal '"offset"' "$(jq -c '[.guest.cells[][1][] | select(.[8])[8]][0]' data.json)" 'an invalid entry'
assert_equal '[3,"20000",null,1,"0"]' "$(jq -c '.host.cells[2][1][0]' data.json)" 'a refcount block: its count, and what it counts'
assert_equal '[6,"50000","0",0]' "$(jq -c '.host.cells[5][1][0]' data.json)" 'a cluster with a refcount of 0'
[ "$(jq .check.corruptions data.json)" -gt 0 ] || fail 'no corruption was found'
assert_equal true "$(jq '[.guest.cells[][2]] | add > 0' data.json)" 'findings in the guest map'
q2s-inspect map --raw-entries --output=json hand.qcow2 >map.json
assert_equal "$(jq '[.[] | select(.state == "normal")] | length' map.json)" \
	"$(clusters data.json guest data)" 'data clusters, as map says'

# --output=json is the same data; stdout is the same page; what exists stays without --force
expect_exit 0 q2s-inspect report --output=json hand.qcow2
same='del(.filename, .allocated)' # what is allocated changes when the kernel writes the file back
assert_equal "$(jq -cS "$same" data.json)" "$(jq -cS "$same" stdout)" 'the data by itself'
expect_exit 0 q2s-inspect report hand.qcow2
assert_same_bytes <(sed 's/"allocated":[0-9]*//' stdout) <(sed 's/"allocated":[0-9]*//' page.html)
expect_exit 1 q2s-inspect report --out page.html hand.qcow2
expect_stderr 'page.html'
expect_exit 0 q2s-inspect report --force --out page.html hand.qcow2
cp hand.qcow2 before.qcow2
expect_exit 1 q2s-inspect report --force --out ./hand.qcow2 hand.qcow2
expect_stderr "hand.qcow2: --out: it is the same file as 'hand.qcow2', which is read"
assert_same_bytes before.qcow2 hand.qcow2
if has_terminal; then
	script -qec 'q2s-inspect report hand.qcow2' /dev/null >tty.txt </dev/null || true
	grep -q 'not for a terminal' tty.txt || fail 'a page was sent to a terminal'
fi

# --- a damaged header: the fields are shown, and the maps as far as the geometry is known
cp hand.qcow2 damaged.qcow2
poke damaged.qcow2 72 8000000000000020
draw damaged.qcow2 1
jq -e '(.fault | test("bit 5")) and (.header | length > 10)' data.json >/dev/null || fail 'the fault is not in the page'
poke damaged.qcow2 20 000000ff
draw damaged.qcow2 1
assert_equal '[false,19]' "$(jq -c '[has("host"), (.header | length)]' data.json)" 'without geometry'
for size in 103 512 65537 $((0x48000)); do
	cp hand.qcow2 short.qcow2
	truncate -s "$size" short.qcow2
	got=0
	q2s-inspect report --force --out short.html short.qcow2 2>err || got=$?
	[ "$got" -le 1 ] || fail "an image cut to $size bytes ends with $got"
	[ "$got" = 0 ] || grep -q '^q2s-inspect: short.qcow2: ' err
done
expect_exit 1 q2s-inspect report --out raw.html page.html
[ ! -e raw.html ] || fail 'a page of what is no image'

# --- tables that share clusters: any number of L1 entries lead to one L2 table
q2s-create -q hostile.qcow2 4T
l1=$(q2s-inspect info --output=json hostile.qcow2 | jq .q2s.header.l1_table_offset)
printf '\0\0\0\0\0\1\0\0%.0s' {1..8192} >l1.bin
dd if=l1.bin of=hostile.qcow2 bs=64k seek=$((l1 / 65536)) conv=notrunc status=none
draw hostile.qcow2 0
assert_equal $((1 << 26)) "$(sums data.json guest | jq add)" 'every guest cluster is counted once'

# --- words of the image are words
evil='</script><img src=x onerror=alert(1)><!--&amp;'
q2s-create -q -u -F raw -b "$evil" evil.qcow2 1M 
draw evil.qcow2 0
assert_equal "$evil" "$(jq -r .backing data.json)" 'the name of the backing file'
! grep -q 'onerror=alert(1)>' page.html || fail 'the backing file name is in the page as it is'

# --- any number of header extensions and snapshots, with long names: the page has the first of them
q2s-create -q -o cluster_size=2M many.qcow2 1M
head -c 2000000 /dev/zero | sed 's/\x00\{8\}/q2s:\x00\x00\x00\x00/g' |
	dd of=many.qcow2 bs=64k seek=112 oflag=seek_bytes conv=notrunc status=none
# One record: no L1 table, an ID of 1 byte, a name of 59999 (0xea5f), 16 bytes of extra data.
{
	printf '000000000000\0\1\352\137%020d\0\0\0\20%016d9' 0 0 | tr 0 '\0'
	head -c 59999 /dev/zero | tr '\0' n
} >record
truncate -s 12M many.qcow2
for _ in {1..150}; do
	cat record
done >>many.qcow2
poke many.qcow2 60 000000960000000000c00000
draw many.qcow2 0
assert_equal '[250000,100]' "$(jq -c '.extensions | [.count, (.list | length)]' data.json)" 'header extensions'
assert_equal '[150,100,"9",257]' "$(jq -c '.snapshots | [.count, (.list | length), .list[99].id,
	(.list[99].name | length)]' data.json)" 'snapshots'

# --- one TiB, all of it mapped: bounded in size
requires qemu-img
qemu-img create -q -f qcow2 -o preallocation=metadata,cluster_size=1M large.qcow2 1T
draw large.qcow2 0
assert_equal "{\"data\":$((1 << 20))}" "$(sums data.json guest)" 'one TiB of data'
assert_equal "$((1 << 20))" "$(clusters data.json host data)" 'its host clusters'
[ "$(jq '[.guest, .host | .cells | length] | max' data.json)" -le 4097 ] || fail 'too many cells'
rm large.qcow2

# --- as qemu-img counts it, with subclusters, compressed clusters and a snapshot
requires qemu-io
qemu-img create -q -f qcow2 -o extended_l2=on mixed.qcow2 64M
qemu-io -c 'write 0 3M' -c 'write 4M 4k' -c 'write -z 5M 64k' -c 'write -c 6M 64k' mixed.qcow2 >/dev/null
qemu-img snapshot -c one mixed.qcow2
qemu-io -c 'write -P 7 0 1M' mixed.qcow2 >/dev/null
draw mixed.qcow2 0
want='{"compressed":1,"data":48,"mixed":1,"unallocated":973,"zero":1}'
assert_equal "$want" "$(sums data.json guest)" 'guest clusters with subclusters'
assert_equal 16 "$(clusters data.json host 'data of snapshots only')" 'data of the snapshot alone'
assert_equal 49 "$(clusters data.json host data)" 'data of the disk'
assert_equal '[1,"1","one"]' "$(jq -c '.snapshots | [.count] + (.list[] | [.id, .name])' data.json)" 'the snapshot'
qemu-img check --output=json mixed.qcow2 >check.json
assert_equal "$(jq -c '[."allocated-clusters", ."compressed-clusters", ."total-clusters"]' check.json)" \
	"$(jq -c '.check | [."allocated-clusters", ."compressed-clusters", ."total-clusters"]' data.json)" \
	'the counts of the check'
assert_equal '"3"' "$(jq -c '.guest.cells[64][1][0][7]' data.json)" 'the bitmap of two subclusters'

# --- two states: what diff says, in the data of the page
q2s-create -q --force -w data@0+64k later.qcow2 1M
cp later.qcow2 earlier.qcow2
q2s-edit write --quiet later.qcow2 data@4k+1k:9 data@512k+64k
rm -f page.html
expect_exit 0 q2s-inspect report --out page.html earlier.qcow2 later.qcow2
page_data page.html >data.json
assert_equal earlier.qcow2 "$(jq -r .changes.before data.json)" 'the earlier state'
assert_equal later.qcow2 "$(jq -r .filename data.json)" 'the state that is drawn'
q2s-inspect diff --output=json earlier.qcow2 later.qcow2 >diff.json
assert_equal "$(jq -c 'to_entries | map(select(.value | type == "array") | [.key, (.value | length)])' diff.json)" \
	"$(jq -c '.changes.sections | map([.key, (.items | length)])' data.json)" 'items of each kind'
jq -e '.changes.sections[] | select(.key == "operations").items | length == 2 and .[0].guest == "0"' \
	data.json >/dev/null || fail 'no operation of the page'
assert_equal null "$(q2s-inspect report --output=json later.qcow2 | jq .changes)" 'changes of one state'
q2s-create -q -o cluster_size=4k other.qcow2 1M
expect_exit 1 q2s-inspect report --out page.html --force other.qcow2 later.qcow2
expect_stderr 'not two states of one image'
expect_exit 1 q2s-inspect report --out earlier.qcow2 --force earlier.qcow2 later.qcow2
[ "$(head -c 3 earlier.qcow2)" = QFI ] || fail 'the earlier state was written over'
