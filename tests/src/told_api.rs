//! An API server that has what a test tells it, whatever that is: lists as streams, watches, single objects, and Events
//! that are written. The real one takes no hostile names, and none of a hundred changes a second.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};

use crate::netns::TestNetNs;

const ADDRESS: &str = "127.0.0.1:6443";

/// Paths of the resources that are served; what else is asked for is not found.
const SERVED: [(&str, &str); 6] = [
    ("/api/v1/namespaces", "Namespace"),
    ("/api/v1/nodes", "Node"),
    ("/api/v1/pods", "Pod"),
    ("/api/v1/services", "Service"),
    ("/apis/discovery.k8s.io/v1/endpointslices", "EndpointSlice"),
    ("/apis/networking.k8s.io/v1/networkpolicies", "NetworkPolicy"),
];

#[derive(Debug, Default)]
struct State {
    /// By kind, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    watches: Vec<(String, Sender<String>)>,
    /// The bodies of Events.
    events: Vec<Value>,
}

/// Serves for as long as the process lives.
#[derive(Clone, Debug)]
pub struct ToldApi {
    state: Arc<Mutex<State>>,
    version: Arc<AtomicU64>,
}

impl ToldApi {
    /// Starts to serve at a loopback address of a network namespace.
    ///
    /// # Panics
    /// Where the port is taken.
    #[must_use]
    pub fn start(netns: &TestNetNs) -> Self {
        let listener = netns.run(|| TcpListener::bind(ADDRESS)).expect("the namespace").expect("a port");
        let this = Self { state: Arc::default(), version: Arc::new(AtomicU64::new(1)) };
        let served = this.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let served = served.clone();
                // Whoever asked has gone: nothing to tell anybody.
                thread::spawn(move || drop(served.answer(stream)));
            }
        });
        this
    }

    /// Writes a kubeconfig for it.
    ///
    /// # Panics
    /// Where the folder cannot be written.
    #[must_use]
    pub fn kubeconfig(folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{ADDRESS}")}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        fs::write(&path, config.to_string()).expect("a file");
        path
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an object from now on.
    pub fn apply(&self, mut object: Value) {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let key = key(&object);
        let mut state = self.state();
        let kind = if state.objects.insert(key.clone(), object.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        state.tell(&key.0, &json!({"type": kind, "object": object}));
    }

    /// The Events that somebody wrote.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.state().events.clone()
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line)?;
        let request: Vec<String> = line.split(' ').map(str::to_owned).collect();
        loop {
            line.clear();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
                length = number.trim().parse().unwrap_or_default();
            }
        }
        let [method, target, ..] = &request[..] else { return Ok(()) };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if method == "POST" && path.ends_with("/events") {
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            self.state().events.push(serde_json::from_slice(&body)?);
            return write(&mut stream, 201, &String::from_utf8_lossy(&body));
        }
        match SERVED.iter().find(|(served, _)| *served == path) {
            Some((_, kind)) if query.contains("watch=") => self.watch(stream, kind),
            Some((_, kind)) => {
                let items: Vec<Value> = self.state().of(kind).cloned().collect();
                let version = self.version.load(Ordering::Relaxed).to_string();
                let list =
                    json!({"kind": format!("{kind}List"), "metadata": {"resourceVersion": version}, "items": items});
                write(&mut stream, 200, &list.to_string())
            }
            None => {
                let found = self.state().objects.values().find(|object| path_of(object) == path).cloned();
                let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
                write(&mut stream, if found.is_some() { 200 } else { 404 }, &found.unwrap_or(status).to_string())
            }
        }
    }

    /// All objects, a mark behind them, and then what changes.
    fn watch(&self, mut stream: TcpStream, kind: &str) -> std::io::Result<()> {
        let (sender, changes) = mpsc::channel();
        let first: Vec<String> = {
            let mut state = self.state();
            state.watches.push((kind.to_owned(), sender));
            state.of(kind).map(|object| json!({"type": "ADDED", "object": object}).to_string()).collect()
        };
        let version = self.version.load(Ordering::Relaxed).to_string();
        let mark = json!({"type": "BOOKMARK", "object": {
            "apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}}}});
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for line in first.into_iter().chain([mark.to_string()]).chain(changes) {
            stream.write_all(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes())?;
        }
        Ok(())
    }
}

impl State {
    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |((of, ..), _)| of == kind).map(|(_, object)| object)
    }

    fn tell(&mut self, kind: &str, event: &Value) {
        let line = event.to_string();
        self.watches.retain(|(of, sender)| of != kind || sender.send(line.clone()).is_ok());
    }
}

fn key(object: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&object["kind"]), text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}

/// Where an object is read alone.
fn path_of(object: &Value) -> String {
    let (kind, namespace, name) = key(object);
    let Some((path, _)) = SERVED.iter().find(|(_, served)| *served == kind) else { return String::new() };
    let Some((api, plural)) = path.rsplit_once('/') else { return String::new() };
    if namespace.is_empty() {
        format!("{path}/{name}")
    } else {
        format!("{api}/namespaces/{namespace}/{plural}/{name}")
    }
}

fn write(stream: &mut TcpStream, code: u16, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {code} OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())
}
