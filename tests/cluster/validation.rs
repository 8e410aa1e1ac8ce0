//! What we refuse and what a real API server refuses, document by document: all of tests/cluster/validation, every file of
//! tests/worlds/bad-input and the tutorial. Where the two differ, the document is in a file of its own, which says why.
#![allow(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use agent::ingest::load;
use serde::Deserialize;
use serde_json::{Value, json};
use tests::cluster::{Cluster, Place, Proxy, eventually};

/// What a real server takes: both take it, or both refuse it.
const ALIKE: &[&str] = &["cluster/validation/alike.yaml", "../examples/tutorial"];
/// It takes them and we do not.
const STRICTER: &[&str] = &["cluster/validation/stricter.yaml"];
/// We take them and it does not.
const LAXER: &[&str] = &["cluster/validation/laxer.yaml"];
/// Whatever it says, we refuse them: some have several faults, and some of those are no server's business.
const REFUSED: &[&str] = &["worlds/bad-input"];

/// Namespaces that the documents are in.
const NAMESPACES: [&str; 7] = ["x", "y", "team-a-front", "team-a-back", "team-b-front", "team-b-back", "outside"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
}

struct Compared {
    document: String,
    ours: Verdict,
    theirs: Verdict,
    /// The server's words.
    says: String,
}

/// Every YAML and JSON file of a path, in the order of names.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = path.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> =
        entries.flat_map(|entry| if entry.is_dir() { files(&entry) } else { vec![entry] }).collect();
    found.retain(|file| file.extension().is_some_and(|it| it == "yaml" || it == "json"));
    found.sort();
    found
}

/// The documents of a file that are objects with a name, of which a server says something. Of a Tenant only its metadata
/// is read, and no Capsule runs here.
fn documents(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a file");
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let values = documents.map_while(|it| Value::deserialize(it).ok());
    let items = values.flat_map(|value| match value["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![value],
    });
    items.filter(|it| it["metadata"]["name"].is_string() && it["kind"].is_string() && it["kind"] != "Tenant").collect()
}

/// The document with what a server asks for and policy does not read: containers, their names and images.
fn completed(mut document: Value) -> Value {
    match document["kind"].as_str() {
        Some("Pod") => complete_pod(&mut document["spec"]),
        Some("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") if document["spec"]["template"].is_object() => {
            complete_pod(&mut document["spec"]["template"]["spec"]);
        }
        _ => {}
    }
    document
}

fn complete_pod(spec: &mut Value) {
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        spec["containers"] = json!([{}]);
    }
    for list in ["containers", "initContainers"] {
        let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for (index, container) in containers.iter_mut().enumerate() {
            if let Some(container) = container.as_object_mut() {
                container.entry("name").or_insert(format!("{}-{index}", list.to_lowercase()).into());
                container.entry("image").or_insert("registry.k8s.io/pause:3.10.1".into());
            }
        }
    }
}

fn ours(document: &Value) -> Verdict {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("document.json");
    std::fs::write(&file, document.to_string()).expect("a file");
    if load(&[file]).is_ok() { Verdict::Accepted } else { Verdict::Refused }
}

fn theirs(cluster: &Cluster, document: &Value) -> (Verdict, String) {
    let mut command = cluster.command(Place::Outside, "kubectl");
    command.args(["create", "--dry-run=server", "--validate=strict", "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("kubectl");
    process.stdin.take().expect("a pipe").write_all(document.to_string().as_bytes()).expect("kubectl reads");
    let output = process.wait_with_output().expect("its end");
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    // A name that is taken is a valid one.
    let accepted = output.status.success() || says.contains("lready exists");
    (if accepted { Verdict::Accepted } else { Verdict::Refused }, says)
}

/// Four at a time: most of it is waiting.
fn compare(cluster: &Cluster, paths: &[&str]) -> Vec<Compared> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = paths.iter().flat_map(|path| files(&root.join(path))).flat_map(|file| documents(&file));
    let documents = Mutex::new(documents.map(completed));
    let compared = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(document) = documents.lock().expect("nobody panicked").next() else { break };
                    let (theirs, says) = theirs(cluster, &document);
                    let ours = ours(&document);
                    let document = document.to_string();
                    compared.lock().expect("nobody panicked").push(Compared { document, ours, theirs, says });
                }
            });
        }
    });
    compared.into_inner().expect("nobody panicked")
}

/// Prints what is not as expected, and counts it.
fn unexpected(what: &str, compared: &[Compared], expected: impl Fn(Verdict, Verdict) -> bool) -> usize {
    let wrong: Vec<_> = compared.iter().filter(|it| !expected(it.ours, it.theirs)).collect();
    println!("{what}: {} documents, {} not as expected", compared.len(), wrong.len());
    for Compared { document, ours, theirs, says } in &wrong {
        println!("  ours {ours:?}, theirs {theirs:?}: {document}\n    {}", says.trim());
    }
    wrong.len()
}

/// The CRD of the experimental channel, from the module that also holds the conformance tests.
fn install_crd(cluster: &Cluster) {
    let download = ["mod", "download", "-json", "sigs.k8s.io/network-policy-api@v0.2.0"];
    let output = Command::new("go").args(download).current_dir("/").output().expect("Go, which builds Kubernetes");
    let module: Value = serde_json::from_slice(&output.stdout).expect("what go mod download prints");
    let crd = "config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml";
    let crd = Path::new(module["Dir"].as_str().expect("a folder")).join(crd);
    cluster.apply(&std::fs::read_to_string(crd).expect("the CRD"));
    // A definition of this moment has no conditions yet, which `kubectl wait` takes for an error.
    let established = "kubectl wait crd/clusternetworkpolicies.policy.networking.k8s.io --for condition=Established";
    eventually("the kind is established", 60, || {
        cluster.try_run(Place::Outside, established).status.success().then_some(())
    });
}

#[test]
fn we_refuse_what_a_real_api_server_refuses() {
    use Verdict::{Accepted, Refused};
    let cluster = Cluster::up(Proxy::Iptables);
    install_crd(&cluster);
    let namespace = |name: &&str| format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: \"{name}\"}}}}");
    cluster.apply(&NAMESPACES.iter().map(namespace).collect::<Vec<_>>().join("\n---\n"));
    let wrong = unexpected("alike", &compare(&cluster, ALIKE), |ours, theirs| ours == theirs)
        + unexpected("stricter", &compare(&cluster, STRICTER), |ours, theirs| (ours, theirs) == (Refused, Accepted))
        + unexpected("laxer", &compare(&cluster, LAXER), |ours, theirs| (ours, theirs) == (Accepted, Refused));
    let bad = compare(&cluster, REFUSED);
    let theirs = bad.iter().filter(|it| it.theirs == Refused).count();
    println!("bad input: {} documents, {theirs} of them refused by the API server", bad.len());
    assert_eq!(wrong, 0, "printed above");
}
