use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use axum::routing::get;
use socket2::{Domain, Socket, Type};

use super::super::scrapes::Scrapes;
use super::*;

/// An answer that fills a slow reader's buffers.
const LARGE: usize = 8 << 20;
/// Set where a test has a process to itself.
const ALONE: &str = "BULKHEAD_TEST_ALONE";
/// Whom the port takes for its own node.
const NODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

/// The port on a thread of its own, as the agent has it.
struct Served {
    at: SocketAddr,
    /// One test at a time: they measure how long an answer takes.
    _turn: MutexGuard<'static, ()>,
    scrapes: Arc<AtomicUsize>,
}

fn served() -> Served {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let scrapes = Arc::new(AtomicUsize::new(0));
    let (shared, count) = (Scrapes::default(), Arc::clone(&scrapes));
    let metrics = move || async move {
        let work = move || {
            count.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(100));
            Ok("x".repeat(LARGE))
        };
        shared.text(work).await.unwrap()
    };
    let router = Router::new().route("/metrics", get(metrics)).route("/livez", get(|| async { "ok\n" }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let listener = runtime.block_on(TcpListener::bind(SocketAddr::new(NODE.into(), 0))).unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || runtime.block_on(serve(listener, router, |from| from == NODE)));
    Served { at, _turn: turn, scrapes }
}

/// A connection from an address of the loopback network.
fn connect_from(last: u8, to: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

impl Served {
    fn connect(&self, last: u8) -> std::io::Result<std::net::TcpStream> {
        connect_from(last, self.at)
    }

    /// The whole answer to a request; empty where the port closes at once.
    fn ask(&self, last: u8, path: &str) -> String {
        let Ok(mut stream) = self.connect(last) else { return String::new() };
        let _closed = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n").as_bytes());
        let mut text = Vec::new();
        let _reset = stream.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// How long the kubelet waits for `/livez`.
    fn probe(&self) -> Duration {
        let since = Instant::now();
        assert!(self.ask(1, "/livez").ends_with("ok\n"));
        since.elapsed()
    }

    /// The slowest of some probes, a while apart.
    fn slowest_probe(&self) -> Duration {
        let probe = |_| {
            thread::sleep(Duration::from_millis(50));
            self.probe()
        };
        (0..10).map(probe).max().unwrap()
    }
}

fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_pipelined_scrapes_is_one_scrape_a_second_and_no_probe_waits() {
    let served = served();
    let (since, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    // 500 connections by two threads: as many threads as clients would starve the port of a processor that it has to itself
    // where its clients are other machines.
    let flood = |half: u8| {
        let (at, stop) = (served.at, Arc::clone(&stop));
        thread::spawn(move || {
            let requests = "GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n".repeat(50);
            let connect = |last: u8| {
                let stream = connect_from(2 + last, at)?;
                stream.set_nonblocking(true)?;
                (&stream).write_all(requests.as_bytes()).map(|()| stream)
            };
            let mut open: Vec<_> = (0..250).map(|_| connect(half)).collect();
            while !stop.load(Ordering::Relaxed) {
                for (last, stream) in (0..).zip(&mut open) {
                    if stream.as_mut().map_or(true, is_closed) {
                        *stream = connect(last);
                    }
                }
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let flooders: Vec<_> = (0..2).map(flood).collect();
    let slowest = served.slowest_probe();
    stop.store(true, Ordering::Relaxed);
    flooders.into_iter().for_each(|flooder| flooder.join().unwrap());
    assert!(slowest < Duration::from_secs(1), "/livez took {slowest:?}");
    let seconds = since.elapsed().as_secs() as usize + 1;
    assert!(served.scrapes.load(Ordering::SeqCst) <= seconds, "more than a scrape a second");
}

#[test]
fn requests_that_never_end_take_no_more_memory_than_their_places() {
    // In a process of its own: what it takes is measured.
    if std::env::var_os(ALONE).is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["serve::port::tests::requests_that_never_end_take_no_more_memory_than_their_places", "--exact"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
        assert!(String::from_utf8_lossy(&alone.stdout).contains("1 passed"));
        return;
    }
    let served = served();
    let before = anonymous_memory();
    let start = format!("GET /livez HTTP/1.1\r\nHost: node\r\nX-Long: {}", "x".repeat(60_000));
    let mut open = Vec::new();
    for number in 0..5000_u16 {
        let Ok(stream) = served.connect(2 + (number % 250) as u8) else { continue };
        stream.set_nonblocking(true).unwrap();
        let _closed = (&stream).write(start.as_bytes());
        open.push(stream);
    }
    let slowest = served.slowest_probe();
    let grown = anonymous_memory().saturating_sub(before);
    assert!(slowest < Duration::from_secs(1), "/livez took {slowest:?}");
    assert!(grown < 16 << 10, "{grown} KiB for {} requests", open.len());
}

#[test]
fn a_request_that_is_too_long_or_has_too_many_headers_is_refused() {
    let served = served();
    let long = format!("/livez?{}", "x".repeat(REQUEST_BYTES));
    assert!(!served.ask(2, &long).contains("200 OK"));
    let many = format!("/livez HTTP/1.1\r\n{}X: y", "X-One: more\r\n".repeat(REQUEST_HEADERS + 1));
    let mut stream = served.connect(2).unwrap();
    stream.write_all(format!("GET {many}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(served.ask(2, "/livez").ends_with("ok\n"));
}

/// True where the other side has closed: with an end, or with a reset for what it did not read.
fn is_closed(stream: &mut std::net::TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn slow_writers_and_slow_readers_lose_their_places_in_time() {
    let served = served();
    let slow = |last| {
        let mut stream = served.connect(last).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost").unwrap();
        stream
    };
    let mut writers: Vec<_> = (2..10).flat_map(|last| (0..8).map(move |_| last)).map(slow).collect();
    assert_eq!(writers.len(), CONNECTIONS);
    // A byte now and then does not keep a place.
    let since = Instant::now();
    while since.elapsed() < REQUEST_TIME + Duration::from_secs(1) {
        writers.iter_mut().for_each(|stream| drop(stream.write(b"x")));
        assert!(served.probe() < Duration::from_secs(1));
        thread::sleep(Duration::from_millis(250));
    }
    assert!(writers.iter_mut().all(is_closed));

    let mut readers: Vec<_> = (2..10).map(|last| served.connect(last).unwrap()).collect();
    readers.iter_mut().for_each(|stream| stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n").unwrap());
    let (since, mut read) = (Instant::now(), 0);
    while since.elapsed() < CONNECTION_TIME + Duration::from_secs(1) {
        readers.iter_mut().for_each(|stream| read += stream.read(&mut [0; 64]).unwrap_or_default());
        assert!(served.probe() < Duration::from_secs(1));
        thread::sleep(Duration::from_millis(500));
    }
    for stream in &mut readers {
        let rest = stream.read_to_end(&mut Vec::new()).unwrap_or_default();
        assert!(rest < LARGE, "a slow reader got all of it");
    }
    assert!(read > 0);
}

#[test]
fn a_source_has_its_share_and_the_node_its_own() {
    let served = served();
    let hold = |last| {
        let mut stream = served.connect(last).unwrap();
        stream.write_all(b"GET /livez").unwrap();
        stream
    };
    let mut greedy: Vec<_> = (0..CONNECTIONS_A_SOURCE * 2).map(|_| hold(2)).collect();
    thread::sleep(Duration::from_millis(200));
    let held = greedy.iter_mut().filter_map(|stream| (!is_closed(stream)).then_some(())).count();
    assert_eq!(held, CONNECTIONS_A_SOURCE);
    assert!(served.ask(3, "/livez").ends_with("ok\n"), "another source");
    let mut all: Vec<_> = (4..40).flat_map(|last| (0..8).map(move |_| last)).map(hold).collect();
    thread::sleep(Duration::from_millis(200));
    let held = greedy.iter_mut().chain(&mut all).filter_map(|stream| (!is_closed(stream)).then_some(())).count();
    assert_eq!(held, CONNECTIONS);
    assert_eq!(served.ask(50, "/livez"), "", "no place is left");
    assert!(served.probe() < Duration::from_secs(1), "but for the kubelet");
    greedy.iter().chain(&all).for_each(|stream| stream.shutdown(Shutdown::Both).unwrap_or_default());
    thread::sleep(Duration::from_millis(200));
    assert!(served.ask(50, "/livez").ends_with("ok\n"), "places are given back");
}

#[test]
fn what_is_pipelined_behind_a_request_is_not_read() {
    let served = served();
    let mut stream = served.connect(2).unwrap();
    stream.write_all("GET /livez HTTP/1.1\r\nHost: node\r\n\r\n".repeat(10).as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    assert_eq!(String::from_utf8_lossy(&answer).matches("200 OK").count(), 1);
}
