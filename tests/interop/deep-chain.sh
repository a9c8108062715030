#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# As many layers as QEMU reads; and where one of them cannot be opened, what is known is still shown.

. "$Q2S_SRC/tests/cli/lib.sh"

requires qemu-img jq
# What each version of qemu-img map tells.
older='map(del(.compressed, .present))'
q2s-create -q -o cluster_size=512 -w 'data@0+64k:1' layer000 1M
q2s-create -q -o cluster_size=512 -b layer000 -F qcow2 layer001
for ((i = 1; i < 399; i++)); do
	printf -v name 'layer%03d' $i
	printf -v next 'layer%03d' $((i + 1))
	sed "s/layer000/$name/" layer001 >$next
done
q2s-create -q -b layer399 -F qcow2 -w 'data@64k+64k:2' top
qemu-img convert -f qcow2 -O raw top want
q2s-stream -f qcow2 -O raw top got
assert_same_bytes want got
qemu-img map --output=json -f qcow2 top >want.map
expect_exit 0 q2s-inspect map --follow any --output=json top
assert_equal "$(jq -cS "$older" want.map)" "$(jq -cS "$older" stdout)" "the map"
expect_exit 0 q2s-inspect info --backing-chain --follow any --output=json top
assert_equal 401 "$(jq length stdout)" "layers of info"

# too_deep CMD...: with few descriptors it fails, but shows what it knows.
too_deep() {
	expect_exit 1 bash -c 'ulimit -n 50 && exec "$@"' - "$@"
	expect_stderr 'backing file.*cannot be opened: Too many open files'
}
too_deep q2s-inspect info --backing-chain --follow any --output=json top
[ "$(jq length stdout)" -gt 20 ] || fail "info shows $(jq length stdout) layers"
too_deep q2s-inspect info --backing-chain --follow any top
[ "$(grep -c 'layer3' stdout)" -gt 20 ] || fail "info shows few layers"
too_deep q2s-inspect map --follow any --output=json top
jq -e 'any(.[]; .start == 65536 and .data and .depth == 0) and
	any(.[]; .start == 0 and (.present or .zero | not))' stdout >/dev/null ||
	fail "the map: $(cat stdout)"
too_deep q2s-inspect map --follow any top
expect_stdout 'unallocated here'
too_deep q2s-stream -f qcow2 top out
[ ! -e out ] || fail "there is an output"

# So with one layer that is lost, or that must not be opened.
mkdir other
q2s-create -q -w 'data@0+64k:3' other/base 1M
q2s-create -q -b other/base -F qcow2 -w 'data@64k+64k:2' mid
q2s-create -q -b mid -F qcow2 over
expect_exit 0 q2s-inspect map --follow beside over
rm other/base
expect_exit 1 q2s-inspect map --follow beside --output=json over
expect_stderr 'No such file'
jq -e 'any(.[]; .start == 65536 and .data and .depth == 1)' stdout >/dev/null ||
	fail "the map: $(cat stdout)"
expect_exit 1 q2s-inspect explain --follow beside 0 over
expect_stdout 'Layer 1: .*mid'
expect_exit 0 q2s-inspect explain --follow beside 64k over

# The recorded format counts more than the driver of a json: name, for QEMU and for all tools.
q2s-create -q -w 'data@0+64k:4' inner 1M
qemu-img create -q -u -f qcow2 -F raw \
	-b 'json:{"driver":"qcow2","file":{"driver":"file","filename":"inner"}}' json 1M
if qemu-img convert -f qcow2 -O raw json want 2>/dev/null; then
	q2s-stream -f qcow2 -O raw json got
	assert_same_bytes want got
fi
expect_exit 0 q2s-inspect info --backing-chain --follow any --output=json json
assert_equal '["qcow2","raw"]' "$(jq -c 'map(.format)' stdout)" "the formats"

# A raw layer's size in sectors, as QEMU has it.
head -c 1000 /dev/urandom >odd
q2s-create -q -b odd -F raw odd.qcow2
assert_equal 1024 "$(q2s-inspect info --output=json odd.qcow2 | jq '.["virtual-size"]')" "the size"
q2s-create -q -u -b odd -F raw long.qcow2 64k
qemu-img map --output=json -f qcow2 long.qcow2 >want.map
expect_exit 0 q2s-inspect map --follow any --output=json long.qcow2
assert_equal "$(jq -cS "$older" want.map)" "$(jq -cS "$older" stdout)" "the map of an odd layer"

# The advice helps.
mkdir a b
q2s-create -q b/base 1M
q2s-create -q -b ../b/base -F qcow2 a/over
q2s-create -q a/base 1M
q2s-create -q -b base -F qcow2 a/near
for image in a/over a/near; do
	expect_exit 1 q2s-stream $image out
	advice=$(sed -n 's/.*; \(--follow [a-z]*\) would allow it$/\1/p' stderr)
	# shellcheck disable=SC2086 # two words
	expect_exit 0 q2s-stream $advice $image out
done
assert_equal '--follow beside' "$advice" "the least that helps"
