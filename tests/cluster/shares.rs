//! What objects of one namespace do to the agent's memory and to how soon another's change is enforced, at 10,000 pods.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "shares/process.rs"]
mod process;
#[path = "shares/services.rs"]
mod services;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agent::watch::{Access, Cluster};
use policy::compile::{Binding, Compiled, Input, NodeView};
use policy::model::{Config, World};
use policy::plan::{Observed, prepare};
use process::{KUBECONFIG, Measured, Report};
use serde_json::{Value, json};
use tests::api_server::{ApiServer, RULES};
use tests::crowd;
use tests::measured::{memory, quantile};

const PODS: usize = 10_000;
const POLICIES: usize = 1_000;
/// Pods of the node.
const LOCAL: usize = 110;
/// The chart's memory limit.
const LIMIT_MIB: u64 = 384;
/// Of the API server, so that lists come in pages as before Kubernetes 1.32.
const PAGED: &[&str] = &["--feature-gates=WatchList=false"];
/// Names of policies whose way is measured.
const MARK: &str = "mark-";
/// The number of their namespace.
const OTHER: usize = 7;

fn crowded(label: &str, flags: &'static [&'static str]) -> ApiServer {
    let server = ApiServer::with_flags(label, flags);
    server.grant(RULES);
    [crowd::namespaces(), crowd::pods(PODS), crowd::policies(0..POLICIES)].iter().for_each(|some| server.store(some));
    server
}

/// Policies of `ns-0` that select nothing, of so many ipBlocks each: 21,000 are 0.8 MB.
fn large(numbers: std::ops::Range<usize>, blocks: usize) -> Vec<(String, Value)> {
    let from: Vec<_> = (0..blocks)
        .map(|n| json!({"ipBlock": {"cidr": format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255)}}))
        .collect();
    let policy = |number: usize| {
        let name = format!("large-{number}");
        let object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": "ns-0", "name": name, "uid": format!("00000000-0000-4000-a000-{number:012}"),
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"podSelector": {"matchLabels": {"app": "nothing"}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": from}]},
        });
        (format!("networkpolicies/ns-0/{name}"), object)
    };
    numbers.map(policy).collect()
}

/// Writes another namespace's policies at a rate, and returns how long each took from before its write to its enforcement.
fn marks(server: &ApiServer, measured: &Measured, count: usize, pause: Duration) -> Vec<Duration> {
    let mut written = BTreeMap::new();
    for number in 0..count {
        let (key, mut object) = crowd::policies(OTHER..OTHER + 1).remove(0);
        let name = format!("{MARK}{number}");
        object["metadata"]["name"] = json!(name);
        written.insert(name.clone(), now());
        server.store(&[(key.replace(&format!("policy-{OTHER}"), &name), object)]);
        sleep(pause);
    }
    let report = measured.until("every mark is enforced", |report| report.marks.len() == count);
    written.iter().map(|(name, at)| Duration::from_millis(report.marks[name].saturating_sub(*at))).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

fn tell(what: &str, measured: &Measured, delays: &[Duration]) {
    let [half, late, most] = [0.5, 0.99, 1.0].map(|part| quantile(delays, part));
    let count = delays.len();
    println!("{what}: another's change is enforced after p50 {half:.0} ms, p99 {late:.0}, most {most:.0} of {count}");
    println!("{:?}", Report { marks: BTreeMap::new(), ..measured.report() });
}

#[test]
fn sixty_policies_of_800_kilobytes_fit_into_the_memory_limit_of_an_agent_that_starts() {
    for flags in [PAGED, &[]] {
        let server = crowded("w-start", flags);
        server.store(&large(0..60, 21_000));
        let measured = Measured::start(&server);
        let report = measured.until("a world", |report| report.worlds > 0);
        println!("{flags:?}: {report:?}");
        assert_eq!((report.pods, report.invalid, report.invalid_of_others), (PODS, 1, 0));
        assert!((POLICIES + 3..POLICIES + 6).contains(&report.policies), "{report:?}");
        assert!(report.peak_mib < LIMIT_MIB, "{report:?}");
    }
}

#[test]
fn ninety_such_policies_while_it_runs_leave_memory_and_others_changes_alone() {
    let server = crowded("w-running", &[]);
    let measured = Measured::start(&server);
    measured.until("a world", |report| report.worlds > 0);
    let delays = std::thread::scope(|scope| {
        scope.spawn(|| server.store(&large(0..90, 21_000)));
        marks(&server, &measured, 20, Duration::from_millis(500))
    });
    tell("90 policies of 0.8 MB", &measured, &delays);
    let report = measured.until("all are seen", |report| report.rejected > 80);
    assert!(report.peak_mib < LIMIT_MIB, "{report:?}");
    assert!(quantile(&delays, 1.0) < 1000.0, "{delays:?}");

    // Once there is room again, they are enforced.
    server.kubectl("delete networkpolicies --all --namespace ns-0 --wait=false");
    measured.until("they are gone", |report| report.invalid == 0 && report.rejected == 0);
}

#[test]
fn label_flips_take_a_share_of_a_processor_and_leave_others_changes_alone() {
    let server = crowded("w-flips", &[]);
    let measured = Measured::start(&server);
    measured.until("a world", |report| report.worlds > 0);
    let delays = std::thread::scope(|scope| {
        let flips = scope.spawn(|| {
            let (begin, mut flip) = (Instant::now(), 0);
            let (mut before, mut taken) = (Duration::ZERO, Vec::new());
            while begin.elapsed() < Duration::from_secs(90) {
                let (key, mut pod) = crowd::pods(1).remove(0);
                pod["metadata"]["labels"]["flip"] = json!(format!("v{flip}"));
                server.store(&[(key, pod)]);
                flip += 1;
                if flip % 300 == 0 {
                    let now = measured.processor_time();
                    taken.push((begin.elapsed(), now - before));
                    before = now;
                }
                sleep(Duration::from_millis(30));
            }
            println!("{flip} flips; processor time by then: {taken:?}");
        });
        let delays = marks(&server, &measured, 80, Duration::from_secs(1));
        flips.join().expect("the flips");
        delays
    });
    tell("label flips", &measured, &delays);
    assert!(quantile(&delays, 0.99) < 1000.0, "{delays:?}");
}

#[test]
fn many_small_policies_of_a_namespace_leave_memory_and_others_changes_alone() {
    let server = crowded("w-many", &[]);
    let measured = Measured::start(&server);
    measured.until("a world", |report| report.worlds > 0);
    let delays = std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..30).for_each(|part| server.store(&large(part * 1000..(part + 1) * 1000, 1)));
        });
        marks(&server, &measured, 20, Duration::from_secs(1))
    });
    tell("30,000 policies", &measured, &delays);
    let report = measured.until("all are seen", |report| report.rejected > 20_000);
    // The namespace's own ten are larger, and go first.
    assert_eq!((report.invalid, report.invalid_of_others), (2, 0), "{report:?}");
    assert!(report.peak_mib < LIMIT_MIB, "{report:?}");
    assert!(quantile(&delays, 0.99) < 1000.0, "{delays:?}");
}

#[test]
#[ignore = "a process of its own, which the tests above start"]
fn a_process_that_is_measured() {
    let access = Access { kubeconfig: Some(std::env::var_os(KUBECONFIG).expect("a kubeconfig").into()), context: None };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::new(&access).await.unwrap();
        let config = Config::default();
        let watch = agent::watch::start(&cluster, &config, None);
        let mut snapshots = watch.snapshots();
        let mut enforcer = Enforcer::default();
        let mut report = Report::default();
        println!();
        loop {
            let news = tokio::time::timeout(Duration::from_secs(1), snapshots.changed()).await;
            let snapshot = snapshots.borrow_and_update().clone();
            if let (Ok(changed), Some(snapshot)) = (news, snapshot) {
                changed.unwrap();
                let time = tokio::task::block_in_place(|| enforcer.enforce(&snapshot.world, &config));
                watch.worked(2 * time);
                report.compile_ms = time.as_secs_f64() * 1e3;
                report.worlds += 1;
                report.pods = snapshot.world.pods.len();
                report.policies = snapshot.world.network_policies.len();
                let invalid = &snapshot.world.invalid_policies;
                report.invalid = invalid.len();
                report.invalid_of_others = invalid.keys().filter(|(namespace, _)| namespace != "ns-0").count();
                report.services = snapshot.world.services.keys().filter(|(namespace, _)| namespace == "ns-0").count();
                report.rejected = snapshot.rejected_of(agent::ingest::Kind::NetworkPolicy);
                let now = now();
                for (_, name) in snapshot.world.network_policies.keys().filter(|(_, name)| name.starts_with(MARK)) {
                    report.marks.entry(name.clone()).or_insert(now);
                }
            }
            report.own_mib = memory("self", "RssAnon").unwrap();
            report.peak_mib = memory("self", "VmHWM").unwrap();
            println!("{}", serde_json::to_string(&report).unwrap());
        }
    });
}

/// An agent without a kernel: worlds become tables.
#[derive(Default)]
struct Enforcer {
    observed: Observed,
    compiled: Option<Compiled>,
}

impl Enforcer {
    fn enforce(&mut self, world: &World, config: &Config) -> Duration {
        let begin = Instant::now();
        let pods = world.pods.values().take(LOCAL).enumerate();
        let endpoints = pods.map(|(number, pod)| Binding {
            slot: number as u32 + 1,
            id: number as u32 + 1,
            ifindex: number as u32 + 100,
            mac: [2, 0, 0, 0, 0, number as u8],
            addresses: pod.addresses.clone(),
            pod: Some(pod.key()),
            adopt_until: 0,
        });
        let node = NodeView { name: "n".to_owned(), endpoints: endpoints.collect(), ..NodeView::default() };
        let input = Input { world, config, node: &node };
        let (compiled, plan) = prepare(&input, &self.observed, self.compiled.as_ref(), &crowd::ROOM).unwrap();
        plan.apply_to(&mut self.observed);
        self.compiled = Some(compiled);
        begin.elapsed()
    }
}
