//! Whole frames in and out of an interface (`AF_PACKET`), from inside its network namespace.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::net::NetNs;

use nix::ifaddrs::getifaddrs;
use nix::libc::{c_int, setsockopt, socklen_t};
use nix::sys::socket::{LinkAddr, bind, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

/// `ETH_P_ALL`, in network byte order.
const EVERYTHING: i32 = 0x0300;
/// `PACKET_OUTGOING`: what this side sends, which the kernel shows, too.
const OUTGOING: u8 = 4;

/// One interface's frames. The socket stays in its namespace whichever thread uses it.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
}

impl Wire {
    /// # Panics
    /// Where the interface does not exist.
    #[must_use]
    pub fn open(netns: &NetNs, interface: &str) -> Self {
        let socket = netns
            .run(|| {
                let kind = Type::RAW.nonblocking();
                let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(EVERYTHING))).expect("a socket");
                socket.set_recv_buffer_size(4 << 20).expect("a large buffer");
                bind(socket.as_raw_fd(), &link(interface)).expect("bind to the interface");
                socket
            })
            .expect("enter the namespace");
        Self { socket }
    }

    /// # Panics
    /// Where the kernel refuses the frame.
    pub fn send(&self, frame: &[u8]) {
        assert_eq!(self.socket.send(frame).expect("the frame goes out"), frame.len());
    }

    /// Sends a frame that leaves its checksum to the kernel: over all bytes from `start`, written `offset` bytes behind that
    /// (`virtio_net_hdr`, `PACKET_VNET_HDR`).
    ///
    /// # Panics
    /// Where the kernel refuses the frame.
    pub fn send_unsummed(&self, start: u16, offset: u16, frame: &[u8]) {
        const SOL_PACKET: c_int = 263;
        const PACKET_VNET_HDR: c_int = 15;
        const NEEDS_CHECKSUM: u8 = 1;
        self.set(SOL_PACKET, PACKET_VNET_HDR, 1);
        let mut sent = vec![NEEDS_CHECKSUM, 0, 0, 0, 0, 0];
        [start, offset].iter().for_each(|number| sent.extend(number.to_ne_bytes()));
        sent.extend(frame);
        assert_eq!(self.socket.send(&sent).expect("the frame goes out"), sent.len());
        self.set(SOL_PACKET, PACKET_VNET_HDR, 0);
    }

    #[allow(unsafe_code, reason = "neither nix nor socket2 knows this option")]
    fn set(&self, level: c_int, option: c_int, value: c_int) {
        // SAFETY: an option that is an integer, of which the kernel reads the length that it is told.
        let result = unsafe {
            setsockopt(
                self.socket.as_raw_fd(),
                level,
                option,
                (&raw const value).cast(),
                size_of::<c_int>() as socklen_t,
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// How many of the frames that came in since the last call are `wanted`.
    ///
    /// # Panics
    /// Where the interface is gone.
    #[must_use]
    pub fn came(&self, wanted: impl Fn(&[u8]) -> bool) -> usize {
        let mut buffer = [0; 2048];
        let mut count = 0;
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((length, from)) => {
                    let outgoing = from.is_some_and(|from| from.pkttype() == OUTGOING);
                    count += usize::from(!outgoing && wanted(&buffer[..length]));
                }
                Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock => return count,
                Err(error) => panic!("cannot receive: {error}"),
            }
        }
    }

    /// Waits until so many `wanted` frames came.
    ///
    /// # Panics
    /// Where they do not within three seconds.
    pub fn expect(&self, count: usize, wanted: impl Fn(&[u8]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(3);
        let mut came = 0;
        while came < count && Instant::now() < deadline {
            came += self.came(&wanted);
            sleep(Duration::from_millis(5));
        }
        assert_eq!(came, count, "frames that should arrive");
    }
}

/// The MAC address of an interface.
///
/// # Panics
/// Where there is no such interface.
#[must_use]
pub fn mac_of(netns: &NetNs, interface: &str) -> [u8; 6] {
    netns.run(|| link(interface).addr()).expect("enter the namespace").expect("a MAC address")
}

fn link(interface: &str) -> LinkAddr {
    let addresses = getifaddrs().expect("interfaces");
    let mut links = addresses.filter(|entry| entry.interface_name == interface);
    links.find_map(|entry| entry.address?.as_link_addr().copied()).expect("the interface")
}
