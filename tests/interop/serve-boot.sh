#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A machine of QEMU runs on what nbdkit-q2s-plugin serves: Linux mounts the ext4 of an overlay with
# extended L2, writes, trims and syncs. Once it is switched off, once the server is killed under it.
#
# Q2S_KERNEL: where boot/vmlinuz-VERSION and lib/modules/VERSION are (default: /); HACKING says how to get
# them without installing them. QEMU uses KVM where it is there.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/serve-lib.sh"
requires qemu-img qemu-system-x86_64 busybox mkfs.ext4 e2fsck debugfs

root=${Q2S_KERNEL:-}
kernel=$(find "$root/boot/" -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -n 1)
[ -n "$kernel" ] || skip "needs a kernel, and there is no $root/boot/vmlinuz-*"
modules=$root/lib/modules/${kernel#*/vmlinuz-}
if [ ! -r "$kernel" ] || [ ! -e "$modules/modules.dep" ]; then
	skip "$kernel cannot be read, or its modules or their modules.dep are missing"
fi

# ---- the machine's first file system -------------------------------------------------------------

mkdir -p machine/modules machine/bin

# with_deps NAME: the files of a module, those that it needs first; nothing if it is built in.
with_deps() {
	awk -F: -v name="$1" '$1 ~ "/" name "[.]ko" {
		n = split($2, needs, " ")
		while (n > 0)
			print needs[n--]
		print $1
	}' "$modules/modules.dep"
}
for name in virtio_pci virtio_blk crc32c_generic ext4; do
	with_deps "$name"
done | awk '!seen[$0]++' >order
while read -r file; do
	name=$(basename "$file")
	case $name in
	*.xz) xz -dc "$modules/$file" >"machine/modules/${name%.xz}" ;;
	*.zst) zstd -qdc "$modules/$file" >"machine/modules/${name%.zst}" ;;
	*) cp "$modules/$file" machine/modules ;;
	esac
	name=${name%.xz}
	echo "${name%.zst}" >>machine/order
done <order
[ -e machine/order ] || : >machine/order
cp "$(command -v busybox)" machine/bin/busybox

# What it does. Each file that a sync has covered is told to the host, with its digest.
cat >machine/init <<'END'
#!/bin/busybox sh
bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /mnt
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs dev /dev
while read -r name; do $bb insmod "/modules/$name"; done </order
$bb mount -t ext4 -o discard /dev/vda /mnt || echo "MACHINE FAILED: mount"
# write ROUND: 3 MiB, of which a part is overwritten, and another goes
write() {
	$bb mkdir -p /mnt/$1
	for i in 1 2 3 4 5 6; do
		$bb dd if=/dev/urandom of=/mnt/$1/$i bs=4k count=$((i * 37)) 2>/dev/null
	done
	$bb dd if=/dev/urandom of=/mnt/$1/6 bs=4k seek=11 count=70 conv=notrunc 2>/dev/null
	$bb cp /mnt/old/3 /mnt/$1/7
	$bb rm /mnt/$1/5
	$bb sync
	for file in /mnt/$1/*; do
		set -- "$1" $($bb sha256sum $file)
		echo "FILE ${file#/mnt/} $2"
	done
	echo "SYNCED $1"
}
write one
$bb rm /mnt/old/1 /mnt/old/2
$bb dd if=/dev/urandom of=/mnt/old/3 bs=4k seek=3 count=20 conv=notrunc 2>/dev/null
write two
if $bb grep -q goon /proc/cmdline; then
	i=0
	while :; do
		$bb dd if=/dev/urandom of=/mnt/more$((i % 20)) bs=4k count=200 2>/dev/null
		i=$((i + 1))
		echo "MORE $i"
	done
fi
$bb umount /mnt && $bb mount -t ext4 /dev/vda /mnt
for file in /mnt/one/* /mnt/two/*; do
	set -- $($bb sha256sum $file)
	echo "AGAIN ${file#/mnt/} $1"
done
$bb umount /mnt
echo "MACHINE DONE"
$bb poweroff -f
END
chmod +x machine/init
(cd machine && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >initrd

# ---- its disk ------------------------------------------------------------------------------------

mkdir -p folder/old
for i in 1 2 3 4; do
	head -c "$((i * 700))k" /dev/urandom >"folder/old/$i"
done
truncate -s 64M base.raw
mkfs.ext4 -q -d folder base.raw
q2s-stream -q -f raw base.raw base.qcow2

# boot APPEND: the machine in the background, as $machine; what it says is in console.
boot() {
	local accel=tcg

	[ ! -w /dev/kvm ] || accel=kvm
	rm -f console
	: >console
	qemu-system-x86_64 -accel "$accel" -m 256 -display none -nodefaults -no-user-config -no-reboot \
		-serial file:console -kernel "$kernel" -initrd initrd \
		-append "console=ttyS0 panic=-1 quiet rdinit=/init $1" \
		-blockdev "driver=nbd,node-name=disk,server.type=unix,server.path=$tmp/socket,discard=unmap" \
		-device virtio-blk-pci,drive=disk >qemu.out 2>&1 &
	machine=$!
	cleanup_fn sh -c "kill -9 $machine 2>/dev/null || :"
}

# digests RAW WORD: the files that the console names by WORD hold that; debugfs is their reader.
digests() {
	local word name digest count=0

	while read -r word name digest; do
		[ "$word" = "$2" ] || continue
		debugfs -R "dump /$name got" "$1" 2>/dev/null
		assert_equal "$digest" "$(sha256sum <got | cut -d ' ' -f 1)" "digest of $name"
		count=$((count + 1))
	done < <(tr -d '\r' <console)
	[ "$count" -ge 12 ] || fail "only $count files are there: $(tail -n 20 console)"
}

# Switched off: all is sound, and QEMU's reader sees what the machine saw.
q2s-create -q -o extended_l2=on,cluster_size=128k -b base.qcow2 -F qcow2 image.qcow2
server_start "$tmp/socket" image.qcow2 follow=any
boot ''
wait "$machine" || fail "the machine: $(cat qemu.out)"
grep -q 'MACHINE DONE' console || fail "the machine did not get to its end: $(tail -n 20 console)"
server_stop
sound image.qcow2
qemu-img convert -f qcow2 -O raw image.qcow2 after.raw
e2fsck -fn after.raw >e2fsck.out 2>&1 || fail "its file system: $(cat e2fsck.out)"
digests after.raw FILE
digests after.raw AGAIN
rm image.qcow2

# Killed: what the machine had synced is there when its journal has been read.
q2s-create -q -o extended_l2=on,cluster_size=64k -b base.qcow2 -F qcow2 image.qcow2
server_start "$tmp/socket" image.qcow2 follow=any
boot goon
until grep -q 'MORE 1' console; do
	kill -0 "$machine" 2>/dev/null || fail "the machine: $(cat qemu.out console)"
	sleep 0.1
done
sleep "0.$((RANDOM % 9))"
kill -9 "$server"
wait "$server" || true
kill -9 "$machine"
wait "$machine" || true
leaks_at_most image.qcow2
qemu-img convert -f qcow2 -O raw image.qcow2 after.raw
e2fsck -fp after.raw >e2fsck.out 2>&1 || [ $? = 1 ] || fail "its file system: $(cat e2fsck.out)"
digests after.raw FILE
