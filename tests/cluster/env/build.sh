#!/usr/bin/env bash
# Builds Kubernetes, etcd and agnhost from their Go modules into $CACHE/bin, then packs the images of every cluster.
# A binary that is already there and was built from this very go.sum is kept.
source "$(dirname "$0")/env.sh"

mkdir -p "$CACHE"
exec {lock}>"$CACHE/build.lock"
flock "$lock" # two builds at once would take each other's processors, and write the same files

stamp=$CACHE/bin.stamp
want=$(cat "$HERE"/go.sum "$HERE"/*/*.go | sha256sum; go version)
[[ -f $stamp && $(<"$stamp") == "$want" ]] || rm -rf "$BIN" "$stamp"
mkdir -p "$BIN"

ldflags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ldflags+=" -X $package.gitVersion=$KUBE_VERSION -X $package.gitMajor=1 -X $package.gitMinor=34 -X $package.gitTreeState=clean"
done

cd "$HERE"
for package in $(go list tool) ./pause ./sctp; do
  binary=$BIN/$(basename "${package/etcd\/server\/v3/etcd}")
  [[ -x $binary ]] && continue
  say "building $(basename "$binary")"
  # Under another name until it is whole: an interrupted build is begun again.
  CGO_ENABLED=0 nice go build -trimpath -ldflags "$ldflags" -o "$binary.part" "$package"
  mv "$binary.part" "$binary"
done
echo "$want" >"$stamp"

# Not a tool of the same module: it wants Kubernetes' libraries in other versions.
if [[ $("$BIN/helm" version --template '{{.Version}}' 2>/dev/null) != "$HELM_VERSION" ]]; then
  say "building helm"
  GOBIN=$BIN CGO_ENABLED=0 nice go install -trimpath -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$HELM_VERSION" \
    "helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
fi
[[ -e $CACHE/images/$(archive_name "${AGNHOST_IMAGES%%,*}") ]] || "$HERE/images.sh"
