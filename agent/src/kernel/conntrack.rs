//! Loading of the kernel's connection tracking, where it is a module.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, socket};

/// `nlmsghdr` and `nfgenmsg` (Linux uapi `netlink.h`, `nfnetlink.h`), in host byte order: a request of 20 bytes for the
/// statistics of connection tracking (`NFNL_SUBSYS_CTNETLINK`, `IPCTNL_MSG_CT_GET_STATS`).
fn request() -> [u8; 20] {
    const SUBSYSTEM: u16 = 1;
    const GET_STATS: u16 = 5;
    const NLM_F_REQUEST: u16 = 1;
    let mut message = [0; 20];
    message[..4].copy_from_slice(&20_u32.to_ne_bytes());
    message[4..6].copy_from_slice(&(SUBSYSTEM << 8 | GET_STATS).to_ne_bytes());
    message[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message
}

/// Asks connection tracking something, for which the kernel loads its module and waits for it
/// (`nfnetlink_rcv_msg`, Linux 6.18): an agent may start before kube-proxy has made a rule that needs it.
///
/// # Errors
/// There is no socket for it, or nothing that can be asked.
pub(super) fn load() -> Result<()> {
    ask().map(drop)
}

/// The socket that is answered at.
fn ask() -> Result<OwnedFd> {
    let protocol = SockProtocol::NetlinkNetFilter;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
        .context("no socket for netfilter")?;
    send(socket.as_raw_fd(), &request(), MsgFlags::empty()).context("the kernel has no connection tracking")?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::recv;

    use super::*;

    /// The kernel understands the question. Whether it loads a module for it, only a kernel tells that has one.
    #[test]
    fn the_kernel_answers_with_statistics() {
        let socket = ask().expect("connection tracking");
        let mut answer = [0; 256];
        let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()).expect("an answer");
        assert!(length > 20);
        assert_eq!(answer[4..6], request()[4..6], "no error, but statistics");
    }
}
