//! What goes on while something is restarted: a flood of datagrams that are denied, and connections that are permitted,
//! each counted exactly.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use agent::net::NetNs;

use crate::until::Until;

/// Between an answer and the next request: the flood and the restarts need the processors, too.
const PAUSE: Duration = Duration::from_millis(2);
/// A request that has no answer after that long is a broken connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The counters of a flood and of connections, and whether they shall end.
#[derive(Debug, Default)]
pub struct Load {
    until: Until,
    sent: AtomicU64,
    answered: AtomicU64,
    broken: AtomicU64,
}

/// What a [`Load`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Denied datagrams.
    pub sent: u64,
    /// Requests on permitted connections.
    pub answered: u64,
    /// Permitted connections.
    pub broken: u64,
}

impl Load {
    /// Floods from `sockets` and talks over `pairs`, each with an answering end, for as long as `work` takes.
    pub fn during<T>(
        &self,
        sockets: &[(UdpSocket, SocketAddr)],
        pairs: Vec<(TcpStream, TcpStream)>,
        work: impl FnOnce() -> T,
    ) -> T {
        thread::scope(|scope| {
            let _end = self.until.dropped();
            scope.spawn(|| self.flood(sockets));
            for (near, far) in pairs {
                scope.spawn(|| self.talk(near));
                scope.spawn(|| answer(far));
            }
            work()
        })
    }

    #[must_use]
    pub fn sum(&self) -> Sum {
        let [sent, answered, broken] =
            [&self.sent, &self.answered, &self.broken].map(|counter| counter.load(Ordering::Relaxed));
        Sum { sent, answered, broken }
    }

    /// Sends datagrams as fast as the kernel takes them, from each socket to its address in turn.
    ///
    /// # Panics
    /// Where the kernel refuses one for another reason than a full queue.
    fn flood(&self, sockets: &[(UdpSocket, SocketAddr)]) {
        while self.until.goes_on() {
            for (socket, to) in sockets {
                match socket.send_to(b"denied", to) {
                    Ok(_) => drop(self.sent.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
                }
            }
        }
    }

    /// Request and response, again and again, until the end or until the connection breaks.
    ///
    /// # Panics
    /// Never: the time that an answer may take is not zero.
    fn talk(&self, mut connection: TcpStream) {
        connection.set_read_timeout(Some(PATIENCE)).expect("a time");
        while self.until.goes_on() {
            let answer = connection.write_all(b"ping").and_then(|()| connection.read_exact(&mut [0; 4]));
            let counter = if answer.is_ok() { &self.answered } else { &self.broken };
            counter.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = answer {
                eprintln!("a connection broke: {error}");
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Answers until the other end hangs up.
fn answer(mut connection: TcpStream) {
    let mut request = [0; 4];
    while connection.read_exact(&mut request).is_ok() && connection.write_all(&request).is_ok() {}
}

/// How many datagrams wait at a socket.
///
/// # Panics
/// Where it cannot be read.
#[must_use]
pub fn received(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).expect("a socket");
    std::iter::from_fn(|| socket.recv(&mut [0; 64]).ok()).count()
}

/// A socket for each source address, with where it sends to; made where the caller is.
///
/// # Panics
/// Where there is no such address.
#[must_use]
pub fn senders(from: [IpAddr; 2], to: [IpAddr; 2], port: u16) -> Vec<(UdpSocket, SocketAddr)> {
    let open = |ip: IpAddr| UdpSocket::bind((ip, 0)).expect("an address of ours");
    from.into_iter().zip(to).map(|(from, to)| (open(from), SocketAddr::new(to, port))).collect()
}

/// Both ends of permitted connections, `each` to each address.
///
/// # Panics
/// Where one is refused.
#[must_use]
pub fn connections(
    client: &NetNs,
    server: &NetNs,
    addresses: [IpAddr; 2],
    port: u16,
    each: usize,
) -> Vec<(TcpStream, TcpStream)> {
    let listen = || addresses.map(|ip| TcpListener::bind((ip, port)).expect("a port"));
    let listeners = server.run(listen).expect("enter the server's network");
    let dial = |to: SocketAddr| {
        client.run(|| TcpStream::connect(to)).expect("enter the client's network").expect("a permitted connection")
    };
    let pair = |listener: &TcpListener| {
        let near = dial(listener.local_addr().expect("an address"));
        (near, listener.accept().expect("its other end").0)
    };
    listeners.iter().flat_map(|listener| (0..each).map(move |_| pair(listener))).collect()
}
