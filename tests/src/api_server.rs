//! A bare Kubernetes API: etcd and kube-apiserver in a network namespace of their own. No node, no controller, nothing
//! that a test has not written. Much cheaper than a cluster, for what only talks to the API.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use agent::net::NetNs;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{Daemon, binary};
use crate::etcd::{self, ADDRESS as ETCD};
use crate::netns::TestNetNs;

/// What the chart lets the agent do: the `rules` of its `ClusterRole`.
pub const RULES: &str = include_str!("../../deploy/helm/bulkhead/files/rules.yaml");

/// The API server's address, which may not be a loopback one.
const ADDRESS: &str = "10.89.0.1";
const PORT: u16 = 6443;
/// Who may do anything, and who may do what a test grants.
const ADMIN: (&str, &str) = ("admin", "system:masters");
const AGENT: (&str, &str) = ("system:serviceaccount:bulkhead-system:bulkhead", "system:serviceaccounts");

/// A Kubernetes API that ends with this value.
#[derive(Debug)]
pub struct ApiServer {
    // In the order in which they are dropped.
    server: Option<Daemon>,
    _etcd: Daemon,
    netns: TestNetNs,
    folder: TempDir,
    /// More of the API server's flags.
    flags: &'static [&'static str],
}

impl ApiServer {
    /// # Panics
    /// Without root, or without the binaries: `cargo xtask cluster build` makes them.
    #[must_use]
    pub fn start(label: &str) -> Self {
        Self::with_flags(label, &[])
    }

    /// The same, with more flags of `kube-apiserver`.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn with_flags(label: &str, flags: &'static [&'static str]) -> Self {
        let netns = TestNetNs::new(label);
        netns.ip("link add underlay type bridge");
        netns.ip(&format!("address add {ADDRESS}/24 dev underlay"));
        netns.ip("link set underlay up");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let etcd = Daemon::start(&netns, path, "etcd", "etcd", |etcd| {
            etcd.args(["--listen-client-urls", &format!("http://{ETCD}")]);
            etcd.args(["--advertise-client-urls", &format!("http://{ETCD}")]);
            etcd.args(["--unsafe-no-fsync", "--log-level", "warn", "--data-dir"]).arg(path.join("etcd"));
        });
        write_credentials(path);
        let mut this = Self { server: None, _etcd: etcd, netns, folder, flags };
        this.serve();
        this
    }

    /// Starts the API server where it is not running, and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not get ready in time.
    pub fn serve(&mut self) {
        if self.server.is_none() {
            self.server = Some(self.second(PORT));
        }
    }

    /// Stops the API server and leaves etcd alone.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// One more API server on the same etcd, at another port.
    ///
    /// # Panics
    /// Where it does not get ready in time.
    #[must_use]
    pub fn second(&self, port: u16) -> Daemon {
        let path = self.folder.path();
        let server = Daemon::start(&self.netns, path, "kube-apiserver", &format!("kube-apiserver-{port}"), |server| {
            server.args(["--etcd-servers", &format!("http://{ETCD}"), "--advertise-address", ADDRESS]);
            server
                .args(["--secure-port", &port.to_string(), "--cert-dir"])
                .arg(path.join(format!("certificates-{port}")));
            server.args(["--service-cluster-ip-range", "10.96.0.0/16,fd96::/112", "--authorization-mode", "RBAC"]);
            server.arg("--token-auth-file").arg(path.join("tokens"));
            server.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
            for flag in ["--service-account-key-file", "--service-account-signing-key-file"] {
                server.arg(flag).arg(path.join("service-account.key"));
            }
            // Pods need neither a service account nor its token: none of them runs.
            server.args(["--disable-admission-plugins", "ServiceAccount", "--enable-priority-and-fairness=false"]);
            server.args(self.flags);
        });
        let ready = format!("https://{ADDRESS}:{port}/readyz");
        server.wait_for("the API server", || {
            let mut curl = Command::new("curl");
            curl.args(["--insecure", "--silent", "--fail", "--oauth2-bearer", ADMIN.0, &ready]);
            self.inside(&mut curl).success()
        });
        server
    }

    /// Runs `work` where the API server can be reached.
    ///
    /// # Panics
    /// Where the namespace is gone.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.run(work).expect("enter the namespace")
    }

    /// The network namespace that it is in, for a thread of its own.
    ///
    /// # Panics
    /// Where the namespace is gone.
    #[must_use]
    pub fn netns_handle(&self) -> NetNs {
        NetNs::named(self.netns.name()).expect("the namespace")
    }

    /// A kubeconfig of the agent's service account.
    #[must_use]
    pub fn agent_config(&self) -> PathBuf {
        self.folder.path().join("agent.conf")
    }

    /// A folder that ends with this value.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A kubeconfig of an administrator.
    #[must_use]
    pub fn admin_config(&self) -> PathBuf {
        self.folder.path().join("admin.conf")
    }

    /// What `kubectl ARGUMENTS` prints, as an administrator.
    ///
    /// # Panics
    /// Where it fails.
    pub fn kubectl(&self, arguments: &str) -> String {
        self.kubectl_with(arguments.split_whitespace(), "")
    }

    /// The refusal of a new object by the API server; `None` where it takes it.
    #[must_use]
    pub fn refusal(&self, object: &str) -> Option<String> {
        let output = self.kubectl_output(["create", "-f", "-"], object);
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Whether `kubectl ARGUMENTS` succeeds, as an administrator.
    #[must_use]
    pub fn try_kubectl(&self, arguments: &str) -> bool {
        self.kubectl_output(arguments.split_whitespace(), "").status.success()
    }

    /// Puts objects into the cluster, as they are written in a file.
    ///
    /// # Panics
    /// Where the API server refuses one.
    pub fn apply(&self, objects: &str) {
        self.kubectl_with(["apply", "--server-side", "--force-conflicts", "-f", "-"], objects);
    }

    /// Writes the `status` of objects that are there.
    ///
    /// # Panics
    /// Where the API server refuses one.
    pub fn apply_status(&self, objects: &str) {
        self.kubectl_with(["apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-"], objects);
    }

    /// Lets the agent's service account do what `rules` say: the `rules` of a `ClusterRole`, as YAML.
    ///
    /// # Panics
    /// Where the API server refuses them.
    pub fn grant(&self, rules: &str) {
        let rules: serde_yaml_ng::Value = serde_yaml_ng::from_str(rules).expect("YAML");
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "bulkhead"}, "rules": rules,
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "bulkhead"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bulkhead"},
            "subjects": [{"kind": "ServiceAccount", "name": "bulkhead", "namespace": "bulkhead-system"}],
        });
        self.apply(&format!("{role}\n---\n{binding}\n"));
    }

    /// As [`Self::apply`], through the API server at another port.
    ///
    /// # Panics
    /// Where the API server refuses one.
    pub fn apply_at(&self, port: u16, objects: &str) {
        let server = format!("--server=https://{ADDRESS}:{port}");
        self.kubectl_with([server.as_str(), "apply", "--server-side", "--force-conflicts", "-f", "-"], objects);
    }

    fn kubectl_with<'a>(&self, arguments: impl IntoIterator<Item = &'a str>, input: &str) -> String {
        let output = self.kubectl_output(arguments, input);
        assert!(output.status.success(), "kubectl: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn kubectl_output<'a>(&self, arguments: impl IntoIterator<Item = &'a str>, input: &str) -> Output {
        let prepare = |kubectl: &mut Command| {
            kubectl.args(arguments).arg("--cache-dir").arg(self.folder.path().join("cache"));
            kubectl.arg("--kubeconfig").arg(self.admin_config());
        };
        self.output(&binary("kubectl"), prepare, input)
    }

    /// As [`etcd::store`].
    ///
    /// # Panics
    /// Where etcd refuses them.
    pub fn store(&self, objects: &[(String, Value)]) {
        etcd::store(objects, |line| drop(self.netns.command("curl", line)));
    }

    /// Makes etcd forget every revision but the newest.
    ///
    /// # Panics
    /// Where etcd does not.
    pub fn compact(&self) {
        let post = |path: &str, body: &str| {
            self.netns.command("curl", &format!("--silent --fail --data {body} http://{ETCD}/v3/kv/{path}"))
        };
        let answer: Value = serde_json::from_str(&post("range", r#"{"key":"AA=="}"#)).expect("JSON");
        let revision = answer["header"]["revision"].as_str().expect("a revision").to_owned();
        post("compaction", &format!(r#"{{"revision":"{revision}","physical":true}}"#));
    }

    /// Starts a program of Kubernetes where the API server is, with a file that its output goes to.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn daemon(&self, program: &str, name: &str, arguments: impl FnOnce(&mut Command)) -> Daemon {
        Daemon::start(&self.netns, self.folder.path(), program, name, arguments)
    }

    /// What a program that runs where the API server is prints, given `input`.
    ///
    /// # Panics
    /// Where it cannot be run.
    pub fn output(&self, program: &Path, prepare: impl FnOnce(&mut Command), input: &str) -> Output {
        let mut command = Command::new(program);
        prepare(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.run(|| {
            let mut process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
            process.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
            process.wait_with_output().expect("its end")
        })
    }

    fn inside(&self, command: &mut Command) -> std::process::ExitStatus {
        self.run(|| command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a command"))
    }
}

/// Tokens for both users, their kubeconfigs, and the key that service accounts' tokens would be signed with.
fn write_credentials(folder: &Path) {
    let line = |number: usize, (user, group): (&str, &str)| format!("{user},{user},{number},\"{group}\"\n");
    fs::write(folder.join("tokens"), line(1, ADMIN) + &line(2, AGENT)).expect("write tokens");
    for (name, (token, _)) in [("admin", ADMIN), ("agent", AGENT)] {
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: bare\n\
             clusters: [{{name: bare, cluster: {{server: 'https://{ADDRESS}:{PORT}', insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: {name}, user: {{token: '{token}'}}}}]\n\
             contexts: [{{name: bare, context: {{cluster: bare, user: {name}}}}}]\n"
        );
        fs::write(folder.join(format!("{name}.conf")), config).expect("write a kubeconfig");
    }
    let mut openssl = Command::new("openssl");
    openssl.args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]);
    let output = openssl.arg(folder.join("service-account.key")).output().expect("openssl");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
