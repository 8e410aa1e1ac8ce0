//! Services, each way that a pod can reach one: what decides is the pods behind it, whatever kube-proxy makes of the
//! address. Without an agent everything arrives, so each drop is the agent's.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tests::cluster::{AGNHOST, Agent, Cluster, PodNetwork, Proxy, TEAMS, eventually, manifests};

const TRIES: usize = 4;
const TRIES_AT_A_MIXTURE: usize = 12;

/// What a Service leads to, and the number in its addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// `red/good`, which `red/picky` may reach.
    Good = 1,
    /// `red/bad`, which `red/picky` may not reach.
    Bad = 2,
    /// `blue/foreign`, a pod of another tenant.
    Foreign = 3,
    /// Good and bad.
    Mixed = 4,
}

impl Behind {
    const ALL: [Self; 4] = [Self::Good, Self::Bad, Self::Foreign, Self::Mixed];

    const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Foreign => "foreign",
            Self::Mixed => "mixed",
        }
    }

    const fn namespace(self) -> &'static str {
        if matches!(self, Self::Foreign) { "blue" } else { "red" }
    }
}

/// A column of the table.
struct Case {
    title: &'static str,
    sender: &'static str,
    behind: Behind,
    passes: bool,
}

const CASES: [Case; 5] = [
    Case { title: "same tenant", sender: "plain", behind: Behind::Good, passes: true },
    Case { title: "other tenant", sender: "plain", behind: Behind::Foreign, passes: false },
    Case { title: "policy allows", sender: "picky", behind: Behind::Good, passes: true },
    Case { title: "policy forbids", sender: "picky", behind: Behind::Bad, passes: false },
    // The part that is allowed may pass; the other may not.
    Case { title: "mixed", sender: "picky", behind: Behind::Mixed, passes: false },
];

/// A row of the table.
#[derive(Clone, Copy)]
enum Way {
    ClusterIp,
    OwnNodePort,
    OtherNodePort,
    ExternalIp,
    HostPort,
    Headless,
    NoSelector,
}

impl Way {
    const ALL: [(Self, &'static str); 7] = [
        (Self::ClusterIp, "ClusterIP"),
        (Self::OwnNodePort, "NodePort, own node"),
        (Self::OtherNodePort, "NodePort, other node"),
        (Self::ExternalIp, "externalIP"),
        (Self::HostPort, "hostPort"),
        (Self::Headless, "headless"),
        (Self::NoSelector, "no selector"),
    ];

    /// Senders are on the first node, what they reach is on the second.
    fn address(self, behind: Behind, pods: &BTreeMap<&str, PodNetwork>) -> Option<SocketAddr> {
        let number = behind as u8;
        let at = |ip: [u8; 4], port| Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port));
        match self {
            Self::ClusterIp => at([10, 96, 10, number], 80),
            Self::OwnNodePort => at([10, 89, 0, 11], 30100 + u16::from(number)),
            Self::OtherNodePort => at([10, 89, 0, 12], 30100 + u16::from(number)),
            Self::ExternalIp => at([203, 0, 113, number], 80),
            Self::NoSelector => at([10, 96, 20, number], 80),
            // One pod each: there is no mixture.
            Self::HostPort if behind == Behind::Mixed => None,
            Self::HostPort => at([10, 89, 0, 12], 8100 + u16::from(number)),
            Self::Headless => Some(SocketAddr::new(pods.get(behind.name())?.addresses[0], 8080)),
        }
    }
}

fn pods() -> String {
    let backend = |behind: Behind| {
        let (name, namespace, port) = (behind.name(), behind.namespace(), 8100 + behind as u16);
        format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{namespace: {namespace}, name: {name}, labels: {{app: {name}, {name}: behind, mixed: behind}}}}
spec:
  nodeName: node2
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: {AGNHOST}
    args: [netexec, --http-port=8080]
    ports: [{{containerPort: 8080, hostPort: {port}}}]
    readinessProbe: {{httpGet: {{path: /hostname, port: 8080}}, periodSeconds: 1}}
"
        )
    };
    ["red", "blue"].map(|name| manifests::namespace(name, name)).concat()
        + &["plain", "picky"].map(|name| manifests::pod("red", name, 1, &format!("app: {name}"), "pause")).concat()
        + &[Behind::Good, Behind::Bad, Behind::Foreign].map(backend).concat()
        + "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: red, name: picky}
spec:
  podSelector: {matchLabels: {app: picky}}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {matchLabels: {app: good}}}], ports: [{port: 8080}]}]
"
}

/// A Service of each kind before `behind`; the one without selector is given the pods' addresses.
fn services(behind: Behind, pods: &BTreeMap<&str, PodNetwork>) -> String {
    let (name, namespace, number) = (behind.name(), behind.namespace(), behind as u8);
    let members: &[&str] = if behind == Behind::Mixed { &["good", "bad"] } else { &[name] };
    let addresses: Vec<_> = members.iter().map(|pod| pods[pod].addresses[0].to_string()).collect();
    let addresses = addresses.join(", ");
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{namespace: {namespace}, name: {name}}}
spec:
  type: NodePort
  clusterIP: 10.96.10.{number}
  externalIPs: [203.0.113.{number}]
  selector: {{{name}: behind}}
  ports: [{{port: 80, targetPort: 8080, nodePort: {node_port}}}]
---
apiVersion: v1
kind: Service
metadata: {{namespace: {namespace}, name: {name}-headless}}
spec: {{clusterIP: None, selector: {{{name}: behind}}, ports: [{{port: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{namespace: {namespace}, name: {name}-manual}}
spec: {{clusterIP: 10.96.20.{number}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{namespace: {namespace}, name: {name}-manual, labels: {{kubernetes.io/service-name: {name}-manual}}}}
addressType: IPv4
ports: [{{port: 8080}}]
endpoints: [{{addresses: [{addresses}]}}]
",
        node_port = 30100 + u16::from(number),
    )
}

/// How often each pod answered; `-` counts where none did.
fn observe(sender: &PodNetwork, to: SocketAddr, tries: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..tries {
        *answers.entry(sender.ask(to).unwrap_or_else(|| "-".to_owned())).or_default() += 1;
    }
    answers
}

struct Bench {
    pods: BTreeMap<&'static str, PodNetwork>,
    cluster: Cluster,
}

impl Bench {
    fn new(proxy: Proxy) -> Self {
        let cluster = Cluster::up(proxy);
        cluster.apply(&pods());
        ["red", "blue"].iter().for_each(|namespace| cluster.wait_for_pods(namespace));
        let found = [("red", "plain"), ("red", "picky"), ("red", "good"), ("red", "bad"), ("blue", "foreign")]
            .map(|(namespace, name)| (name, PodNetwork::find(&cluster, namespace, name)));
        let pods = BTreeMap::from(found);
        cluster.apply(&Behind::ALL.map(|behind| services(behind, &pods)).concat());
        Self { pods, cluster }
    }

    /// Without an agent every way leads to every pod.
    fn everything_is_reached(&self) {
        for (way, name) in Way::ALL {
            for case in &CASES {
                let Some(to) = way.address(case.behind, &self.pods) else { continue };
                let sender = &self.pods[case.sender];
                eventually(&format!("{name} of {} without an agent", case.behind.name()), 60, || sender.ask(to));
            }
        }
    }

    fn start_agents(&self) -> [Agent; 2] {
        let agents = Agent::start_everywhere(&self.cluster, env!("CARGO_BIN_EXE_tested-bulkhead"), TEAMS);
        let [foreign, bad] = ["foreign", "bad"].map(|name| SocketAddr::new(self.pods[name].addresses[0], 8080));
        eventually("the agents enforce", 60, || {
            let open = self.pods["plain"].reaches(foreign) || self.pods["picky"].reaches(bad);
            (!open).then_some(())
        });
        agents
    }

    /// The table; and each cell that is not as it must be.
    fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        println!("| |{}", CASES.map(|case| format!(" {} |", case.title)).concat());
        println!("|---|{}", "---|".repeat(CASES.len()));
        for (way, name) in Way::ALL {
            let mut line = format!("| {name} |");
            for case in &CASES {
                let (cell, right) = self.cell(way, case);
                line += &format!(" {cell} |");
                if !right {
                    wrong.push(format!("{name}, {}: {cell}", case.title));
                }
            }
            println!("{line}");
        }
        wrong
    }

    fn cell(&self, way: Way, case: &Case) -> (String, bool) {
        let Some(to) = way.address(case.behind, &self.pods) else { return ("none".to_owned(), true) };
        let mixed = case.behind == Behind::Mixed;
        let tries = if mixed { TRIES_AT_A_MIXTURE } else { TRIES };
        let answers = observe(&self.pods[case.sender], to, tries);
        let count = |who: &str| answers.get(who).copied().unwrap_or_default();
        let right = match (mixed, case.passes) {
            (true, _) => count("bad") == 0,
            (false, true) => count(case.behind.name()) == tries,
            (false, false) => count("-") == tries,
        };
        let cell: Vec<_> = answers.iter().map(|(who, count)| format!("{who} {count}/{tries}")).collect();
        (cell.join(", "), right)
    }
}

fn table(proxy: Proxy) {
    let bench = Bench::new(proxy);
    bench.everything_is_reached();
    let _agents = bench.start_agents();
    println!("kube-proxy in {} mode: who answered; `-` is nobody", proxy.name());
    let wrong = bench.judge();
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
