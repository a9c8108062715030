#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Images on an HTTP server: as SOURCE, as BASE and as layers, looked into, with and without ranges; what
# they refer to; and what nobody else may see.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq
. "$Q2S_SRC/tests/interop/http-lib.sh"
server='' second='' secure='' # by serve

mkdir www www/deep
q2s-create -q -w data@0+3M:1 -w data@20M+2M:2 -w zero@30M+1M -w data@63M+1M:3 base.qcow2 64M
qemu-img convert -O raw base.qcow2 disk.raw
qemu-img convert -O qcow2 disk.raw www/disk.qcow2
qemu-img convert -c -O qcow2 -o cluster_size=4k disk.raw www/small.qcow2
cp disk.raw www/disk.raw
: >www/nothing
cp www/disk.qcow2 'www/a base.qcow2'
qemu-img create -q -f qcow2 -F qcow2 -b 'a base.qcow2' -u www/top.qcow2 64M
cp www/top.qcow2 www/deep/up.qcow2
qemu-img rebase -u -F qcow2 -b '../a base.qcow2' www/deep/up.qcow2
serve server
touch server/log

# --- as SOURCE
same() {
	qemu_check_clean "$1"
	qemu_same_content disk.raw "$1"
}
for image in disk.qcow2 small.qcow2 disk.raw; do
	for way in plain whole whole-unknown redirect weak no-etag; do
		q2s-stream "$server/$way/$image" out.qcow2
		same out.qcow2
		q2s-stream "$server/$way/$image" >out.qcow2
		same out.qcow2
		q2s-stream -O raw "$server/$way/$image" out.raw
		assert_same_bytes disk.raw out.raw
	done
	q2s-stream -z "$server/plain/$image" out.qcow2
	same out.qcow2
	q2s-stream -z --spool none "$server/plain/$image" out.qcow2
	same out.qcow2
	q2s-stream --dedup "$server/plain/$image" out.qcow2
	same out.qcow2
	q2s-stream --compare "$server/plain/$image" disk.raw
	q2s-stream --compare disk.raw "$server/whole/$image"
	for part in 1 2 3; do
		q2s-stream --trust-holes --part $part/3 "$server/plain/$image"
	done >parts.qcow2
	q2s-stream --trust-holes "$server/plain/$image" >out.qcow2
	assert_same_bytes out.qcow2 parts.qcow2
done
requests server >/dev/null

# a plan holds for the same file, and for no other
q2s-stream --save-plan plan --measure "$server/plain/disk.qcow2" >/dev/null
q2s-stream --plan plan "$server/plain/disk.qcow2" >planned.qcow2
same planned.qcow2
expect_exit 1 q2s-stream --plan plan "$server/plain/small.qcow2" out2.qcow2
expect_stderr 'is not what it was when the plan was made'

# what is fetched: each byte once, and no more than there are
requests server >/dev/null
q2s-stream "$server/plain/disk.qcow2" out.qcow2
sleep 0.2
awk '{ bytes += $4 } END { exit (bytes > '"$(stat -c %s www/disk.qcow2)"' + 4096) }' server/log ||
	fail "more was fetched than there is: $(cat server/log)"

# a raw disk is read once where its image can be written while it comes, and twice into a pipe
size=$(stat -c %s www/disk.raw)
for dest in out.qcow2 -; do
	requests server >/dev/null
	q2s-stream "$server/plain/disk.raw" $dest | cat >piped
	sleep 0.2
	fetched=$(awk '{ bytes += $4 } END { print bytes }' server/log)
	# what was asked for and is on its way when several connections take its place is lost
	most=$((size * 3 / 2))
	[ $dest = out.qcow2 ] || most=$((size * 5 / 2))
	[ "$fetched" -lt "$most" ] || fail "$fetched bytes are fetched for $dest"
done
qemu_same_content disk.raw piped

# nothing waits in a file, and little in memory
peak() {
	python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)' "$@"
}
if ! grep -q '^#define HAVE_SANITIZERS 1$' "$Q2S_BUILD/config.h"; then
	mib=$(peak q2s-stream "$server/plain/disk.raw" out.qcow2)
	[ "$mib" -le 64 ] || fail "q2s-stream takes $mib MiB"
	mib=$(peak q2s-inspect info "$server/plain/disk.qcow2")
	[ "$mib" -le 64 ] || fail "q2s-inspect takes $mib MiB"
fi
strace=$(command -v strace || :)
if [ -n "$strace" ] && ! grep -q '^#define HAVE_SANITIZERS 1$' "$Q2S_BUILD/config.h"; then
	strace -f -e trace=openat,memfd_create -o trace q2s-stream "$server/plain/disk.qcow2" out.qcow2
	! grep -E 'O_TMPFILE|memfd' trace | grep -v "\"$tmp\"\|\"\.\"" || fail "a scratch file was made"
fi

# --- empty
expect_exit 0 q2s-stream -O raw "$server/plain/nothing" out.raw
assert_equal 0 "$(stat -c %s out.raw)" 'length'
q2s-stream "$server/plain/nothing" out.qcow2
qemu_check_clean out.qcow2

# --- looking into it
requests server >/dev/null
q2s-inspect info --output=json "$server/plain/disk.qcow2" | jq -e '."virtual-size" == 67108864' >/dev/null
[ "$(requests server)" -le 3 ] || fail "info needs more than 3 requests"
for verb in check safety map dump hex report; do
	requests server >/dev/null
	q2s-inspect $verb "$server/plain/disk.qcow2" >there
	sleep 0.2
	awk '{ bytes += $4 } END { exit (bytes > 2097152) }' server/log || fail "$verb fetches data"
	[ $verb != report ] || continue # says how much space a file takes
	q2s-inspect $verb "$server/whole/disk.qcow2" >also
	sed "s|/whole/|/plain/|g" also | cmp - there || fail "$verb says something else without ranges"
done
q2s-inspect explain 20M "$server/plain/disk.qcow2" >/dev/null
q2s-inspect map --output=json "$server/plain/disk.qcow2" >there
q2s-inspect map --output=json www/disk.qcow2 | cmp - there

# --- as BASE, and as layers
cp disk.raw new.raw
printf x | dd of=new.raw bs=1 seek=1M conv=notrunc status=none
cp disk.raw www/base.raw
q2s-stream -b "$server/plain/disk.qcow2" -F qcow2 --backing-name b.qcow2 new.raw diff.qcow2
cp www/disk.qcow2 b.qcow2
qemu-img rebase -u -F qcow2 -b b.qcow2 diff.qcow2
qemu_same_content new.raw diff.qcow2
q2s-stream -b "$server/plain/disk.qcow2" -F qcow2 new.raw diff.qcow2
assert_equal "$server/plain/disk.qcow2" \
	"$(qemu-img info --output=json -U diff.qcow2 | jq -r '."backing-filename"')" 'backing file'
expect_exit 1 q2s-stream -b "$server/plain/disk.qcow2?sig=s3cret" -F qcow2 new.raw no.qcow2
expect_stderr '--backing-name'
q2s-create -q -w data@5M+64k:9 top.qcow2 64M
q2s-stream --layers "$server/plain/disk.qcow2,top.qcow2" layered.qcow2
q2s-stream --layers www/disk.qcow2,top.qcow2 want.qcow2
qemu-img compare -q layered.qcow2 want.qcow2
q2s-stream --layers "www/disk.qcow2,$server/plain/top.qcow2" layered.qcow2
same layered.qcow2

# --- what an image refers to
expect_exit 1 q2s-stream "$server/plain/top.qcow2" no.qcow2
expect_stderr "'a base.qcow2' is not opened; --follow beside would allow it"
expect_exit 1 q2s-stream -f qcow2 "$server/plain/top.qcow2" no.qcow2 # -f is no word about others
q2s-stream --follow beside "$server/plain/top.qcow2" out.qcow2
same out.qcow2
q2s-inspect info --backing-chain --follow beside --output=json "$server/plain/top.qcow2" |
	jq -e 'length == 2' >/dev/null
expect_exit 1 q2s-stream --follow beside "$server/plain/deep/up.qcow2" no.qcow2
expect_stderr "lies outside the image's folder; --follow any would allow it"
q2s-stream --follow any "$server/plain/deep/up.qcow2" out.qcow2
same out.qcow2
# never a file of this machine, and never a URL
ln disk.raw 'a base.qcow2'
mkdir -p "http:/127.0.0.1:$(<server/port)/plain" 2>/dev/null
for name in "$tmp/disk.raw" "$server/plain/disk.raw" "file:$tmp/disk.raw" \
	"json:{\"driver\":\"file\",\"filename\":\"$tmp/disk.raw\"}"; do
	cp www/top.qcow2 www/evil.qcow2
	qemu-img rebase -u -F raw -b "$name" www/evil.qcow2
	requests server >/dev/null
	expect_exit 1 q2s-stream --follow any "$server/plain/evil.qcow2" no.qcow2
	! grep -v evil server/log || fail "$name was fetched"
	expect_exit 1 q2s-inspect info --backing-chain --follow any "$server/plain/evil.qcow2"
done
qemu-img rebase -u -F qcow2 -b "$server/plain/disk.qcow2" top.qcow2
requests server >/dev/null
expect_exit 1 q2s-stream --follow any top.qcow2 no.qcow2
assert_equal 0 "$(requests server)" 'requests for what a local image names'

# --- secrets
printf 'Authorization: Bearer secret\r\n\n' >token
expect_exit 1 q2s-stream "$server/auth/disk.qcow2" no.qcow2
expect_stderr 'answers 401'
q2s-stream --header-file token "$server/auth/disk.qcow2" out.qcow2
same out.qcow2
q2s-inspect check --header-file token "$server/auth/disk.qcow2"
q2s-inspect --header-file <(cat token) check "$server/auth/disk.qcow2"
q2s-stream --header-file token --follow beside "$server/auth/top.qcow2" out.qcow2
same out.qcow2
expect_exit 1 q2s-stream --header-file token "$server/auth/disk.qcow2" token
expect_stderr 'which is read'
grep -q Bearer token || fail "the header file was written to"
serve second --other "$(<server/port)"
requests server >/dev/null
q2s-stream --header-file token "$second/elsewhere/disk.qcow2" out.qcow2
same out.qcow2
grep -q ' auth$' second/log || fail "the header was not sent to the server that was named"
! grep ' auth$' server/log || fail "the header was sent to another server"
for url in "${server/:\/\//://me:s3cret@}/plain/disk.qcow2" "$server/plain/no?sig=s3cret" \
	"http://127.0.0.1:1/x?sig=s3cret"; do
	expect_exit 1 q2s-stream "$url" no.qcow2
	! grep s3cret stderr || fail "a secret was shown"
	expect_exit 1 q2s-inspect "$url"
	! grep s3cret stderr || fail "a secret was shown"
done
for verb in info map check dump hex safety report 'explain 0'; do
	for output in human json; do
		# shellcheck disable=SC2086 # an offset is a word of its own
		q2s-inspect $verb --output=$output "$server/plain/disk.qcow2?sig=s3cret" >shown
		! grep s3cret shown || fail "a secret was shown by $verb"
	done
done
printf 'Authorization Bearer s3cret\n' >wrong
expect_exit 1 q2s-stream --header-file wrong "$server/auth/disk.qcow2" no.qcow2
expect_stderr 'not a line of the kind Name: value'
! grep s3cret stderr || fail "a secret was shown"

# --- HTTPS
if command -v openssl >/dev/null; then
	openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=127.0.0.1 \
		-addext subjectAltName=IP:127.0.0.1 2>/dev/null
	serve secure --tls cert.pem key.pem --other "$(<server/port)"
	expect_exit 1 q2s-stream "$secure/plain/disk.qcow2" no.qcow2
	expect_stderr 'certificate'
	q2s-stream --cacert cert.pem "$secure/plain/disk.qcow2" out.qcow2
	same out.qcow2
	q2s-inspect check --cacert cert.pem "$secure/plain/disk.qcow2"
	expect_exit 1 q2s-stream --cacert cert.pem "$secure/elsewhere/disk.qcow2" no.qcow2
	expect_stderr 'redirects from HTTPS to HTTP'
fi

# --- what makes no sense
expect_exit 1 q2s-stream disk.raw "$server/plain/new.qcow2"
expect_stderr 'DEST is a URL'
expect_exit 1 q2s-stream -d "$server/plain/disk.raw" no.qcow2
expect_stderr '--data-file needs a SOURCE that is a file'
expect_exit 1 q2s-stream -f vmdk "$server/plain/disk.raw" no.qcow2
expect_stderr 'needs a local file'
expect_exit 1 q2s-stream --cacert nowhere "$server/plain/disk.qcow2" no.qcow2
expect_stderr 'nowhere: certificates: cannot be read'
[ ! -e no.qcow2 ] || fail "an image was left behind"
