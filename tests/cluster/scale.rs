//! How much a cluster of 10,000 pods and 1,000 policies is to an agent that follows it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::process::Command;
use std::time::Instant;

use agent::watch::{Access, Cluster};
use policy::model::Config;
use serde::{Deserialize, Serialize};
use tests::api_server::{ApiServer, RULES};
use tests::crowd;
use tests::measured::memory;

const PODS: usize = 10_000;
const POLICIES: usize = 1_000;
/// Where the process that is measured finds its kubeconfig.
const KUBECONFIG: &str = "BULKHEAD_TEST_KUBECONFIG";

/// What that process prints.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    pods: usize,
    policies: usize,
    /// From the start of the watch to the first snapshot.
    seconds: f64,
    /// Of the same watch, once everything has been listed a second time.
    resident_mib: u64,
    peak_mib: u64,
    bytes: Vec<(String, u64)>,
    /// To make a world of what the store holds, as each snapshot does.
    clone_ms: f64,
}

#[test]
fn ten_thousand_pods_and_a_thousand_policies_fit_into_the_budget() {
    let server = ApiServer::start("w-scale");
    server.grant(RULES);
    [crowd::namespaces(), crowd::pods(PODS), crowd::policies(0..POLICIES)].iter().for_each(|some| server.store(some));
    let measure = || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--ignored", "--exact", "a_process_that_is_measured", "--nocapture"]);
        command.env(KUBECONFIG, server.agent_config()).output().expect("a second process")
    };
    let output = server.run(measure);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{output:?}"));
    println!("{line}");
    let measured: Measured = serde_json::from_str(line).expect("JSON");
    assert_eq!((measured.pods, measured.policies), (PODS, POLICIES));
    assert!(measured.resident_mib < 100, "the budget of the whole agent: {measured:?}");
}

#[test]
#[ignore = "a process of its own, which the test above starts"]
fn a_process_that_is_measured() {
    let access = Access { kubeconfig: Some(std::env::var_os(KUBECONFIG).expect("a kubeconfig").into()), context: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::new(&access).await.unwrap();
        let start = Instant::now();
        let watch = agent::watch::start(&cluster, &Config::default(), None);
        let mut snapshots = watch.snapshots();
        let snapshot = snapshots.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let copied = Instant::now();
        drop(std::hint::black_box(snapshot.world.clone()));
        let clone_ms = copied.elapsed().as_secs_f64() * 1e3;
        let measured = Measured {
            pods: snapshot.world.pods.len(),
            policies: snapshot.world.network_policies.len(),
            seconds,
            resident_mib: memory("self", "VmRSS").unwrap(),
            peak_mib: memory("self", "VmHWM").unwrap(),
            bytes: watch.bytes().into_iter().map(|(resource, bytes)| (resource.plural().to_owned(), bytes)).collect(),
            clone_ms,
        };
        println!("\n{}", serde_json::to_string(&measured).unwrap());
    });
}
