#!/usr/bin/env bash
# Installs Capsule, built from its Go module, into the running cluster: CRDs, controller and webhooks.
# Then users of the group capsule.clastix.io can own Tenants and create namespaces in them:
#   exec.sh cp kubectl --as alice --as-group capsule.clastix.io create namespace green-shop
source "$(dirname "$0")/env.sh"
module=github.com/projectcapsule/capsule
image=ghcr.io/projectcapsule/capsule:latest # the tag that Capsule's own manifests name

cd "$HERE/capsule"
if [[ ! -x $BIN/capsule ]]; then
  say "building Capsule"
  CGO_ENABLED=0 nice go build -trimpath -ldflags "-s -w" -o "$BIN/capsule" $module
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp "$BIN/capsule" "$root/"
"$HERE/image.sh" "$image" "$root" /capsule >/dev/null

say "installing Capsule"
go mod download $module
config=$(go list -m -f '{{.Dir}}' $module)/config
kubectl kustomize "$config/crd" 2>/dev/null | kubectl apply --server-side -f - >/dev/null
wait_for 30 "service of Capsule's resources" kubectl get tenants,capsuleconfigurations
kubectl kustomize "$config/default" 2>/dev/null | kubectl apply --server-side --force-conflicts -f - >/dev/null
# Two selectors of those manifests are swapped; in Capsule's chart they are like this.
kubectl patch mutatingwebhookconfiguration capsule-mutating-webhook-configuration --patch '{"webhooks": [
  {"name": "owner.namespace.projectcapsule.dev", "namespaceSelector": {"matchExpressions": null},
   "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["namespaces"], "scope": "*"}]},
  {"name": "storage.defaults.projectcapsule.dev", "namespaceSelector": {"matchExpressions": [{"key": "capsule.clastix.io/tenant", "operator": "Exists"}]}}]}' >/dev/null

# The controller makes its certificate after it has started, and serves it after a restart.
in_capsule() { kubectl --namespace capsule-system "$@" >/dev/null; }
in_capsule wait --for 'jsonpath={.data.tls\.crt}' secret/capsule-tls --timeout 120s
in_capsule rollout restart deployment/capsule-controller-manager
in_capsule rollout status deployment/capsule-controller-manager --timeout 120s
# Webhooks answer at once, but Tenants are reconciled only after the old leader's lease has run out.
probe='{"apiVersion": "capsule.clastix.io/v1beta2", "kind": "Tenant", "metadata": {"name": "probe"},
  "spec": {"owners": [{"kind": "User", "name": "probe"}]}}'
create_probe() { kubectl apply -f - <<<"$probe"; }
wait_for 60 "admission of a Tenant" create_probe
kubectl wait --for 'jsonpath={.status.state}=Active' tenant/probe --timeout 60s >/dev/null
kubectl delete tenant probe >/dev/null
say "Capsule is ready"
