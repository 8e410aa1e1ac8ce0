//! The image that `cargo xtask image` made runs in a pod: a binary that needs nothing beside it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use tests::cluster::{Cluster, Proxy};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: version}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  containers:
  - name: version
    image: ghcr.io/bulkhead/bulkhead:VERSION
    args: [--version]
    securityContext:
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
";

#[test]
fn a_pod_of_the_image_says_its_version() {
    let version = env!("CARGO_PKG_VERSION");
    let cluster = Cluster::up(Proxy::Iptables);
    cluster.apply(&POD.replace("VERSION", version));
    cluster.kubectl("wait pod version --for jsonpath={.status.phase}=Succeeded --timeout 60s");
    let said = cluster.kubectl("logs version");
    cluster.kubectl("delete pod version");
    assert_eq!(said.trim(), format!("bulkhead {version}"));
}
