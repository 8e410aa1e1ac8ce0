//! What a tenant writes is read by somebody at a terminal: whatever it is, it commands nothing there, forges no line and
//! does not drown the answer; and what is asked for as JSON is JSON.
#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use policy::model::is_printable;
use serde_json::{Value, json};
use tests::hostile::{FORGED, PLACES, objects, texts};

/// Tenants by an annotation, which may hold anything.
const CONFIG: &str = "tenancy: {mode: baseline, sources: [{namespaceAnnotation: team}]}\n";
/// What the answers about a world of two pods may have, in bytes.
const MOST: usize = 24 << 10;

const SAYS: [&[&str]; 11] = [
    &["matrix", "-f", "WORLD", "-o", "table"],
    &["matrix", "-f", "WORLD", "-o", "wide"],
    &["matrix", "-f", "WORLD", "-o", "csv"],
    &["matrix", "-f", "WORLD", "-o", "json"],
    &["explain", "-f", "WORLD", "x/a", "y/b", "--port", "tcp/80"],
    &["explain", "-f", "WORLD", "x/a", "svc/y/s", "-o", "json"],
    &["simulate", "-f", "PLAIN", "--add", "WORLD"],
    &["simulate", "-f", "WORLD", "--add", "PLAIN"],
    &["simulate", "-f", "PLAIN", "--add", "WORLD", "-o", "json"],
    &["policy", "lint", "-f", "WORLD"],
    &["policy", "lint", "-f", "WORLD", "-o", "json"],
];

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Asks commands about a world in `folder`, and looks at what each says.
fn ask(folder: &Path, world: &str, about: &str, commands: &[&[&str]]) {
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    for command in commands {
        let args = command.iter().map(|arg| match *arg {
            "WORLD" => path(world),
            "PLAIN" => path("plain.json"),
            arg => arg.to_owned(),
        });
        let output = Command::new(env!("CARGO_BIN_EXE_tested-bulkhead"))
            .args(args)
            .args(["--config", &path("config.yaml")])
            .output()
            .expect("the binary runs");
        let about = format!("{about}: {}", command.join(" "));
        look(&output, command.contains(&"json"), &about);
    }
}

fn look(output: &Output, is_json: bool, about: &str) {
    let code = output.status.code().unwrap_or_else(|| panic!("{about}: {:?}", output.status));
    assert!(code <= 2, "{about}: it has died, {code}: {}", start(&output.stderr));
    for bytes in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{about}: {error}"));
        let strange = text.chars().find(|character| !is_printable(*character) && *character != '\n');
        assert_eq!(strange, None, "{about}: {}", start(bytes));
        assert!(text.lines().all(|line| !line.trim_start().starts_with(FORGED)), "{about}: {}", start(bytes));
        assert!(text.len() <= MOST, "{about}: {} bytes: {}", text.len(), start(bytes));
    }
    if is_json && code < 2 {
        let parsed: Result<Value, _> = serde_json::from_slice(&output.stdout);
        assert!(parsed.is_ok_and(|value| value.is_object() || value.is_array()), "{about}: {}", start(&output.stdout));
    }
    assert!(code < 2 || !output.stderr.is_empty(), "{about}: an error says what it is");
}

/// As much as one wants to read.
fn start(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).escape_debug().to_string()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.yaml"), CONFIG).expect("a file");
    std::fs::write(folder.path().join("plain.json"), list(&objects())).expect("a file");
    folder
}

#[test]
fn whatever_a_tenant_writes_and_wherever_it_is_read_as_text() {
    let folder = folder();
    ask(folder.path(), "plain.json", "the plain world", &SAYS);
    let texts = texts();
    let cases: Vec<_> = PLACES.iter().flat_map(|place| texts.iter().map(move |text| (place, text))).collect();
    thread::scope(|scope| {
        for (worker, cases) in cases.chunks(cases.len().div_ceil(2)).enumerate() {
            let folder = folder.path();
            scope.spawn(move || {
                let world = format!("{worker}.json");
                for ((place, write), (what, text)) in cases {
                    let mut objects = objects();
                    write(&mut objects, text);
                    std::fs::write(folder.join(&world), list(&objects)).expect("a file");
                    // A megabyte takes a debug build a second.
                    let commands = if text.len() < 1000 { &SAYS[..] } else { &SAYS[8..] };
                    ask(folder, &world, &format!("{place}, {what}"), commands);
                }
            });
        }
    });
}

#[test]
fn escapes_that_are_no_character_are_refused_or_read_in_json_and_yaml() {
    let folder = folder();
    for escape in [r"\ud800", r"\udfff\ud800", r"\ud83d", r"\u0000", r"\u001b[2J", r"\u202e", r"\u000aFORGED"] {
        for (place, write) in PLACES {
            let mut objects = objects();
            write(&mut objects, "PLACE");
            let text = list(&objects).replace("PLACE", escape);
            for world in ["world.json", "world.yaml"] {
                std::fs::write(folder.path().join(world), &text).expect("a file");
                let output = Command::new(env!("CARGO_BIN_EXE_tested-bulkhead"))
                    .args(["policy", "lint", "-o", "json", "-f"])
                    .arg(folder.path().join(world))
                    .output()
                    .expect("the binary runs");
                look(&output, true, &format!("{place}, {escape} in {world}"));
            }
        }
    }
}

#[test]
fn the_name_of_a_file_is_a_text_like_others() {
    let folder = folder();
    for name in ["\x1b[31m.yaml", "a\nFORGED.yaml", "\u{202e}lmay.yaml"] {
        let world = tempfile::tempdir_in(folder.path()).expect("a folder");
        std::fs::write(world.path().join(name), "a: [").expect("a file");
        let path = world.path().strip_prefix(folder.path()).expect("it is below").to_str().expect("UTF-8");
        ask(folder.path(), path, name, &SAYS);
        std::fs::write(world.path().join(name), list(&objects()).replace("TCP", "SPX")).expect("a file");
        ask(folder.path(), path, name, &SAYS);
    }
}
