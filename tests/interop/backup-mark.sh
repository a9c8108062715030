#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# --mark: layers that know where they belong, until somebody writes to them.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io jq

F=11111111-aaaa-bbbb-cccc-222222222222
M=33333333-aaaa-bbbb-cccc-444444444444

# mark IMAGE: id, parent, valid.
mark() {
	q2s-inspect info --output=json "$1" | jq -r '.q2s.mark | "\(.id) \(.parent) \(.valid)"'
}

# A full image and two differences; the id in both forms, and a random one.
head -c 3000320 /dev/urandom >full.raw
cp full.raw mon.raw
printf monday | dd of=mon.raw bs=1 seek=1000000 conv=notrunc status=none
cp mon.raw tue.raw
printf tuesday | dd of=tue.raw bs=1 seek=2000000 conv=notrunc status=none
q2s-stream --mark=$F full.raw full.qcow2
q2s-stream --mark=${M//-/} -b full.qcow2 -F qcow2 mon.raw mon.qcow2
expect_exit 0 q2s-stream --mark -b mon.qcow2 -F qcow2 tue.raw tue.qcow2
expect_silence
assert_equal "$F null true" "$(mark full.qcow2)" "the mark of the full image"
assert_equal "$M $F true" "$(mark mon.qcow2)" "the mark of the first difference"
T=$(mark tue.qcow2)
T=${T%% *}
assert_equal "$T $M true" "$(mark tue.qcow2)" "the mark of the second one"
q2s-stream --mark full.raw other.qcow2
[ "$(mark other.qcow2)" != "$T null true" ] || fail "two random ids are the same"
# Nothing for QEMU to complain about, and no word of it where none was asked for.
for name in full mon tue; do
	qemu_check_clean $name.qcow2
	qemu_same_content $name.raw $name.qcow2
	qemu-img info $name.qcow2 >/dev/null
	expect_exit 0 q2s-inspect check $name.qcow2
	expect_stdout 'No errors'
	grep -q note stdout && fail "a note about a good mark: $(cat stdout)"
done
q2s-stream full.raw plain.qcow2
assert_equal 'null null null' "$(mark plain.qcow2)" "the mark of an image without one"
grep -q 'mark of the layer' plain.qcow2 && fail "an image without a mark speaks of it"

# Whoever shows an image names it.
q2s-inspect info mon.qcow2 | grep -q " $M, parent $F\$" || fail "info"
q2s-inspect dump --only extensions mon.qcow2 | grep -q "0x7132736d .*mark.*: $M, parent $F\$" || fail "dump"
q2s-inspect hex mon.qcow2 >hex
grep -q "mark, id of the layer *$M\$" hex || fail "hex: $(cat hex)"
grep -q "mark, id of the parent *$F\$" hex || fail "hex: $(cat hex)"
at=$(q2s-inspect info --output=json mon.qcow2 |
	jq '.q2s.extensions[] | select(.type == "0x7132736d").offset')
q2s-inspect explain --host $((at + 8)) mon.qcow2 | grep -q 'mark, id of the layer' || fail "explain"
expect_exit 0 q2s-inspect safety full.qcow2
expect_stdout "note *mark .*private to q2s.*$F, no parent named"

# --- layers -------------------------------------------------------------------------------------

mkdir moved
cp full.qcow2 moved/1
cp mon.qcow2 moved/2
cp tue.qcow2 moved/3
# Valid marks decide, whatever the files are called now.
expect_exit 0 q2s-stream -O raw --layers moved/1,moved/2,moved/3 out.raw
expect_silence
assert_same_bytes tue.raw out.raw
q2s-stream -O raw --layers moved/1,moved/2 | cmp - mon.raw
# A raw disk and an image without a mark may be any.
for lowest in full.raw plain.qcow2; do
	expect_exit 0 q2s-stream -O raw --layers $lowest,moved/2,moved/3 out.raw
	expect_stderr "^q2s-stream: warning: $lowest: has no mark; whether it is $F, on which moved/2 belongs, cannot"
	assert_equal 1 "$(wc -l <stderr)" "lines of warnings"
	assert_same_bytes tue.raw out.raw
done

refused() {
	local why=$1

	shift
	expect_exit 1 q2s-stream "$@"
	expect_stderr "$why"
	[ ! -e none ] || fail "an image is there"
}
layers_refused() {
	refused "$1" --layers "$2" none
}
layers_refused "moved/2: mark: wrong order: .*\($M\) is 'moved/1' \($F\), and below it is 'moved/3' \($T\)" \
	moved/1,moved/3,moved/2
layers_refused "moved/3: mark: .*\($T\) is $M, and below it is 'moved/1' \($F\): a layer is missing" \
	moved/1,moved/3
layers_refused "moved/2: mark: .*\($M\) is $F, and below it is 'other.qcow2' \(.*\): a layer is missing" \
	other.qcow2,moved/2
cp moved/2 moved/twin
layers_refused "moved/twin: mark: the same layer twice: 'moved/2' has the id $M" \
	moved/1,moved/2,moved/twin
# The order shows also with a layer between that has no mark.
layers_refused "moved/2: mark: wrong order: .*\($M\) is 'moved/1' \($F\), and below it is 'plain.qcow2' \(no valid mark\)" \
	moved/1,plain.qcow2,moved/2
# A full image has nothing below it: it would show through.
layers_refused "other.qcow2: mark: a full image above another layer: this one \(.*\) has no parent" \
	moved/1,moved/2,other.qcow2
layers_refused 'other.qcow2: mark: a full image above' full.raw,other.qcow2
# Layers that name no parent in the header, as one goes by --mark-parent.
q2s-stream --mark --mark-parent $F --backing-name none -b full.qcow2 -F qcow2 mon.raw moved/nameless
q2s-stream -O raw --layers moved/1,moved/nameless | cmp - mon.raw
layers_refused 'moved/nameless: mark: a layer is missing: the parent of this one \(.*\) is .*, and it is the lowest' \
	moved/nameless
layers_refused "moved/nameless: mark: wrong order: .* is 'moved/1' \($F\), and below it is no image" \
	moved/nameless,moved/1

# --- by name ------------------------------------------------------------------------------------

# Another image took the place of a parent: what this would show no disk ever held.
cp full.qcow2 kept.qcow2
cp other.qcow2 full.qcow2
refused "mon.qcow2: mark: .*\($M\) is $F, and below it is '.*full.qcow2' \(.*\)" -f qcow2 mon.qcow2 none
refused "mon.qcow2: mark: .*\($M\) is $F" --mark -b mon.qcow2 -F qcow2 tue.raw none
expect_exit 1 q2s-stream --compare -f qcow2 mon.qcow2 mon.raw
cp kept.qcow2 full.qcow2
q2s-stream -O raw -f qcow2 tue.qcow2 | cmp - tue.raw

# --- the parent ---------------------------------------------------------------------------------

refused "full.qcow2: --mark-parent: is marked $F, and not $M" \
	--mark --mark-parent $M -b full.qcow2 -F qcow2 mon.raw none
refused "full.qcow2: --mark: has the id $F already" --mark=$F -b full.qcow2 -F qcow2 mon.raw none
q2s-stream --mark=$T --mark-parent $F -b full.qcow2 -F qcow2 mon.raw out.qcow2
assert_equal "$T $F true" "$(mark out.qcow2)" "the mark of a difference with --mark-parent"
# A raw disk has no mark, even if a guest wrote one.
q2s-stream --mark=$T -b full.qcow2 -F raw kept.qcow2 -f raw out.qcow2
assert_equal "$T null true" "$(mark out.qcow2)" "the mark over a raw disk"
# Through a pipe, both ways; compressed; in the smallest cluster; with bitmaps.
q2s-stream --mark=$T - piped.qcow2 <full.raw
q2s-stream --mark=$T - <full.raw | cat >out.qcow2
for name in piped out; do
	qemu_check_clean $name.qcow2
	qemu_same_content full.raw $name.qcow2
	assert_equal "$T null true" "$(mark $name.qcow2)" "the mark of $name.qcow2"
done
q2s-stream --mark=$T -z -c 512 --bitmap b -b full.qcow2 -F qcow2 tue.raw out.qcow2
qemu_check_clean out.qcow2
qemu_same_content tue.raw out.qcow2
assert_equal "$T $F true" "$(mark out.qcow2)" "the mark in a small cluster"
# A changed disk whose parent is elsewhere.
cp plain.qcow2 vm.qcow2
qemu-img bitmap --add vm.qcow2 mon
qemu-io -c 'write -P 7 1M 64k' vm.qcow2 >/dev/null
q2s-stream --changed=bitmap:mon --backing-name none --mark --mark-parent $F vm.qcow2 moved/changed
qemu-img convert -O raw vm.qcow2 vm.raw
q2s-stream -O raw --layers moved/1,moved/changed | cmp - vm.raw
refused "moved/changed: mark: .* is 'moved/1' \($F\), and below it is 'moved/2' \($M\)" \
	--layers moved/1,moved/2,moved/changed none

# --- parts --------------------------------------------------------------------------------------

q2s-stream --mark=$T full.raw whole.qcow2
for k in 1 2 3; do
	q2s-stream --mark=$T --part $k/3 full.raw -
done | cmp - whole.qcow2
q2s-stream --save-plan plan --mark --part 1/2 full.raw - >parts.qcow2
q2s-stream --plan plan --part 2/2 full.raw - >>parts.qcow2
qemu_check_clean parts.qcow2
qemu_same_content full.raw parts.qcow2
[[ $(mark parts.qcow2) == *' null true' ]] || fail "a kept plan loses the mark"
q2s-stream --plan plan full.raw again.qcow2
assert_same_bytes parts.qcow2 again.qcow2
for part in '--part 1/2' '--resume 1000' '--range 0:1000'; do
	# shellcheck disable=SC2086 # two words
	refused 'each run would choose another one.*--mark=ID.*--save-plan' --mark $part full.raw none
done
assert_equal "$(stat -c %s whole.qcow2)" \
	"$(q2s-stream --measure --output=json --mark full.raw | jq .length)" "length"

# --- not valid any more -------------------------------------------------------------------------

qemu-io -c 'write -P 1 0 512' full.qcow2 >/dev/null
assert_equal "$F null false" "$(mark full.qcow2)" "the mark after a write"
qemu_check_clean full.qcow2
expect_exit 0 q2s-inspect check full.qcow2
expect_stdout 'NOTE extension-mark-stale'
q2s-inspect hex full.qcow2 | grep -q "mark that is not valid, id of the layer *$F" || fail "hex"
cp full.qcow2 moved/written
expect_exit 0 q2s-stream -O raw --layers moved/written,moved/2,moved/3 out.raw
expect_stderr "^q2s-stream: warning: moved/written: .* marked $F; whether moved/2 belongs on it cannot be told"
expect_exit 0 q2s-stream --mark -b full.qcow2 -F qcow2 mon.raw out.qcow2
expect_stderr "^q2s-stream: warning: full.qcow2: .* marked $F; the new layer names no parent"
[[ $(mark out.qcow2) == *' null true' ]] || fail "a parent that was written to is named"
refused "full.qcow2: --mark-parent: was opened for writing since it was marked $F" \
	--mark --mark-parent $F -b full.qcow2 -F qcow2 mon.raw none
# By our own tools too.
q2s-edit write kept.qcow2 data@0+512:1
assert_equal "$F null false" "$(mark kept.qcow2)" "the mark after a write of ours"
qemu_check_clean kept.qcow2

# --- what is refused ----------------------------------------------------------------------------

for id in x 1 '' 0000000000000000000000000000000 00000000000000000000000000000000 "$F-"; do
	refused "--mark: '$id' is not an id" --mark="$id" full.raw none
	refused "--mark-parent: '$id' is not an id" --mark --mark-parent "$id" full.raw none
done
refused 'needs --mark' --mark-parent $F full.raw none
refused 'a difference that names no parent' --mark --backing-name none -b full.raw -F raw mon.raw none
refused 'a difference that names no parent' --mark --backing-name none --changed=bitmap:mon vm.qcow2 none
refused 'its own parent' --mark=$F --mark-parent $F full.raw none
refused 'contradict' --mark -O raw full.raw none
refused 'contradict' --mark --plan plan full.raw none
refused 'contradict' --mark --compare full.raw full.raw
refused 'external data file' --mark -R full.raw none
refused 'needs version 3' --mark -o compat=0.10 full.raw none
