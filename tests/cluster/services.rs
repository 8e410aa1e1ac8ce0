//! Services, each way that a pod can reach one, and what no object describes: what decides is the pods behind it, whatever
//! the node makes of the address. Without an agent everything arrives, so each drop is the agent's.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "services/expected.rs"]
mod expected;
#[path = "services/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread::{self, sleep};
use std::time::Duration;

use expected::{CASES, Case, Expected, Stage, expected};
use nix::sys::signal::Signal;
use serde_json::Value;
use tests::cluster::{Agent, Cluster, Place, PodNetwork, Proxy, TEAMS, eventually};
use world::{Behind, SENDER_NODES, Way, sender};

const BINARY: &str = env!("CARGO_BIN_EXE_tested-bulkhead");
const DROPPED: &str = "bulkhead_dropped_packets_total";
const TRIES: usize = 4;
/// Two pods in turn at random: that one of them is never met happens once in half a million.
const TRIES_AT_A_MIXTURE: usize = 20;
/// Longer than an agent waits before it reads what was dropped.
const TOLD: Duration = Duration::from_millis(500);
/// Older figures are not served again.
const SCRAPED: Duration = Duration::from_millis(1100);

/// The calls of a cell: how many each pod answered, and why the others dropped.
#[derive(Default)]
struct Outcome {
    answers: BTreeMap<String, usize>,
    unanswered: usize,
    reasons: BTreeSet<String>,
}

impl Outcome {
    fn is(&self, expected: Expected, behind: Behind) -> bool {
        let answers_of = |pods: &[Behind]| {
            let names: BTreeSet<_> = pods.iter().map(|pod| pod.name()).collect();
            self.answers.keys().map(String::as_str).collect::<BTreeSet<_>>() == names
        };
        let reason = |reason: &str| self.unanswered > 0 && self.reasons.iter().eq([reason]);
        match expected {
            Expected::Answers => answers_of(behind.members()) && self.unanswered == 0 && self.reasons.is_empty(),
            Expected::Drops(why) => self.answers.is_empty() && reason(why),
            Expected::EachByItself(why) => answers_of(&[Behind::Good]) && reason(why),
        }
    }

    fn text(&self) -> String {
        let mut words: Vec<_> = self.answers.iter().map(|(who, count)| format!("{who} {count}")).collect();
        if self.unanswered > 0 {
            let reasons: Vec<_> = self.reasons.iter().map(String::as_str).collect();
            words.push(format!("{} {}", reasons.join("+"), self.unanswered));
        }
        words.join(", ")
    }
}

struct Bench {
    pods: BTreeMap<String, PodNetwork>,
    cluster: Cluster,
}

impl Bench {
    fn new(proxy: Proxy) -> Self {
        let cluster = Cluster::up(proxy);
        Self { pods: world::create(&cluster), cluster }
    }

    /// Without an agent every way leads to every pod.
    fn everything_is_reached(&self) {
        for (node, way, name) in rows() {
            for case in &CASES {
                let sender = &self.pods[&sender(case.sender, node)];
                for to in way.addresses(node, case.behind, &self.pods) {
                    let what = format!("{name} of {} from node{node} without an agent", case.behind.name());
                    eventually(&what, 60, || sender.ask(to));
                }
            }
        }
    }

    fn start_agents(&self, stage: Stage) -> [Agent; 2] {
        let config = format!("{TEAMS}{}", stage.config());
        let agents = Agent::start_everywhere(&self.cluster, BINARY, &config);
        for node in SENDER_NODES {
            let status = || self.cluster.try_run(Place::Node(node), &format!("{BINARY} status"));
            eventually("the agents enforce", 60, || {
                let status = String::from_utf8_lossy(&status().stdout).into_owned();
                (status.contains("enforcing") && status.contains(stage.told())).then_some(())
            });
        }
        agents
    }

    /// The table; and each cell that is not as it must be.
    fn judge(&self, stage: Stage) -> Vec<String> {
        let mut wrong = Vec::new();
        println!("| from | |{}", CASES.map(|case| format!(" {} |", case.title)).concat());
        println!("|---|---|{}", "---|".repeat(CASES.len()));
        for (node, way, name) in rows() {
            // Only behind the rewriting is it seen what such a rule makes of a call.
            if way == Way::ByHand && stage == Stage::AtVeth {
                continue;
            }
            let mut line = format!("| node{node} | {name} |");
            for case in &CASES {
                let expected = expected(stage, (node, way), case);
                let outcome = self.call(node, way, case);
                line += &format!(" {} |", outcome.text());
                if !outcome.is(expected, case.behind) {
                    wrong.push(format!("node{node}, {name}, {}: {}, not {expected:?}", case.title, outcome.text()));
                }
            }
            println!("{line}");
        }
        wrong
    }

    /// Calls many times at once.
    fn call(&self, node: u32, way: Way, case: &Case) -> Outcome {
        let caller = &self.pods[&sender(case.sender, node)];
        let addresses = way.addresses(node, case.behind, &self.pods);
        let tries = if case.behind == Behind::Mixed { TRIES_AT_A_MIXTURE } else { TRIES };
        let told_before = self.drops(caller);
        let answers = ask_often(caller, &addresses, tries);
        let mut outcome = Outcome::default();
        for answer in answers {
            match answer {
                Some(who) => *outcome.answers.entry(who).or_default() += 1,
                None => outcome.unanswered += 1,
            }
        }
        // An agent tells of all drops of this cell before the next one begins.
        sleep(TOLD);
        outcome.reasons = self.drops(caller).difference(&told_before).map(|(_, reason)| reason.clone()).collect();
        outcome
    }

    /// When and why packets of a pod were dropped, on any node.
    fn drops(&self, of: &PodNetwork) -> BTreeSet<(String, String)> {
        let all = SENDER_NODES
            .map(|node| self.cluster.run(Place::Node(node), &format!("{BINARY} drops --output json")))
            .concat();
        let records = all.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let of = of.addresses[0].to_string();
        let text = |record: &Value, field: &str| record[field].as_str().expect("a text").to_owned();
        records
            .filter(|record| record["source"]["ip"] == of)
            .map(|record| (text(&record, "time"), text(&record, "reason")))
            .collect()
    }

    fn undecided(&self) -> u64 {
        sleep(SCRAPED);
        SENDER_NODES.map(|node| self.cluster.metric(node, DROPPED, &["reason=\"service_undecided\""])).iter().sum()
    }
}

fn rows() -> impl Iterator<Item = (u32, Way, &'static str)> {
    SENDER_NODES.into_iter().flat_map(|node| Way::ALL.map(|(way, name)| (node, way, name)))
}

/// Several addresses are called in turn.
fn ask_often(caller: &PodNetwork, addresses: &[SocketAddr], tries: usize) -> Vec<Option<String>> {
    thread::scope(|scope| {
        let asks = addresses.iter().cycle().take(tries).map(|to| scope.spawn(|| caller.ask(*to)));
        asks.collect::<Vec<_>>().into_iter().map(|ask| ask.join().expect("an answer or none")).collect()
    })
}

fn table(proxy: Proxy) {
    let bench = Bench::new(proxy);
    bench.everything_is_reached();
    let mut wrong = Vec::new();
    for stage in [Stage::AfterDnat, Stage::AtVeth] {
        let agents = bench.start_agents(stage);
        println!(
            "kube-proxy in {} mode, judged {}: who answered, and why the others dropped",
            proxy.name(),
            stage.name()
        );
        let before = bench.undecided();
        wrong.extend(bench.judge(stage).into_iter().map(|cell| format!("{}: {cell}", stage.name())));
        let undecided = bench.undecided() - before;
        println!("packets that dropped as service_undecided: {undecided}");
        if stage == Stage::AfterDnat && undecided > 0 {
            wrong.push(format!("{undecided} packets were undecided behind the rewriting"));
        }
        agents.into_iter().for_each(|mut agent| agent.end(Signal::SIGTERM));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pods_behind_a_service_decide_under_iptables() {
    table(Proxy::Iptables);
}

#[test]
fn the_pods_behind_a_service_decide_under_nftables() {
    table(Proxy::Nftables);
}
