//! What asking takes in a cluster of 1,000 pods: whole commands, from files, with the memory that they need at most.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::measured::memory;

use crate::report::Row;
use crate::sample::Samples;

const PODS: usize = 1000;
const NAMESPACES: usize = 50;
const TENANTS: usize = 10;
/// In each namespace.
const APPS: usize = 5;

/// Of `simulate`: one namespace more that admits nobody.
const ADDED: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: ns-7, name: shut}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

/// Runs each command `rounds` times.
///
/// # Errors
/// A command fails.
pub fn run(rounds: u32) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("a folder")?;
    let (world, added) = (folder.path().join("world.yaml"), folder.path().join("added.yaml"));
    fs::write(&world, manifests()).and_then(|()| fs::write(&added, ADDED)).context("cannot write the world")?;
    let (world, added) = (world.to_string_lossy().into_owned(), added.to_string_lossy().into_owned());
    let commands: [(&str, &[&str]); 4] = [
        ("matrix --port tcp/80", &["matrix", "-f", &world, "--port", "tcp/80"]),
        ("matrix --port tcp/80 -o json", &["matrix", "-f", &world, "--port", "tcp/80", "-o", "json"]),
        ("explain", &["explain", "-f", &world, "ns-0/app-0-0", "ns-1/app-1-0", "--port", "tcp/80"]),
        ("simulate --add", &["simulate", "-f", &world, "--add", &added]),
    ];
    let program = std::env::current_exe().context("this program's file")?.with_file_name("tested-bulkhead");
    let mut rows = Vec::new();
    for (name, arguments) in commands {
        let mut samples = Samples::default();
        let mut most = 0;
        for _ in 0..rounds.min(3) {
            let (seconds, memory) = measure(&program, arguments)?;
            samples.add(seconds);
            most = most.max(memory);
        }
        let note = format!("{PODS} pods; at most {most} MiB resident, spread {:.0} %", samples.spread());
        rows.push(Row::new("ask", name.to_owned(), samples.median(), "s", None).note(note));
    }
    Ok(rows)
}

/// Seconds, and MiB resident at most.
fn measure(program: &Path, arguments: &[&str]) -> Result<(f64, u64)> {
    let begin = Instant::now();
    let mut command = Command::new(program);
    let mut process = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let id = process.id().to_string();
    let mut most = 0;
    let ended = loop {
        most = memory(&id, "VmHWM").unwrap_or(most).max(most);
        if let Some(ended) = process.try_wait()? {
            break ended;
        }
        sleep(Duration::from_millis(2));
    };
    // 1: a drop, or verdicts that change.
    ensure!(matches!(ended.code(), Some(0 | 1)), "{arguments:?} ended with {ended}");
    Ok((begin.elapsed().as_secs_f64(), most))
}

fn manifests() -> String {
    let mut text = String::new();
    for tenant in 0..TENANTS {
        let _ = writeln!(
            text,
            "---\n{{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {{name: t{tenant}}}}}"
        );
    }
    for namespace in 0..NAMESPACES {
        let _ = writeln!(
            text,
            "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: ns-{namespace}, labels: {{capsule.clastix.io/tenant: t{}}}}}}}",
            namespace % TENANTS
        );
        for app in 0..APPS {
            let _ = writeln!(
                text,
                "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{namespace: ns-{namespace}, name: app-{app}}}, \
                 spec: {{podSelector: {{matchLabels: {{app: app-{app}}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: \
                 {{app: app-{}}}}}}}, {{namespaceSelector: {{matchLabels: {{capsule.clastix.io/tenant: t{}}}}}}}], ports: [{{port: 80}}]}}]}}}}",
                (app + 1) % APPS,
                (namespace + 1) % TENANTS
            );
        }
    }
    for pod in 0..PODS {
        let (namespace, app) = (pod % NAMESPACES, pod / NAMESPACES % APPS);
        let number = pod / NAMESPACES / APPS;
        let _ = writeln!(
            text,
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{namespace: ns-{namespace}, name: app-{app}-{number}, labels: {{app: app-{app}}}}}, spec: {{containers: [{{name: c, ports: [{{containerPort: 80}}]}}]}}}}"
        );
    }
    text
}
