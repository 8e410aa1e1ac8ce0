#!/usr/bin/env bash
# image.sh TAG[,TAG...] ROOTFS ENTRYPOINT [ARGUMENT...]
# Packs the folder ROOTFS into an image called TAG, without any registry, and loads it into every node of every cluster
# that runs. Clusters started later load it too. A pod's `args` replace ARGUMENTs. The same files give the same bytes.
# The archive is an OCI image layout, and what `docker load` reads.
source "$(dirname "$0")/env.sh"
(($# >= 3)) || die "usage: image.sh TAG[,TAG...] ROOTFS ENTRYPOINT [ARGUMENT...]"
tags=$1 rootfs=$2 entrypoint=$3
shift 3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
blobs=$work/image/blobs/sha256
mkdir -p "$blobs"

pack() { # FOLDER ARCHIVE
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -C "$1" -cf "$2" .
}

keep() { # MEDIA-TYPE FILE: moves FILE among the blobs and prints its descriptor
  local digest size
  digest=$(sha256sum <"$2" | cut -d' ' -f1)
  size=$(stat -c %s "$2")
  mv "$2" "$blobs/$digest"
  jq -nc --arg type "$1" --arg digest "sha256:$digest" --argjson size "$size" \
    '{mediaType: $type, digest: $digest, size: $size}'
}

oci=application/vnd.oci.image
pack "$rootfs" "$work/layer"
layer=$(keep $oci.layer.v1.tar "$work/layer")
jq -nc --argjson layer "$layer" --arg entrypoint "$entrypoint" '{
    architecture: "amd64", os: "linux",
    config: {
      Entrypoint: [$entrypoint], Cmd: $ARGS.positional,
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    },
    rootfs: {type: "layers", diff_ids: [$layer.digest]}
  }' --args -- "$@" >"$work/config"
config=$(keep $oci.config.v1+json "$work/config")
jq -nc --argjson config "$config" --argjson layer "$layer" --arg type $oci.manifest.v1+json \
  '{schemaVersion: 2, mediaType: $type, config: $config, layers: [$layer]}' >"$work/manifest"
manifest=$(keep $oci.manifest.v1+json "$work/manifest")

echo '{"imageLayoutVersion": "1.0.0"}' >"$work/image/oci-layout"
jq -nc --arg tags "$tags" --argjson manifest "$manifest" '{schemaVersion: 2, manifests: [($tags / ",")[] as $tag |
    $manifest + {annotations: {"io.containerd.image.name": $tag, "org.opencontainers.image.ref.name": ($tag / ":")[-1]}}]}' \
  >"$work/image/index.json"
jq -nc --arg tags "$tags" --argjson config "$config" --argjson layer "$layer" \
  'def blob: "blobs/" + (.digest | sub(":"; "/")); [{Config: $config | blob, RepoTags: ($tags / ","), Layers: [$layer | blob]}]' \
  >"$work/image/manifest.json"

archive=$CACHE/images/$(archive_name "${tags%%,*}")
mkdir -p "$CACHE/images"
pack "$work/image" "$work/archive"
mv "$work/archive" "$archive"
say "packed $tags: $archive, $(du -h "$archive" | cut -f1), $(sha256sum <"$archive" | cut -c1-16)"

for folder in "$CACHE"/run/*/node*/; do
  node=$(basename "$folder") cluster=$(basename "$(dirname "$folder")")
  [[ -e $CACHE/run/$cluster/settings && -d /proc/$(cat "$folder/pid" 2>/dev/null || echo none) ]] || continue
  CLUSTER_NAME=$cluster "$HERE/exec.sh" "$node" ctr --namespace k8s.io image import - <"$archive" >/dev/null
  say "loaded $tags into $node of $cluster"
done
