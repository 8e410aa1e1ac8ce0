//! Questions about the tutorial's last step: the matrix' verdicts, and the steps that explain them.

use std::path::Path;

use agent::ingest;
use policy::ask::{Engine, FlowPort, MatrixQuery, Outcome, Said};
use policy::model::{Config, Isolation};

#[test]
fn the_last_step_is_the_verdict_in_every_mode() {
    let tutorial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tutorial");
    let loaded = ingest::load(&[tutorial]).expect("the tutorial");
    let port: FlowPort = "tcp/80".parse().expect("a port");
    for mode in [Isolation::Off, Isolation::Audit, Isolation::Baseline, Isolation::Strict] {
        let config = Config { mode, ..Config::default() };
        let engine = Engine::new(&loaded.world, &config).expect("a small world");
        let query = MatrixQuery {
            ports: vec![port],
            externals: vec!["198.51.100.7".parse().expect("an address"), "10.244.9.9".parse().expect("an address")],
            namespace: None,
        };
        let matrix = engine.matrix(&query).expect("a matrix");
        let records: Vec<_> = matrix.records().collect();
        assert!(records.iter().any(|record| record.verdict == Said::Drop));
        for record in records.iter().filter(|record| record.from_ip.is_ipv4()) {
            let [from, to] = [&record.from, &record.to].map(|name| name.parse().expect("an end"));
            let explanation = engine.explain(&from, &to, port).expect("an answer");
            assert_eq!(explanation.record, *record);
            let ends = [(&record.egress, &explanation.steps.egress), (&record.ingress, &explanation.steps.ingress)];
            for (direction, steps) in ends {
                let outcome = match direction.verdict {
                    Said::Allow => Outcome::Allow,
                    Said::Drop => Outcome::Drop,
                };
                let (last, before) = steps.split_last().expect("at least one step");
                assert_eq!(last.outcome, outcome, "{mode:?}: {explanation:#?}");
                assert!(before.iter().all(|step| step.outcome == Outcome::Next), "{explanation:#?}");
                assert!(direction.rules.iter().all(|rule| last.rules.contains(rule)), "{explanation:#?}");
            }
            assert_eq!(explanation.change.is_empty(), record.verdict == Said::Allow, "{explanation:#?}");
        }
    }
}

#[test]
fn drops_name_the_tenant_and_every_isolating_policy() {
    let tutorial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tutorial");
    let loaded = ingest::load(&[tutorial]).expect("the tutorial");
    let config = Config::default();
    let engine = Engine::new(&loaded.world, &config).expect("a small world");
    let ask = |from: &str, to: &str| {
        let [from, to] = [from, to].map(|end| end.parse().expect("an end"));
        engine.explain(&from, &to, "tcp/80".parse().expect("a port")).expect("an answer").record
    };
    let held_apart = ask("team-b-front/client", "team-a-back/api");
    assert_eq!(held_apart.egress.reason, "no_policy");
    assert_eq!(
        (held_apart.ingress.reason, held_apart.ingress.rules.clone()),
        ("tenant_isolation", vec!["tenancy/team-a".to_owned()])
    );
    let denied = ask("kube-system/dns", "team-a-front/client");
    let isolating =
        ["allow-same-tenant", "same-namespace-only"].map(|name| format!("networkpolicy/team-a-front/{name}"));
    assert_eq!((denied.ingress.reason, denied.ingress.rules.clone()), ("default_deny", isolating.to_vec()));
    let door = ask("team-b-back/api", "team-a-front/web");
    assert_eq!(door.ingress.rules, ["networkpolicy/team-a-front/allow-team-b ingress[0]"]);
    assert_eq!(ask("team-b-back/api", "team-b-back/api").ingress.reason, "same_pod");
    assert_eq!(ask("node/lab", "team-a-back/api").ingress.reason, "own_node");
    assert_eq!(ask("team-b-back/api", "node/lab").egress.reason, "own_node");
    assert_eq!(ask("198.51.100.7", "team-b-back/api").egress.reason, "not_judged");
}
