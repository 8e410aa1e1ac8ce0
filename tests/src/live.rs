//! TCP connections between pods of a lab.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::inside::Inside;

/// How long a packet that should not arrive is waited for.
pub const PATIENCE: Duration = Duration::from_millis(400);

/// A connection, by its two ends.
#[derive(Debug)]
pub struct Connection {
    pub near: TcpStream,
    pub far: TcpStream,
}

impl Connection {
    /// To a port that nobody has to listen at.
    ///
    /// # Panics
    /// Where it is not permitted.
    #[must_use]
    pub fn open(from: &Inside, to: &Inside, family: usize, port: u16) -> Self {
        Self::to(from, &listen(to, family, port))
    }

    /// From a pod to a listener, which is not asked by anybody else.
    ///
    /// # Panics
    /// Where it is not permitted.
    #[must_use]
    pub fn to(from: &Inside, listener: &Socket) -> Self {
        let to = listener.local_addr().unwrap();
        let near = tcp(from, usize::from(to.is_ipv6()), 0);
        near.connect_timeout(&to, Duration::from_secs(5)).expect("a permitted connection");
        let (far, _) = listener.accept().unwrap();
        let [near, far] = [near, far].map(|socket| {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.set_tcp_nodelay(true).unwrap();
            socket.into()
        });
        Self { near, far }
    }

    /// Whether a byte goes through, from the one that connected and then to it.
    pub fn carries(&mut self) -> [bool; 2] {
        let Self { near, far } = self;
        [carries(near, far), carries(far, near)]
    }
}

/// Whether a byte from one end reaches the other.
///
/// # Panics
/// Where the connection has ended.
pub fn carries(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    from.write_all(b"x").unwrap();
    match to.read(&mut [0; 8]) {
        Ok(length) => length == 1,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            false
        }
    }
}

/// A TCP socket at a port that others may be bound to, too.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn tcp(pod: &Inside, family: usize, port: u16) -> Socket {
    pod.run(|| {
        let domain = if family == 0 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SocketAddr::new(pod.addresses[family], port).into()).unwrap();
        socket
    })
}

/// # Panics
/// Where somebody listens there already.
#[must_use]
pub fn listen(pod: &Inside, family: usize, port: u16) -> Socket {
    let socket = tcp(pod, family, port);
    socket.listen(16).unwrap();
    socket
}
