//! Traffic between two network namespaces: how much of it gets through in a given time.

use std::io::{IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use agent::net::NetNs;
use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use nix::unistd::Pid;
use socket2::SockRef;

/// The two ends.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    pub client: &'a NetNs,
    pub server: &'a NetNs,
    /// Of the server.
    pub address: Ipv4Addr,
    /// The address that the client calls: the server's, or one that is rewritten to it.
    pub called: Ipv4Addr,
}

/// The ports that the server listens on: the policies of the benchmark allow them.
pub const STREAM: u16 = 5201;
pub const REQUEST: u16 = 5202;
pub const DATAGRAM: u16 = 5203;

const CLIENT_CPU: usize = 0;
const SERVER_CPU: usize = 1;
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a server looks whether it is done.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes a second through one TCP connection.
pub fn stream(ends: &Ends<'_>, time: Duration) -> Result<f64> {
    let listener = listen(ends, STREAM)?;
    let mut sender = connect(ends, STREAM)?;
    thread::scope(|scope| {
        let receiver = scope.spawn(|| -> Result<f64> {
            pin(SERVER_CPU)?;
            let mut socket = listener.accept()?.0;
            let mut buffer = vec![0; 1 << 17];
            let started = Instant::now();
            let mut bytes = 0;
            loop {
                match socket.read(&mut buffer)? {
                    0 => return Ok(bytes as f64 / started.elapsed().as_secs_f64()),
                    read => bytes += read,
                }
            }
        });
        pin(CLIENT_CPU)?;
        let buffer = vec![0; 1 << 17];
        let started = Instant::now();
        while started.elapsed() < time {
            sender.write_all(&buffer)?;
        }
        drop(sender);
        joined(receiver)
    })
}

/// Round trips of one byte a second, on one TCP connection.
pub fn requests(ends: &Ends<'_>, time: Duration) -> Result<f64> {
    let listener = listen(ends, REQUEST)?;
    let mut socket = connect(ends, REQUEST)?;
    socket.set_nodelay(true)?;
    thread::scope(|scope| {
        let server = scope.spawn(|| -> Result<()> {
            pin(SERVER_CPU)?;
            let socket = listener.accept()?.0;
            socket.set_nodelay(true)?;
            answer(socket)
        });
        pin(CLIENT_CPU)?;
        let started = Instant::now();
        let mut count = 0;
        while started.elapsed() < time {
            ask(&mut socket)?;
            count += 1;
        }
        let rate = f64::from(count) / started.elapsed().as_secs_f64();
        drop(socket);
        joined(server)?;
        Ok(rate)
    })
}

/// Connections a second, each with one round trip and closed by a reset, so that none stays in TIME_WAIT.
pub fn connections(ends: &Ends<'_>, time: Duration) -> Result<f64> {
    let listener = listen(ends, REQUEST)?;
    SockRef::from(&listener).set_read_timeout(Some(PAUSE))?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let server = scope.spawn(|| -> Result<()> {
            pin(SERVER_CPU)?;
            while !done.load(Ordering::Relaxed) {
                // Nobody came for a while, or the client's reset: how each of these ends.
                let _ended = listener.accept().map(|(socket, _)| answer(socket));
            }
            Ok(())
        });
        let rate = ends.client.run(|| -> Result<f64> {
            pin(CLIENT_CPU)?;
            let started = Instant::now();
            let mut count = 0;
            while started.elapsed() < time {
                let mut socket = TcpStream::connect_timeout(&SocketAddr::from((ends.called, REQUEST)), PATIENCE)?;
                ask(&mut socket)?;
                SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                count += 1;
            }
            Ok(f64::from(count) / started.elapsed().as_secs_f64())
        });
        done.store(true, Ordering::Relaxed);
        joined(server)?;
        rate?
    })
}

/// Small datagrams a second, as the sender counts them: its CPU carries each of them through every hook up to the
/// receiver's socket.
pub fn datagrams(ends: &Ends<'_>, time: Duration) -> Result<f64> {
    const BATCH: usize = 64;
    let receiver = ends.server.run(|| UdpSocket::bind((ends.address, DATAGRAM)))??;
    receiver.set_read_timeout(Some(PAUSE))?;
    let sender = ends.client.run(|| -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((ends.called, DATAGRAM))?;
        Ok(socket)
    })??;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let drain = scope.spawn(|| -> Result<u64> {
            pin(SERVER_CPU)?;
            let mut buffer = [0; 64];
            let mut received = 0;
            while !done.load(Ordering::Relaxed) {
                received += u64::from(receiver.recv(&mut buffer).is_ok());
            }
            Ok(received)
        });
        pin(CLIENT_CPU)?;
        let payload = [0; 18];
        let messages = [[IoSlice::new(&payload)]; BATCH];
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let started = Instant::now();
        let mut sent = 0;
        while started.elapsed() < time {
            let fd = sender.as_raw_fd();
            sent += sendmmsg(fd, &mut headers, &messages, [None; BATCH], [], MsgFlags::empty())?.count();
        }
        let rate = sent as f64 / started.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        ensure!(joined(drain)? > 0, "of {sent} datagrams none arrived");
        Ok(rate)
    })
}

fn listen(ends: &Ends<'_>, port: u16) -> Result<TcpListener> {
    ends.server.run(|| TcpListener::bind((ends.address, port)))?.with_context(|| format!("cannot listen on {port}"))
}

fn connect(ends: &Ends<'_>, port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from((ends.called, port));
    let connected = ends.client.run(|| TcpStream::connect_timeout(&address, PATIENCE))?;
    connected.with_context(|| format!("cannot connect to {address}"))
}

fn ask(socket: &mut TcpStream) -> Result<()> {
    let mut byte = [1];
    socket.write_all(&byte)?;
    Ok(socket.read_exact(&mut byte)?)
}

fn answer(mut socket: TcpStream) -> Result<()> {
    let mut byte = [0];
    while socket.read(&mut byte)? > 0 {
        socket.write_all(&byte)?;
    }
    Ok(())
}

/// Puts this thread on one CPU, where there is that one.
fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    match sched_setaffinity(Pid::from_raw(0), &set) {
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(error) => Err(error).context("cannot choose a CPU"),
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("the other end of the load panicked"))?
}
