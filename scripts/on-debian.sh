#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# scripts/on-debian.sh [--keep] [--arch ARCH] SUITE [CMD...]
#
# Install a minimal Debian SUITE (trixie, sid ...) into a folder, and there, in a copy of this tree,
# run CMD. Debian is that of this machine's architecture, or of ARCH, which its processor has to run
# (i386 on amd64). Without CMD: the first command of the README, as a newcomer would, with warnings as
# errors; then `./run check-quick`, in which nothing may be skipped.
#
#	scripts/on-debian.sh sid
#	scripts/on-debian.sh --keep sid env CI=true ./run check
#
# The packages come from the mirror that apt uses here. All of it is in build/debian-SUITE (or
# debian-SUITE-ARCH), and is removed in the end; with --keep it stays, and the next --keep goes on with
# it. It must be root, or have sudo. Where this is impossible it says why, in one line, and exits 77.

set -euo pipefail

src=$(readlink -f -- "${BASH_SOURCE[0]}")
src=${src%/scripts/*}

say() {
	echo "on-debian: $*" >&2
}

die() {
	say "$@"
	exit 1
}

impossible() {
	echo "skipped: $*" >&2
	exit 77
}

# mirror_of SUITE: which of the places where apt looks for packages has this Debian.
mirror_of() {
	local uri component release=$scratch/Release

	while read -r uri component; do
		[ "$component" = main ] || continue
		case $uri in http:* | https:* | file:*) ;; *) continue ;; esac
		rm -f "$release"
		/usr/lib/apt/apt-helper download-file "${uri%/}/dists/$1/InRelease" "$release" \
			>"$scratch/log" 2>&1 || continue
		if grep -qx 'Label: Debian' "$release" && grep -Eqx "(Suite|Codename): $1" "$release"; then
			echo "${uri%/}"
			return
		fi
	done < <(apt-get indextargets --format "\$(REPO_URI) \$(COMPONENT)" 'Identifier: Packages' | uniq)
	return 1
}

# install_debian SUITE: a minimal one, in $root.
install_debian() {
	local mirror proxy log=$root.log

	mirror=$(mirror_of "$1") || impossible "apt has no mirror here on which there is Debian $1"
	proxy=$(apt-config dump --format '%f "%v";%n' Acquire | grep -E '^Acquire::https?::proxy ' -i || :)
	[ -z "$proxy" ] || eval "$(apt-config shell http_proxy Acquire::http::Proxy \
		https_proxy Acquire::https::Proxy | sed 's/^/export /')"
	say "installing Debian $1 into $root"
	rm -rf --one-file-system "$root"
	# In a mount namespace of its own, so that nothing stays mounted however it ends.
	unshare --mount debootstrap --variant=minbase ${arch:+"--arch=$arch"} --include=ca-certificates "$1" "$root" "$mirror" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		impossible "debootstrap failed; the whole log: $log"
	}
	rm -f "$log"
	# What is thrown away need not be safe from a power cut. A mirror may stand still.
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/on-debian"
	printf '%s\n' "$proxy" 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/on-debian"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no daemons
	chmod +x "$root/usr/sbin/policy-rc.d"
	[ -e "$root/etc/hosts" ] || echo '127.0.0.1 localhost' >"$root/etc/hosts"
	touch "$root/.complete"
}

# copy_tree: the sources, as they are now, to /root/q2s there. What was built stays.
copy_tree() {
	mkdir -p "$root/root/q2s"
	find "$root/root/q2s" -mindepth 1 -maxdepth 1 ! -name 'build*' -exec rm -rf {} +
	if git -C "$src" rev-parse >"$scratch/log" 2>&1; then
		git -C "$src" ls-files -z --cached --others --exclude-standard
	else
		(cd "$src" && find . -path './build*' -prune -o -type f -print0)
	fi | tar -C "$src" --null -T - --ignore-failed-read -cf - 2>"$scratch/log" |
		tar -C "$root/root/q2s" --no-same-owner -xf -
}

# Run there, by bash, with what it is to do as arguments.
# shellcheck disable=SC2016 # the other bash expands it
inside='
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --bind /dev dev
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
[ ! -d dev/shm ] || mount -t tmpfs -o mode=1777 tmpfs dev/shm
exec chroot . /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	HOME=/root LANG=C.UTF-8 TERM=dumb bash -c '\''cd /root/q2s && "$@"'\'' - "$@"
'

# What is done there unless told otherwise.
# shellcheck disable=SC2016
quick='
set -euo pipefail
export Q2S_CONFIGURE=--enable-werror
{ seq 1000000; head -c 4M /dev/urandom; } >/root/disk.raw
truncate -s 64M /root/disk.raw
status=0
./run q2s-stream /root/disk.raw 2>/root/said >/root/disk.qcow2 || status=$?
cat /root/said
[ "$status" = 0 ] || exit 1
[ "$(wc -l </root/said)" -le 20 ] || { echo "FAILED: the first command fills the screen"; exit 1; }
./run q2s-inspect check /root/disk.qcow2
status=0
CI=true ./run check-quick 2>&1 | tee /root/said || status=1
. /etc/os-release
echo "$PRETTY_NAME: $(gcc --version | head -n 1); $(autoconf --version | head -n 1);" \
	"$(qemu-img --version | head -n 1); libnbd $(pkg-config --modversion libnbd); $(jq --version)"
! grep -q "^SKIP" /root/said || { echo "FAILED: tests were skipped"; status=1; }
exit "$status"
'

keep=
arch=
options=("$@")
while :; do
	case ${1:-} in
	--keep) keep=yes; shift ;;
	--arch) arch=${2:-}; shift $(($# > 1 ? 2 : 1)) ;;
	*) break ;;
	esac
done
case ${1:-}$arch in
'' | -* | *[!a-z0-9]*)
	sed -n '/^# scripts/,/^$/s/^# \{0,1\}//p' "$0" >&2
	exit 1
	;;
esac
if [ "$(id -u)" != 0 ]; then
	sudo -n true 2>/dev/null || impossible "not root, and no sudo"
	exec sudo -n "$0" "${options[@]}"
fi
suite=$1
shift
[ $# -gt 0 ] || set -- bash -c "$quick"
PATH=$PATH:/usr/sbin:/sbin
type -P debootstrap >/dev/null || impossible "debootstrap is not installed"
type -P apt-get >/dev/null || impossible "there is no apt here"
unshare --mount --pid --fork true 2>/dev/null || impossible "nothing can be mounted here"

root=$src/build/debian-$suite${arch:+-$arch}
mkdir -p "$src/build"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; [ -n "$keep" ] || rm -rf --one-file-system "$root"' EXIT
child=
# end STATUS: what runs there goes before the folder does.
end() {
	# unshare lets other signals wait until its child has ended, whom this one takes along.
	[ -z "$child" ] || { kill -KILL "$child" && wait "$child"; } 2>/dev/null || :
	exit "$1"
}
trap 'end 130' INT
trap 'end 143' TERM HUP
exec {lock}>"$root.lock"
flock -n "$lock" || { keep=yes; die "another one is at work in $root"; }
[ -n "$keep" ] && [ -e "$root/.complete" ] || install_debian "$suite"
copy_tree

# Whatever it starts ends with it, and so do the mounts.
status=0
(cd "$root" && exec unshare --mount --pid --fork --kill-child bash -ec "$inside" - "$@") \
	{lock}>&- </dev/null &
child=$!
wait "$child" || status=$?
child=
exit "$status"
