//! Floods of Services and EndpointSlices of one namespace, each written again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{LIMIT_MIB, Measured, PODS, crowded, marks, quantile, tell};

/// A Service's ports, as many as the API server takes.
const PORTS: u16 = 100;
const MARKS: usize = 40;
const PAUSE: Duration = Duration::from_millis(500);

#[test]
fn services_of_a_namespace_leave_memory_and_others_changes_alone() {
    let floods: [(&str, Flood); 3] = [
        ("100 ports, 10 externalIPs and a slice of 200 endpoints of 100 addresses", product),
        ("100 ports and 400 externalIPs", keys),
        ("ten slices of 0.7 MB of what is no address", nonsense),
    ];
    for (what, flood) in floods {
        let server = crowded("w-services", &[]);
        let measured = Measured::start(&server);
        measured.until("a world", |report| report.worlds > 0);
        let is_over = AtomicBool::new(false);
        let (delays, rounds) = std::thread::scope(|scope| {
            let writes = scope.spawn(|| {
                let rounds = (0..).take_while(|_| !is_over.load(Ordering::Relaxed));
                rounds.inspect(|&round| server.store(&flood(round))).count()
            });
            let delays = marks(&server, &measured, MARKS, PAUSE);
            is_over.store(true, Ordering::Relaxed);
            (delays, writes.join().expect("the flood"))
        });
        tell(&format!("{what}, {rounds} times"), &measured, &delays);
        let report = measured.report();
        assert_eq!((report.pods, report.services), (PODS, 1), "{what}");
        assert!(report.peak_mib < LIMIT_MIB, "{what}: {report:?}");
        assert!(quantile(&delays, 0.99) < 1000.0, "{what}: {delays:?}");
    }
}

/// The objects of a round: each differs from the one before.
type Flood = fn(usize) -> Vec<(String, Value)>;

/// docs/threat-model.md, 05.
fn product(round: usize) -> Vec<(String, Value)> {
    let endpoint = |number: usize| {
        let address = |it: usize| format!("10.{}.{number}.{it}", 100 + round % 100);
        json!({"addresses": (0..100).map(address).collect::<Vec<_>>(), "conditions": {"ready": true}})
    };
    vec![service(10), slice(0, &(0..200).map(endpoint).collect::<Vec<_>>())]
}

/// docs/threat-model.md, 06.
fn keys(round: usize) -> Vec<(String, Value)> {
    vec![service(400 - round % 2)]
}

/// docs/threat-model.md, 27.
fn nonsense(round: usize) -> Vec<(String, Value)> {
    let endpoint = |number: usize| {
        let address = |it: usize| format!("nobody-{round:04}-{number:03}-{it:03}");
        json!({"addresses": (0..70).map(address).collect::<Vec<_>>(), "conditions": {"ready": true}})
    };
    let endpoints: Vec<_> = (0..450).map(endpoint).collect();
    let slices = (0..10).map(|number| slice(number, &endpoints));
    [service(0)].into_iter().chain(slices).collect()
}

/// As a Service and its slices have them.
fn ports() -> Vec<Value> {
    (0..PORTS).map(|port| json!({"name": format!("p{port}"), "port": 1000 + port, "protocol": "TCP"})).collect()
}

/// The one Service of `ns-0`.
fn service(external_ips: usize) -> (String, Value) {
    let external = (0..external_ips).map(|it| format!("198.18.{}.{}", it / 250, it % 250));
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "ns-0", "name": "flood", "uid": "00000000-0000-4000-b000-000000000000",
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ports": ports(), "externalIPs": external.collect::<Vec<_>>()},
    });
    ("services/specs/ns-0/flood".to_owned(), object)
}

fn slice(number: usize, endpoints: &[Value]) -> (String, Value) {
    let name = format!("flood-{number}");
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"namespace": "ns-0", "name": name, "uid": format!("00000000-0000-4000-c000-{number:012}"),
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"kubernetes.io/service-name": "flood"}},
        "addressType": "IPv4", "ports": ports(), "endpoints": endpoints,
    });
    (format!("endpointslices/ns-0/{name}"), object)
}
