//! Services that a tenant changes while its pod calls them, so that an agent and the real kube-proxy follow one after the
//! other (docs/threat-model.md), each beside what must work.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::cluster::eventually;
use tests::cluster::field::{Call, FOLLOWED, Field, at, plain, service, slice};

/// Calls all the time for as long as an agent may be ahead of kube-proxy.
fn calls_meanwhile(field: &Field, (from, to, answer): Call<'_>) -> usize {
    const CALLERS: usize = 4;
    let end = Instant::now() + Duration::from_millis(2500);
    let call = || {
        let mut answered = 0;
        while Instant::now() < end {
            answered += usize::from(field.pods[from].ask(to).as_deref() == Some(answer));
        }
        answered
    };
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().map(|caller| caller.join().expect("a count")).sum()
    })
}

/// A change of Services in mid-call.
struct Turn<'a> {
    number: &'static str,
    what: &'a str,
    away: Vec<Value>,
    back: Vec<Value>,
    /// What goes beside.
    gone: Vec<Value>,
    /// Long enough for both to follow, or so short that a world holds both changes.
    pause: Duration,
    call: Call<'a>,
    control: Call<'a>,
}

/// 26, 51 to 54: what leads outside turns to where a pod may go, and the pod calls it meanwhile.
fn turns(field: &mut Field) {
    let own = field.address("own").to_string();
    let to = at([10, 96, 30, 26], 80);
    let spec = json!({"clusterIP": "10.96.30.26", "ports": [{"port": 80}]});
    let led = |end: &str, port: u16| slice("turn", "turn-1", end, port);
    let away = vec![plain("turn", &spec), led("10.89.0.1", 9090)];
    let back = vec![led(&own, 8080)];
    let own_pod = ("attacker", at(field.address("own"), 8080), "own");
    let outside = ("attacker", to, "outside");

    let named = |name: &str| json!({"clusterIP": "10.96.30.26", "ports": [{"name": name, "port": 80}]});
    let with_name = |name: &str, end: &str, port: u16| {
        let mut object = slice("turn", &format!("turn-{name}"), end, port);
        object["ports"][0]["name"] = json!(name);
        object
    };
    let both = [with_name("a", "10.89.0.1", 9090), with_name("b", &own, 8080)];
    let claim = json!({"clusterIP": "10.96.30.26", "externalIPs": [own], "ports": [{"port": 8080}]});
    let no_claim = json!({"clusterIP": "10.96.30.26", "ports": [{"port": 8080}]});
    let label = json!({"service.kubernetes.io/service-proxy-name": "mine"});
    let at_own = ("attacker", at(field.address("own"), 8080), "outside");
    let turn = |number, what, away: &[Value], back: &[Value]| Turn {
        number,
        what,
        away: away.to_vec(),
        back: back.to_vec(),
        gone: Vec::new(),
        pause: FOLLOWED,
        call: outside,
        control: own_pod,
    };
    let claims = [plain("turn", &claim), led("10.89.0.1", 9090)];
    let turns = [
        turn("26", "a Service that turns from outside to an own pod", &away, &back),
        Turn { pause: Duration::ZERO, ..turn("51", "the same, there and back at once", &away, &back) },
        turn(
            "52",
            "a port that takes another name",
            &[&both[..], &[plain("turn", &named("a"))]].concat(),
            &[plain("turn", &named("b"))],
        ),
        Turn { call: at_own, ..turn("53", "a claim that goes", &claims, &[plain("turn", &no_claim)]) },
        Turn {
            call: at_own,
            ..turn("53", "a claim that a label takes back", &claims, &[service("turn", &label, &claim)])
        },
        Turn { call: at_own, gone: claims.to_vec(), ..turn("54", "a claim whose Service goes", &claims, &[]) },
    ];
    for turn in turns {
        make(field, &turn);
    }
}

fn make(field: &mut Field, turn: &Turn<'_>) {
    let Turn { number, what, away, back, gone, pause, call, control } = turn;
    let mut answered = 0;
    for _ in 0..3 {
        field.apply(away);
        sleep(*pause);
        if !back.is_empty() {
            field.apply(back);
        }
        field.delete(gone);
        answered += calls_meanwhile(field, *call);
        sleep(FOLLOWED);
    }
    let works = eventually("what is permitted", 30, || field.control(control.0, control.1, control.2).then_some(true));
    if gone.is_empty() {
        field.delete(away);
    }
    sleep(FOLLOWED);
    let harm = (answered > 0).then(|| format!("{} answers {answered} times", call.2));
    field.note(number, what, works, harm);
}

/// 55: until kube-proxy follows it, a claim of a node's address at another tenant's NodePort leads to that one.
fn claims_of_a_node_port(field: &mut Field) {
    let own = field.address("own").to_string();
    let spec = json!({"externalIPs": ["10.89.0.12"], "ports": [{"port": 30109}]});
    let objects = [plain("early", &spec), slice("early", "early-1", &own, 8080)];
    let mut answered = 0;
    for _ in 0..3 {
        field.apply(&objects);
        answered += calls_meanwhile(field, ("plain", at([10, 89, 0, 12], 30109), "server"));
        field.delete(&objects);
        answered += calls_meanwhile(field, ("plain", at([10, 89, 0, 12], 30109), "server"));
        sleep(FOLLOWED);
    }
    let control = field.control("plain", at([10, 89, 0, 12], 30108), "own");
    let harm = (answered > 0).then(|| format!("server answers {answered} times"));
    field.note("55", "a claim of a node's address at another tenant's NodePort", control, harm);
}

/// What the attacks want is there for the taking where no agent is.
fn everything_is_reached(field: &Field) {
    let spec = json!({"clusterIP": "10.96.30.26", "ports": [{"port": 80}]});
    let objects = [plain("turn", &spec), slice("turn", "turn-1", "10.89.0.1", 9090)];
    field.apply(&objects);
    for (from, to, answer) in
        [("attacker", at([10, 96, 30, 26], 80), "outside"), ("plain", at([10, 89, 0, 12], 30109), "server")]
    {
        eventually(&format!("{to} without an agent"), 60, || field.control(from, to, answer).then_some(()));
    }
    field.delete(&objects);
}

#[test]
fn no_change_of_a_service_is_a_moment_s_way_out() {
    let mut field = Field::new();
    everything_is_reached(&field);
    let _agents = field.defend(env!("CARGO_BIN_EXE_tested-bulkhead"));
    turns(&mut field);
    claims_of_a_node_port(&mut field);
    field.judge();
}
