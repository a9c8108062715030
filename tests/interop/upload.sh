#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# doc/upload-part, as doc/parts uses it: a multipart upload to what looks like S3, by GNU parallel and as
# the pods of an indexed Job do; a part that breaks off, and one that is killed, are sent again, and the
# object is the image.

. "$Q2S_SRC/tests/cli/lib.sh"
requires python3 curl jq parallel
/usr/bin/python3 -c 'import yaml' 2>/dev/null || skip 'python3-yaml is missing'
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

q2s-create -q -w data@0+5M:1 -w data@20M+7M:2 base.qcow2 64M
q2s-stream -O raw base.qcow2 disk.raw
q2s-stream disk.raw want.qcow2

# serve FOLDER [PART]: an object store, of which PART breaks off once; its URL goes to $URL.
serve() {
	local i

	mkdir "$1"
	python3 "$Q2S_SRC/tests/interop/s3_server.py" "$@" 2>"$1/err" &
	cleanup_fn kill $!
	for ((i = 0; i < 300; i++)); do
		[ ! -e "$1/port" ] || break
		sleep 0.1
	done
	URL=http://127.0.0.1:$(<"$1/port")/bucket/disk.qcow2
	export URL
}
s3() {
	curl -q -fsS "$@"
}
begin() {
	UPLOAD=$(s3 -X POST "$URL?uploads=" | sed -n 's:.*<UploadId>\(.*\)</UploadId>.*:\1:p')
	export UPLOAD
}
complete() {
	s3 --data-binary "<CompleteMultipartUpload>$(cat "$1")</CompleteMultipartUpload>" "$URL?uploadId=$UPLOAD"
}
PATH=$Q2S_SRC/doc:$PATH

q2s-stream --save-plan disk.plan --measure disk.raw >/dev/null
serve one 3
begin
seq 8 | parallel --will-cite -j 4 --retries 3 -k upload-part {}/8 disk.plan disk.raw >list 2>errors
complete list
assert_same_bytes want.qcow2 one/object

# without being sent again, what broke off is missed
serve two 3
begin
expect_exit 1 sh -c 'seq 8 | parallel --will-cite -j 4 -k upload-part {}/8 disk.plan disk.raw >list'
assert_equal 7 "$(wc -l <list)" 'parts that were sent'
! complete list 2>/dev/null || [ "$(stat -c %s two/object)" != "$(stat -c %s want.qcow2)" ] ||
	fail "an upload without a part is complete"

# the manifest of an indexed Job, as doc/parts has it: what it says, and what its pods run
sed -n '/^    apiVersion: batch/,/^$/s/^    //p' "$Q2S_SRC/doc/parts" >job.yaml
/usr/bin/python3 - job.yaml >job <<'END'
import sys
import yaml

job = yaml.safe_load(open(sys.argv[1]))
spec = job["spec"]
pod = spec["template"]["spec"]
(container,) = pod["containers"]
assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
assert job["metadata"]["name"] and container["name"] and container["image"]
assert spec["completionMode"] == "Indexed" and pod["restartPolicy"] == "OnFailure"
assert 1 <= spec["parallelism"] <= spec["completions"] <= spec["backoffLimit"]
volumes = {volume["name"]: volume for volume in pod["volumes"]}
mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
assert set(volumes) == set(mounts)
assert "claimName" in volumes["disk"]["persistentVolumeClaim"]
assert "secretName" in volumes["secret"]["secret"]
env = {variable["name"]: variable["value"] for variable in container["env"]}
assert set(env) == {"URL", "UPLOAD", "CURL"}
assert env["CURL"].startswith(mounts["secret"]["mountPath"] + "/")
assert container["command"][:2] == ["sh", "-c"] and len(container["command"]) == 3
assert "/%d " % spec["completions"] in container["command"][2]
assert mounts["disk"]["mountPath"] + "/disk.plan" in container["command"][2]
print(spec["completions"])
print(container["command"][2].replace(mounts["disk"]["mountPath"] + "/", "./"))
END
{ read -r completions && read -r command; } <job
serve job.d
begin
for ((index = completions - 1; index >= 0; index--)); do
	JOB_COMPLETION_INDEX=$index sh -c "$command" >"pod.$index"
done
for ((index = 0; index < completions; index++)); do
	cat "pod.$index"
done >list
complete list
assert_same_bytes want.qcow2 job.d/object

# one that is killed in the middle
serve three
cat >slow <<'END'
#!/bin/sh
exec q2s-real --limit-rate 1M "$@"
END
mkdir slowly
mv slow slowly/q2s-stream
chmod +x slowly/q2s-stream
ln -s "$(command -v q2s-stream)" slowly/q2s-real
begin # another upload
PATH=$tmp/slowly:$PATH timeout -s KILL 1 upload-part 2/5 disk.plan disk.raw >killed 2>/dev/null || :
[ ! -s killed ] || fail "a part that was killed calls itself sent"
rm -f line.*
for index in 0 2 3 4; do
	upload-part $((index + 1))/5 disk.plan disk.raw >"line.$index"
done
for index in 0 2 3 4; do
	cat "line.$index"
done >list
! grep 'PartNumber>2<' list || fail "the killed part is there"
upload-part 2/5 disk.plan disk.raw >line.1
cat line.0 line.1 line.2 line.3 line.4 >list
complete list
assert_same_bytes want.qcow2 three/object

# a source that changed is refused, and so is the part
touch disk.raw
expect_exit 1 sh -c 'upload-part 1/5 disk.plan disk.raw'
