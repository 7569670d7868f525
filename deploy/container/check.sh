#!/bin/bash
# Builds the image without an engine, starts what is in it as the image says, and asks for its health. As root, on Debian, with
# buildah and mmdebstrap; `make image-check` runs it. Each step has its time. What is made lies in FOLDER, and the base is kept there.
#   check.sh DIST FOLDER
set -euo pipefail

dist=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
name=rathaus-hub-check
suite=bookworm

missing=()
for each in buildah mmdebstrap setpriv unshare; do command -v "$each" >/dev/null || missing+=("$each"); done
if [ "${#missing[@]}" -gt 0 ] || [ "$(id -u)" != 0 ]; then
    echo "image-check: as root, with ${missing[*]:-all that is needed} (apt-get install buildah mmdebstrap)" >&2
    exit 2
fi
# Storage of its own, without overlays: containers within containers have none.
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
storage=(--root "$work/storage" --runroot "$work/run")

if [ ! -s "$work/base.tar" ]; then
    echo "base: $suite"
    timeout 400 mmdebstrap --quiet --variant=minbase --include=ca-certificates "$suite" "$work/base.part.tar"
    mv "$work/base.part.tar" "$work/base.tar"
fi

buildah "${storage[@]}" rm --all >/dev/null 2>&1 || true
buildah "${storage[@]}" rmi --all --force >/dev/null 2>&1 || true
base=$(buildah "${storage[@]}" from scratch)
timeout 120 buildah "${storage[@]}" add --quiet "$base" "$work/base.tar" / >/dev/null
timeout 120 buildah "${storage[@]}" commit --quiet --format docker "$base" "localhost/$name-base" >/dev/null
buildah "${storage[@]}" rm "$base" >/dev/null

# Whoever builds behind a mirror or a proxy of their own hands their authorities in.
options=()
[ -z "${PIP_INDEX_URL:-}" ] || options+=(--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL")
if [ -n "${PIP_CERT:-}" ]; then
    options+=(--volume "$(realpath "$PIP_CERT"):/run/authorities.pem:ro" --build-arg PIP_CERT=/run/authorities.pem)
fi
echo "image: $name"
began=$SECONDS
timeout 1200 buildah "${storage[@]}" build --quiet --format docker --pull-never --layers=false \
    --build-arg "BASE=localhost/$name-base" --build-arg VERSION=check "${options[@]}" \
    --file "$dist/Containerfile" --tag "localhost/$name" "$dist" >/dev/null
echo "built in $((SECONDS - began)) s"

container=$(buildah "${storage[@]}" from --pull-never "localhost/$name")
root=$(buildah "${storage[@]}" mount "$container")
trap 'buildah "${storage[@]}" umount "$container" >/dev/null; buildah "${storage[@]}" rm "$container" >/dev/null' EXIT
echo "size: $(du -sm "$root" | cut -f1) MB"
buildah "${storage[@]}" inspect --type image "localhost/$name" > "$work/image.json"

timeout 400 unshare --mount --pid --fork --kill-child python3 "$(dirname "$0")/start.py" "$root" "$work/image.json"
