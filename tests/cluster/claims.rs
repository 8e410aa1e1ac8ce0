//! Services and EndpointSlices that a tenant writes to get where it may not, or to keep others from where they may, with
//! the real kube-proxy (docs/threat-model.md), each beside what must work.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::thread::sleep;

use serde_json::{Value, json};
use tests::cluster::eventually;
use tests::cluster::field::{Call, FOLLOWED, Field, OUTSIDE, TRIES, at, host_port_pod, plain, service, slice};

/// Another way to write an address.
type Write<'a> = &'a dyn Fn(&str) -> String;

/// The attacker's own pod by its own Service: permitted.
fn own_service() -> Call<'static> {
    ("attacker", at([10, 96, 30, 2], 80), "own")
}

/// The victim's pod by its Service: permitted.
fn victims_service() -> Call<'static> {
    ("client", at([10, 96, 30, 1], 80), "server")
}

/// 04: another Service's ClusterIP among the externalIPs of a headless Service, and as a hostIP.
fn claims_of_a_cluster_ip(field: &mut Field) {
    let to = at([10, 96, 30, 1], 80);
    let control = field.control("client", to, "server");
    let spec = json!({"clusterIP": "None", "externalIPs": ["10.96.30.1"], "selector": {"app": "own"},
        "ports": [{"port": 80, "targetPort": 8080}]});
    for (object, what) in [
        (plain("claim", &spec), "headless externalIPs claim a ClusterIP"),
        (host_port_pod("claim", "10.96.30.1", 80), "a hostIP claims a ClusterIP"),
    ] {
        let objects = [object];
        field.apply(&objects);
        sleep(FOLLOWED);
        let answered = (0..TRIES).filter(|_| field.pods["client"].ask(to).as_deref() == Some("server")).count();
        let harm = (answered < TRIES).then(|| format!("{answered} of {TRIES} calls of the victim arrive"));
        field.note("04", what, control, harm);
        field.delete(&objects);
    }
}

/// 07: slices that kube-proxy understands, beside one that anybody does.
fn odd_slices(field: &mut Field) {
    let own = field.address("own").to_string();
    let server = field.address("server").to_string();
    let padded = |ip: &str| ip.split('.').map(|part| format!("{part:0>3}")).collect::<Vec<_>>().join(".");
    let kinds: [(&str, Write<'_>, usize); 3] = [
        ("leading zeros", &padded, 0),
        ("IPv4-mapped", &|ip| format!("::ffff:{ip}"), 0),
        ("101 ports", &|ip| ip.to_owned(), 100),
    ];
    for (kind, write, ports) in kinds {
        for (from, end, port, to, name) in [
            ("attacker", "10.89.0.1", 9090, at([10, 96, 30, 7], 80), "outside"),
            ("plain", server.as_str(), 8080, at([10, 89, 0, 12], 30107), "server"),
        ] {
            let spec =
                json!({"type": "NodePort", "clusterIP": "10.96.30.7", "ports": [{"port": 80, "nodePort": 30107}]});
            let mut odd = slice("odd", "odd-2", &write(end), port);
            let more = (0..ports).map(|number| json!({"name": format!("p{number}"), "port": 1000 + number}));
            odd["ports"].as_array_mut().expect("ports").extend(more);
            let objects = [plain("odd", &spec), slice("odd", "odd-1", &own, 8080), odd];
            field.attack(("07", &format!("{kind}, {from} to {to}")), &objects, (from, to, name), own_service());
        }
    }
}

/// 08: addresses that nothing rewrites, with an own pod behind them.
fn addresses_of_nobody(field: &mut Field) {
    let ports = json!([{"port": 9090, "targetPort": 8080}]);
    let headless =
        json!({"clusterIP": "None", "externalIPs": ["10.89.0.1"], "selector": {"app": "own"}, "ports": ports});
    let real = json!({"externalIPs": ["10.89.0.1"], "selector": {"app": "own"}, "ports": ports});
    let proxy_name = json!({"service.kubernetes.io/service-proxy-name": "mine"});
    let headless_label = json!({"service.kubernetes.io/headless": ""});
    let cases = [
        ("externalIPs of a headless Service", plain("none", &headless)),
        ("externalIPs beside service-proxy-name", service("none", &proxy_name, &real)),
        ("externalIPs beside the label headless", service("none", &headless_label, &real)),
        ("a hostIP outside", host_port_pod("none", "10.89.0.1", 9090)),
    ];
    for (what, object) in cases {
        let call = ("attacker", OUTSIDE.parse().expect("an address"), "outside");
        field.attack(("08", what), &[object], call, own_service());
    }
}

/// 46, 47: claims that kube-proxy follows, of addresses that a caller may call.
fn claims_that_nodes_follow(field: &mut Field) {
    let own = field.address("own");
    let server = field.address("server");
    let leads = |address: &str, port: u16, (end, end_port): (&str, u16)| {
        let spec = json!({"externalIPs": [address], "ports": [{"port": port}]});
        [plain("claim", &spec), slice("claim", "claim-1", end, end_port)]
    };
    let outside = ("10.89.0.1", 9090);
    let own_end = own.to_string();
    let cases: [(&'static str, &str, [Value; 2], Call<'_>, Call<'_>); 5] = [
        (
            "46",
            "an own pod's address",
            leads(&own_end, 9999, outside),
            ("attacker", at(own, 9999), "outside"),
            ("attacker", at(own, 8080), "own"),
        ),
        (
            "46",
            "an own pod's address at the port that it has",
            leads(&own_end, 8080, outside),
            ("attacker", at(own, 8080), "outside"),
            victims_service(),
        ),
        (
            "46",
            "another tenant's pod's address",
            leads(&server.to_string(), 8080, (&own_end, 8080)),
            ("client", at(server, 8080), "own"),
            own_service(),
        ),
        (
            "47",
            "an own Service's ClusterIP",
            leads("10.96.30.2", 80, outside),
            ("attacker", at([10, 96, 30, 2], 80), "outside"),
            ("attacker", at(own, 8080), "own"),
        ),
        (
            "47",
            "another tenant's ClusterIP",
            leads("10.96.30.1", 80, (&own_end, 8080)),
            ("client", at([10, 96, 30, 1], 80), "own"),
            own_service(),
        ),
    ];
    for (number, what, objects, call, control) in cases {
        field.attack((number, &format!("an externalIP that is {what}")), &objects, call, control);
    }
}

/// 48 to 50: ends that are no pods, and that a node rewrites again or answers itself.
fn ends_that_lead_on(field: &mut Field) {
    let to = at([10, 96, 30, 45], 80);
    let server = ["plain", "attacker"].map(|from| (from, to, "server"));
    let cases: [(&'static str, &str, &str, u16, &[Call<'_>]); 5] = [
        ("48", "another node's NodePort of another tenant", "10.89.0.12", 30109, &server),
        ("48", "that NodePort at an unlisted address", "10.89.0.99", 30109, &server),
        ("48", "that NodePort at the gateway of another node's pods", "10.244.2.1", 30109, &server),
        ("49", "another tenant's ClusterIP", "10.96.30.1", 80, &server),
        ("50", "a server outside", "10.89.0.1", 9090, &[("attacker", to, "outside")]),
    ];
    for (number, what, address, port, calls) in cases {
        let spec = json!({"clusterIP": "10.96.30.45", "ports": [{"port": 80}]});
        let objects = [plain("on", &spec), slice("on", "on-1", address, port)];
        for call in calls {
            field.attack(
                (number, &format!("a Service that leads {} to {what}", call.0)),
                &objects,
                *call,
                own_service(),
            );
        }
    }
    kubelets(field);
}

/// 50: the kubelet's port by way of a Service. No policy keeps a pod from its own node.
fn kubelets(field: &mut Field) {
    let spec = json!({"clusterIP": "10.96.30.45", "ports": [{"port": 80}]});
    let objects = [plain("on", &spec), slice("on", "on-1", "10.89.0.12", 10250)];
    field.apply(&objects);
    sleep(FOLLOWED);
    let control = field.pods["plain"].reaches(at([10, 96, 30, 45], 80));
    let harm = field.pods["attacker"].reaches(at([10, 96, 30, 45], 80)).then(|| "the kubelet answers".to_owned());
    field.note("50", "a Service that leads to another node's kubelet", control, harm);
    field.delete(&objects);
}

/// What the attacks want is there for the taking where no agent is.
fn everything_is_reached(field: &Field) {
    let own = field.address("own");
    let spec = json!({"clusterIP": "10.96.30.45", "externalIPs": [own.to_string()], "ports": [{"port": 80}]});
    for (end, port, answer) in
        [("10.89.0.12", 30109, "server"), ("10.244.2.1", 30109, "server"), ("10.89.0.1", 9090, "outside")]
    {
        let objects = [plain("on", &spec), slice("on", "on-1", end, port)];
        field.apply(&objects);
        for to in [at([10, 96, 30, 45], 80), at(own, 80)] {
            eventually(&format!("{end} by {to} without an agent"), 60, || {
                field.control("attacker", to, answer).then_some(())
            });
        }
        field.delete(&objects);
    }
}

#[test]
fn no_service_of_a_tenant_moves_another_s_wall() {
    let mut field = Field::new();
    everything_is_reached(&field);
    let _agents = field.defend(env!("CARGO_BIN_EXE_tested-bulkhead"));
    claims_of_a_cluster_ip(&mut field);
    addresses_of_nobody(&mut field);
    odd_slices(&mut field);
    claims_that_nodes_follow(&mut field);
    ends_that_lead_on(&mut field);
    field.judge();
}
