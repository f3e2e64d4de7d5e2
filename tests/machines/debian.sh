#!/usr/bin/env bash
# Run commands of this repository on a fresh Debian that has python3, make and git, and nothing else of ours.
#
#   sudo tests/machines/debian.sh SUITE [COMMAND ...]
#
# SUITE is bookworm (Debian 12, Python 3.11) or trixie (Debian 13, Python 3.13). Each COMMAND is one argument and runs in
# a clone of the commit that is checked out, as a user without rights; default: "make rehearse YES=1" "make test".
# The machine is a folder made by debootstrap, entered with chroot in namespaces of its own; it is kept in MACHINES
# (default: build/machines) for the next run, the clone is made anew. The network is the host's; Debian's mirror (MIRROR)
# and the package indexes are all that is asked. Certificates that the host trusts besides Debian's are copied.
set -euo pipefail

suite=${1:?"usage: $0 bookworm|trixie [COMMAND ...]"}
shift
[ $# -gt 0 ] || set -- "make rehearse YES=1" "make test"
[ "$(id -u)" = 0 ] || { echo "$0: chroot and mounts need root: run it with sudo" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "$0: debootstrap is missing: apt-get install debootstrap" >&2; exit 2; }

repository=$(cd "$(dirname "$0")/../.." && pwd)
machine=${MACHINES:-$repository/build/machines}/$suite
user=someone
home=/home/$user

if [ ! -e "$machine/.ready" ]; then
    echo "making $machine"
    rm -rf "$machine"
    mkdir -p "$machine"
    debootstrap --variant=minbase --include=ca-certificates,git,make,python3 "$suite" "$machine" \
        "${MIRROR:-http://deb.debian.org/debian}" >"$machine.log" || { tail -5 "$machine.log" >&2; exit 1; }
    chroot "$machine" useradd --create-home --shell /bin/bash "$user"
    touch "$machine/.ready"
fi
cp /etc/resolv.conf "$machine/etc/resolv.conf"
if [ -d /usr/local/share/ca-certificates ]; then
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$machine/usr/local/share/ca-certificates" {} +
fi
chroot "$machine" update-ca-certificates >/dev/null 2>&1

rm -rf "$machine$home/catalog"
git clone --quiet "file://$repository" "$machine$home/catalog"
chroot "$machine" chown -R "$user:$user" "$home"

# The host's certificates for programs that bring their own list (uv, node), and its choice of an index; nothing else.
certificates=/etc/ssl/certs/ca-certificates.crt
environment=("HOME=$home" "LANG=C.UTF-8" "PATH=/usr/bin:/bin" "USER=$user")
environment+=("SSL_CERT_FILE=$certificates" "NODE_EXTRA_CA_CERTS=$certificates")
[ -z "${UV_INDEX_URL:-}" ] || environment+=("UV_INDEX_URL=$UV_INDEX_URL")

for command in "$@"; do
    echo "$suite: $command"
    started=$SECONDS
    # Everything that a command starts ends with it. The outer bash stays: it is the first process of the namespace, which
    # has to bury the orphans.
    unshare --mount --pid --fork --kill-child --mount-proc="$machine/proc" bash -euc '
        machine=$1 user=$2 directory=$3 command=$4
        shift 4
        mount --rbind /dev "$machine/dev"
        mount -t tmpfs -o size=50%,mode=1777 tmp "$machine/tmp"
        chroot "$machine" setpriv --reuid "$user" --regid "$user" --init-groups \
            env --ignore-environment "$@" bash -ec "cd $directory; python3 --version; $command"
        exit
    ' bash "$machine" "$user" "$home/catalog" "$command" "${environment[@]}" </dev/null
    echo "$suite: $command: passed after $((SECONDS - started)) s"
done
