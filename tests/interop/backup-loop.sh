#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The whole loop against a running qemu-storage-daemon: an NBD client writes, zeroes and trims; each
# round the disk is frozen by QMP, the difference is taken while the client goes on writing, and QEMU
# makes its own incremental backup of the same moment as the control. At the end every round is
# restored from its layers. Q2S_ROUNDS=20 makes it longer.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/backup-lib.sh"
requires HAVE_LIBNBD qemu-img qemu-io qemu-storage-daemon socat sha256sum

rounds=${Q2S_ROUNDS:-5}
size=$((24 << 20))
RANDOM=${Q2S_SEED:-8675}

# --- the machine --------------------------------------------------------------------------------

# start_daemon: serves vm.qcow2 writable as export "disk"; QMP in ${QMP[@]}.
start_daemon() {
	local i

	qemu-storage-daemon --blockdev file,filename=vm.qcow2,node-name=vf,discard=unmap \
		--blockdev qcow2,file=vf,node-name=vm,discard=unmap \
		--nbd-server "addr.type=unix,addr.path=$tmp/nbd.sock" \
		--export nbd,id=disk,node-name=vm,name=disk,writable=on \
		--chardev "socket,path=$tmp/qmp.sock,server=on,wait=off,id=qmp" \
		--monitor chardev=qmp 2>daemon.log &
	daemon=$!
	for ((i = 0; i < 500; i++)); do
		[ ! -S "$tmp/qmp.sock" ] || [ ! -S "$tmp/nbd.sock" ] || break
		sleep 0.02
	done
	coproc QMP { socat - "UNIX-CONNECT:$tmp/qmp.sock" 2>/dev/null; }
	qmp '{"execute": "qmp_capabilities"}'
}

stop_daemon() {
	local pid=$daemon

	daemon=
	kill "$pid"
	wait "$pid" || true
	wait "$QMP_PID" 2>/dev/null || true
	rm -f "$tmp/qmp.sock" "$tmp/nbd.sock"
}
daemon=
stop_what_runs() {
	[ -z "$daemon" ] || kill "$daemon"
}
cleanup_fn stop_what_runs

events=
# qmp COMMAND: waits for its answer, which must be a good one; keeps what happened meanwhile.
qmp() {
	local line

	printf '%s\n' "$1" >&"${QMP[1]}"
	while read -r -t 120 line <&"${QMP[0]}"; do
		case $line in
		*'"return"'*) return ;;
		*'"error"'*) fail "QMP: $1: $line" ;;
		*) events+=$line ;;
		esac
	done
	fail "QMP: $1: no answer"
}

# wait_event NAME JOB
wait_event() {
	local line

	until [[ $events == *"\"$2\""*"\"event\": \"$1\""* || $events == *"\"event\": \"$1\""*"\"$2\""* ]]; do
		read -r -t 120 line <&"${QMP[0]}" || fail "QMP: $1 of $2 does not come"
		events+=$line
	done
	events=
}

# guest COUNT: what a machine does to its disk.
guest() {
	local commands=() i at length

	for ((i = 0; i < $1; i++)); do
		at=$(((RANDOM * 32768 + RANDOM) % (size / 512) * 512))
		length=$((512 * (1 + RANDOM % (RANDOM % 4 ? 16 : 800))))
		[ $((at + length)) -le $size ] || length=$((size - at))
		case $((RANDOM % 6)) in
		0) commands+=(-c "write -z $at $length") ;;
		1) commands+=(-c "discard $at $length") ;;
		2) commands+=(-c "write -P 0 $at $length") ;;
		*) commands+=(-c "write -P $((RANDOM % 255 + 1)) $at $length") ;;
		esac
	done
	qemu-io -d unmap -f raw "${commands[@]}" "nbd+unix:///disk?socket=$tmp/nbd.sock" >/dev/null
}

# --- one round ----------------------------------------------------------------------------------

node() {
	printf '{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "%s", "file": {"driver": "file", "filename": "%s"}%s}}' \
		"$1" "$2" "$3"
}

action() {
	printf '{"type": "%s", "data": {%s}}' "$1" "$2"
}

# freeze ACTION...: from now on node fl shows this moment, while the client goes on.
freeze() {
	local actions

	rm -f fl.qcow2
	qemu-img create -q -f qcow2 fl.qcow2 $size
	qmp "$(node fl fl.qcow2 ', "backing": "vm"')"
	actions=$(printf '%s, ' "$@")
	qmp "{\"execute\": \"transaction\", \"arguments\": {\"actions\": [$actions
		$(action blockdev-backup '"job-id": "fz", "device": "vm", "target": "fl", "sync": "none"')]}}"
}

# pull BITMAPS: export what is frozen.
pull() {
	qmp "{\"execute\": \"block-export-add\", \"arguments\": {\"type\": \"nbd\", \"id\": \"pull\", \"node-name\": \"fl\", \"name\": \"pull\"$1}}"
}
pull_uri="nbd+unix:///pull?socket=$tmp/nbd.sock"

thaw() {
	qmp '{"execute": "block-export-del", "arguments": {"id": "pull", "mode": "hard"}}'
	qmp '{"execute": "block-job-cancel", "arguments": {"device": "fz"}}'
	wait_event BLOCK_JOB_CANCELLED fz
	qmp '{"execute": "blockdev-del", "arguments": {"node-name": "fl"}}'
}

# remember NAME: the digest of what is frozen, as QEMU reads it.
remember() {
	qemu-img convert -f raw -O raw "$pull_uri" truth.raw
	sha256sum <truth.raw >"truth.$1"
}

# The ways of taking a difference, over the backup before: one a round.
take() {
	local below=$2 what=--changed=qemu:dirty-bitmap:b$3

	case $(($1 % 4)) in
	0) q2s-stream "$what" -b "$below" -F qcow2 "$pull_uri" "inc.$1.qcow2" ;;
	1) q2s-stream "$what" -b "$below" -F qcow2 -o extended_l2=on,cluster_size=128k "$pull_uri" |
		cat >"inc.$1.qcow2" ;;
	2) q2s-stream "$what" --backing-name "$below" -F qcow2 -c 4k "$pull_uri" "inc.$1.qcow2" ;;
	3) q2s-stream "$what" --backing-name none -z "$pull_uri" >"inc.$1.qcow2" ;;
	esac
}

# control BITMAP: QEMU's own incremental backup, of a copy of the bitmap, while nobody writes: two jobs
# at a time get in each other's way.
control() {
	qmp "{\"execute\": \"transaction\", \"arguments\": {\"actions\": [
		$(action block-dirty-bitmap-add '"node": "vm", "name": "copy", "disabled": true'),
		$(action block-dirty-bitmap-merge "\"node\": \"vm\", \"target\": \"copy\", \"bitmaps\": [\"$1\"]"),
		$(action blockdev-backup '"job-id": "control", "device": "vm", "target": "push", "sync": "incremental", "bitmap": "copy"')]}}"
	wait_event BLOCK_JOB_COMPLETED control
	qmp '{"execute": "blockdev-del", "arguments": {"node-name": "push"}}'
	qmp '{"execute": "block-dirty-bitmap-remove", "arguments": {"node": "vm", "name": "copy"}}'
}

# round N: bitmap b(N-1) says what changed since the round before, and bN counts from now on.
round() {
	local n=$1 last=$(($1 - 1)) below=full.qcow2 granularity

	granularity=$((512 << (RANDOM % 9)))
	[ "$n" = 1 ] || below=base.qcow2
	[ "$n" = 1 ] || q2s-stream --layers "$layers" base.qcow2
	rm -f "push.$n.qcow2"
	qemu-img create -q -f qcow2 "push.$n.qcow2" $size
	qmp "$(node push "push.$n.qcow2" '')"
	control "b$last"
	freeze \
		"$(action block-dirty-bitmap-add "\"node\": \"vm\", \"name\": \"b$n\", \"persistent\": true, \"granularity\": $granularity")" \
		"$(action block-dirty-bitmap-disable "\"node\": \"vm\", \"name\": \"b$last\"")"
	pull ", \"bitmaps\": [{\"node\": \"vm\", \"name\": \"b$last\"}]"
	guest 6
	remember "$n"
	take "$n" "$below" "$last"
	guest 6
	thaw
	qmp "{\"execute\": \"block-dirty-bitmap-remove\", \"arguments\": {\"node\": \"vm\", \"name\": \"b$last\"}}"
	qemu_check_clean "inc.$n.qcow2"
}

# --- the loop -----------------------------------------------------------------------------------

qemu-img create -q -f qcow2 vm.qcow2 $size
qemu-io -c 'write -P 1 0 3M' -c 'write -P 2 9M 1M' vm.qcow2 >/dev/null
start_daemon
guest 10
freeze "$(action block-dirty-bitmap-add '"node": "vm", "name": "b0", "persistent": true')"
pull ''
guest 5
remember 0
q2s-stream "$pull_uri" full.qcow2
thaw
layers=full.qcow2 control=full.qcow2
for ((n = 1; n <= rounds; n++)); do
	guest 12
	round $n
	layers+=",inc.$n.qcow2"
	control+=",push.$n.qcow2"
done
guest 8
stop_daemon

# The machine is off: the bitmap is in the image.
n=$((rounds + 1))
qemu-img convert -f qcow2 -O raw vm.qcow2 truth.raw
sha256sum <truth.raw >"truth.$n"
q2s-stream --changed=bitmap:b$rounds --backing-name none vm.qcow2 "inc.$n.qcow2"
layers+=",inc.$n.qcow2"

# --- each round again ---------------------------------------------------------------------------

for ((n = rounds + 1; n >= 0; n--)); do
	q2s-stream -O raw --layers "$layers" | sha256sum >got
	assert_same_bytes "truth.$n" got
	layers=${layers%,*}
	[ "$n" -gt "$rounds" ] || {
		q2s-stream -O raw --layers "$control" | sha256sum >got
		assert_same_bytes "truth.$n" got
		control=${control%,*}
	}
done
echo "$rounds rounds restored"
