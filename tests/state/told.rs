//! The agent as a process that is told what no API server would let through, and more than it likes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use policy::model::is_printable;
use serde_json::{Value, json};
use tests::agent_process::AgentProcess;
use tests::found::FoundNode;
use tests::hostile::{FORGED, PLACES, objects, texts};
use tests::measured::{memory, processor_time, quantile};
use tests::told_api::ToldApi;

const BINARY: &str = env!("CARGO_BIN_EXE_tested-bulkhead");
/// Tenants by an annotation, which may hold anything.
const CONFIG: &str = "tenancy: {mode: baseline, sources: [{namespaceAnnotation: team}]}\n";
/// The address of the node in its pods' network, and the agent's port there.
const PORT: &str = "10.244.0.1:9469";

/// What commands that ask an agent may say of it, in bytes: dozens of refused objects, 20 of which are told.
const MOST: usize = 64 << 10;

/// Ends what goes on beside a test, also where the test fails: a scope waits for its threads.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn look(bytes: &[u8], about: &str) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap_or_else(|error| panic!("{about}: {error}"));
    let start = || text.chars().take(2000).collect::<String>().escape_debug().to_string();
    let strange = text.chars().find(|character| !is_printable(*character) && *character != '\n');
    assert_eq!(strange, None, "{about}: {}", start());
    assert!(text.lines().all(|line| !line.trim_start().starts_with(FORGED)), "{about}: {}", start());
    text
}

fn said(output: &Output, about: &str) -> String {
    assert!(output.status.code().is_some_and(|code| code < 2), "{about}: {}", String::from_utf8_lossy(&output.stderr));
    let [out, _] = [&output.stdout, &output.stderr].map(|bytes| look(bytes, about));
    assert!(out.len() <= MOST, "{about}: {} bytes", out.len());
    out
}

/// A node with the pods of [`objects`].
fn node(label: &str) -> (FoundNode, ToldApi) {
    let mut node = FoundNode::new(label);
    node.add_pod("a", 11);
    node.add_pod("b", 12);
    let api = ToldApi::start(&node.ns);
    (node, api)
}

/// The objects with a text at every place of its own, each object by a name of its own.
fn tell(api: &ToldApi, text: &str, number: usize) {
    for (index, (_, write)) in PLACES.iter().enumerate() {
        let mut objects = objects();
        for (place, object) in objects.iter_mut().enumerate().filter(|(_, object)| object["kind"] != "Node") {
            let name = format!("{}-{number}-{index}", object["metadata"]["name"].as_str().expect("a name"));
            object["metadata"]["name"] = name.into();
            if object["kind"] == "Pod" {
                let address = format!("10.244.{}.{}", 1 + 2 * number + place % 2, index + 1);
                object["status"] = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]});
            }
        }
        write(&mut objects, text);
        objects.into_iter().for_each(|object| api.apply(object));
    }
}

#[test]
fn nothing_that_an_agent_is_told_commands_who_reads_what_it_says() {
    let (node, api) = node("told-text");
    let mut plain = objects();
    let everything: String =
        texts().iter().filter(|(_, text)| text.len() < 200).map(|(_, text)| text.as_str()).collect();
    // The tenants and a pod of what drops below.
    plain[0]["metadata"]["annotations"]["team"] = everything.clone().into();
    plain[1]["metadata"]["annotations"]["team"] = "a".repeat(200 << 10).into();
    plain[3]["metadata"]["name"] = format!("b{everything}").into();
    plain.into_iter().for_each(|object| api.apply(object));
    for (number, (_, text)) in texts().iter().filter(|(_, text)| text.len() < 200).enumerate() {
        tell(&api, text, number);
    }
    for format in ["text", "json"] {
        let agent = AgentProcess::start(&node, BINARY, CONFIG, &["--log-format", format, "--metrics-address", PORT]);
        agent.until(&["endpoints", "-o", "json"], |text| text.matches("\"enforced\"").count() == 2);
        let stop = AtomicBool::new(false);
        let (sender, receiver) = (node.socket("a", 0), node.socket("b", 9));
        receiver.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        thread::scope(|scope| {
            let _stops = Stops(&stop);
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    sender.send_to(b"knock", "10.244.0.12:9").expect("send");
                    assert!(receiver.recv(&mut [0; 16]).is_err(), "they are of two tenants");
                }
            });
            // For which of two reasons depends on whether the agent has asked the receiver's rules yet.
            agent.until(&["drops"], |text| text.contains("drop UDP"));
            for command in ["status", "endpoints", "tenants", "drops", "dump", "top"] {
                for output in ["text", "json"] {
                    let once: &[&str] = if command == "top" { &["--once", "--interval", "1"] } else { &[] };
                    let command = [&[command, "-o", output], once].concat();
                    let text = said(&agent.ask(&command), &command.join(" "));
                    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
                    assert!(output == "text" || values.all(|value| value.is_ok_and(|it| it.is_object())), "{text}");
                }
            }
        });
        let own = said(&agent.ask(&["metrics"]), "metrics");
        let far = scrape(&node);
        for text in [own, far] {
            look(text.as_bytes(), "metrics");
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            assert!(samples.clone().all(|line| line.starts_with("bulkhead_")), "a line of its own begins a sample");
            assert!(samples.clone().all(|line| line.len() < 2000), "no name takes more than a name may");
            assert!(text.contains("reason=\"tenant_isolation\""));
        }
        let log = agent.log();
        look(&log, "the log");
        assert!(log.len() < 4 << 20, "{} bytes of log", log.len());
        if format == "json" {
            let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.for_each(|line| assert!(serde_json::from_slice::<Value>(line).is_ok_and(|it| it.is_object())));
        }
    }
    let events = api.events();
    assert!(!events.is_empty(), "owners are told");
    for event in events {
        let note = event["note"].as_str().expect("a note");
        assert!(note.len() <= 1024 && note.chars().all(is_printable), "{note:?}");
    }
}

fn scrape(node: &FoundNode) -> String {
    let mut stream = node.ns.run(|| TcpStream::connect(PORT)).expect("the namespace").expect("the port");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("an answer");
    let text = String::from_utf8(text).expect("UTF-8");
    let body = text.split_once("\r\n\r\n").expect("a body").1;
    // Lines of a chunked body that are lengths of chunks.
    let is_length = |line: &&str| line.len() < 8 && u32::from_str_radix(line.trim_end(), 16).is_ok();
    body.lines().filter(|line| !is_length(line)).map(|line| format!("{}\n", line.trim_end())).collect()
}

/// How often another's change is measured.
const ROUNDS: usize = 30;

#[test]
fn policy_is_enforced_in_time_while_a_pod_floods_the_agents_port_and_a_tenant_creates_objects_at_speed() {
    let (mut node, api) = node("told-flood");
    node.add_pod("flood", 13);
    objects().into_iter().filter(|object| object["kind"] != "NetworkPolicy").for_each(|object| api.apply(object));
    api.apply(namespace("evil"));
    api.apply(pod("flood", "evil", "10.244.0.13", "0"));
    let agent = AgentProcess::start(&node, BINARY, "tenancy: {mode: off}\n", &["--metrics-address", PORT]);
    agent.until(&["endpoints", "-o", "json"], |text| text.matches("\"enforced\"").count() == 3);
    let quiet = rounds(&node, &api);
    tell_figures("quiet", &agent, &quiet);
    let (stop, packets, written) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let flooded = thread::scope(|scope| {
        scope.spawn(|| flood_port(&node, &stop, &packets));
        scope.spawn(|| flood_api(&api, &stop, &written));
        let _stops = Stops(&stop);
        rounds(&node, &api)
    });
    println!("{} requests to the port, {} objects", packets.into_inner(), written.into_inner());
    tell_figures("flooded", &agent, &flooded);
    // Generous: a debug build beside other tests.
    assert!(quantile(&flooded, 0.99) < 10_000.0, "{flooded:?}");
    assert!(memory(&agent.pid(), "VmHWM").expect("it runs") < 384, "the chart's limit");
}

fn tell_figures(what: &str, agent: &AgentProcess, delays: &[Duration]) {
    let [half, most, longest] = [0.5, 0.99, 1.0].map(|part| quantile(delays, part));
    let [own, peak] = ["RssAnon", "VmHWM"].map(|field| memory(&agent.pid(), field).expect("it runs"));
    println!(
        "{what}: another's change p50 {half:.0} ms, p99 {most:.0} ms, longest {longest:.0} ms of {}; memory {own} MiB, at \
         most {peak} MiB; {:?} of a processor so far",
        delays.len(),
        processor_time(&agent.pid()).expect("it runs"),
    );
}

/// How long it takes that a datagram arrives which a new policy allows, and none which a new one denies.
fn rounds(node: &FoundNode, api: &ToldApi) -> Vec<Duration> {
    let (sender, receiver) = (node.socket("a", 0), node.socket("b", 9));
    receiver.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let to = SocketAddr::new(Ipv4Addr::new(10, 244, 0, 12).into(), 9);
    let arrives = || {
        sender.send_to(b"knock", to).expect("send");
        receiver.recv(&mut [0; 16]).is_ok()
    };
    let mut delays = Vec::new();
    for round in 0..ROUNDS {
        let opens = round % 2 == 1;
        let from = if opens { json!([{"from": [{"namespaceSelector": {}}]}]) } else { json!([]) };
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "measured", "namespace": "y", "uid": "measured"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": from},
        });
        let begin = Instant::now();
        api.apply(policy);
        while arrives() != opens {
            assert!(begin.elapsed() < Duration::from_secs(120), "round {round} is not enforced");
            sleep(Duration::from_millis(1));
        }
        delays.push(begin.elapsed());
        sleep(Duration::from_millis(100));
    }
    delays
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": name, "labels": {}}})
}

fn pod(name: &str, namespace: &str, address: &str, label: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": {"flip": label}},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    })
}

/// Connections that ask for all of the metrics again and again, and do not read what is answered.
fn flood_port(node: &FoundNode, stop: &AtomicBool, sent: &AtomicU64) {
    let address: SocketAddr = PORT.parse().expect("an address");
    node.pod("flood")
        .run(|| {
            let mut open = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
                    let _ = stream.set_nonblocking(true);
                    let _ = stream.write_all(&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50));
                    open.push(stream);
                }
                sent.fetch_add(50, Ordering::Relaxed);
                if open.len() > 200 {
                    open.drain(..100);
                }
            }
        })
        .expect("the pod's namespace");
}

/// A pod whose label changes and pods that are new, and for every twenty of those a policy of 10 KB. `BULKHEAD_FLOOD` is how
/// many pods a second: 100, as a debug build is slower by as much, or the 2,000 that an API server takes.
fn flood_api(api: &ToldApi, stop: &AtomicBool, written: &AtomicU64) {
    let a_second = std::env::var("BULKHEAD_FLOOD").map_or(100, |pods| pods.parse().expect("a number of pods"));
    let (pause, begin) = (Duration::from_secs(2) / a_second, Instant::now());
    let blocks: Vec<Value> =
        (0..250).map(|n| json!({"ipBlock": {"cidr": format!("10.9.{}.{}/32", n >> 8, n & 255)}})).collect();
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        api.apply(pod("flood", "evil", "10.244.0.13", &number.to_string()));
        api.apply(pod(&format!("p{}", number % 1000), "evil", &format!("10.244.7.{}", number % 250), "0"));
        if number % 10 == 0 {
            api.apply(json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": format!("large-{}", number % 200), "namespace": "evil", "uid": number.to_string()},
                "spec": {"podSelector": {"matchLabels": {"flip": number.to_string()}}, "policyTypes": ["Ingress"],
                    "ingress": [{"from": blocks}]},
            }));
        }
        written.fetch_add(2, Ordering::Relaxed);
        // What was late is caught up with.
        sleep((begin + pause * (number + 1)).saturating_duration_since(Instant::now()));
    }
}
