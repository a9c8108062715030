#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The recipe of doc/parts, as it stands there, with a server of others that has the API of S3 and looks at
# signatures: OpenStack Swift. A part is killed and sent again; the object is the image, and a signed URL of
# it, which is good for GET alone, is read as SOURCE.

. "$Q2S_SRC/tests/cli/lib.sh"
requires curl jq parallel qemu-img HAVE_LIBCURL
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
/usr/bin/python3 -c 'import swift.proxy.server, xattr' 2>/dev/null || skip 'python3-swift is missing'
/usr/bin/python3 -c 'import xattr; xattr.setxattr(".", "user.q2s", b"1")' 2>/dev/null ||
	skip "the file system of $PWD has no extended attributes, which Swift needs"

q2s-create -q -w data@0+25M:1 -w data@40M+21M:2 base.qcow2 64M
q2s-stream -O raw base.qcow2 disk.raw
q2s-stream disk.raw want.qcow2

mkdir state
/usr/bin/python3 "$Q2S_SRC/tests/interop/s3_swift.py" state >state/out 2>&1 &
cleanup_fn kill $!
for ((i = 0; i < 1200; i++)); do
	[ ! -e state/port ] || break
	sleep 0.1
done
[ -e state/port ] || fail "Swift does not start: $(cat state/out)"
bucket=http://127.0.0.1:$(<state/port)/bucket

# what the page says, with this server's names
PATH=$Q2S_SRC/doc:$PATH
sed -n '/^    cat >s3.conf/,/^    s3() /s/^    //p' "$Q2S_SRC/doc/parts" |
	sed "s|eu-central-1|us-east-1|; s|KEY:SECRET|tester:testing|; s|https://s3.example.com/bucket|$bucket|" >begin
# shellcheck disable=SC2016 # they are the page's
sed -n '/^    q2s-stream --save-plan disk.plan --measure disk.raw$/,/uploadId=\$UPLOAD"$/s/^    //p' \
	"$Q2S_SRC/doc/parts" | sed -n '/^UPLOAD=/,$p' >recipe
[ "$(wc -l <begin)" -ge 7 ] || fail "doc/parts has another beginning: $(cat begin)"
[ "$(wc -l <recipe)" -eq 3 ] || fail "doc/parts has another recipe: $(cat recipe)"
# shellcheck disable=SC1091
. ./begin
s3 -X PUT "$bucket"
q2s-stream --save-plan disk.plan --measure disk.raw >/dev/null

# a part that is killed once
mkdir killed
cat >killed/upload-part <<'END'
#!/bin/sh
case $1 in
3/8)
	if mkdir was-killed 2>/dev/null; then
		q2s-stream --plan "$2" --part "$1" "$3" | head -c 5000000 >cut
		curl -q -K "$CURL" -fsS --limit-rate 1M -T cut "$URL?partNumber=3&uploadId=$UPLOAD" &
		kill -KILL $! $$
	fi
	;;
esac
exec upload-part-itself "$@"
END
chmod +x killed/upload-part
ln -s "$Q2S_SRC/doc/upload-part" killed/upload-part-itself
PATH=$PWD/killed:$PATH
sed 's/^\(seq .*\) parallel /\1 parallel --will-cite /' recipe >recipe.quiet
# shellcheck disable=SC1091
. ./recipe.quiet >answer
grep -q CompleteMultipartUploadResult answer || fail "it is not complete: $(cat answer)"
[ -d was-killed ] || fail "no part was killed"
assert_equal 8 "$(wc -l <list)" 'parts'
s3 -o object "$URL"
assert_same_bytes want.qcow2 object

# a signed URL: for GET, and for no other method
signed=$(/usr/bin/python3 "$Q2S_SRC/tests/interop/s3_swift.py" --sign "$URL")
assert_equal 403 "$(curl -q -s -o /dev/null -w '%{http_code}' -I "$signed")" 'status of HEAD'
! curl -q -fs -o /dev/null "$URL" || fail "it can be read without a signature"
q2s-stream "$signed" out.qcow2
qemu_check_clean out.qcow2
qemu_same_content disk.raw out.qcow2
q2s-stream "$signed" | cmp - out.qcow2 || fail "it is another image in a pipe"
q2s-inspect check "$signed"
expect_exit 1 q2s-stream "${signed%?}" no.qcow2
expect_stderr 'answers 403'
! grep -i 'signature\|credential' stderr || fail "the signature was shown"
[ ! -e no.qcow2 ] || fail "an image was left behind"
