//! What TCP knows of a connection's bytes: asked of the kernel by its socket diagnostics (sock_diag(7)), as `ss` does.
//!
//! It says the part of TCP_INFO that matters here and needs no unsafe code.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{recv, send, socket, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use remqtt_proto::Transit;

/// SOCK_DIAG_BY_FAMILY, of the request and of its answer.
const BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
/// The length of a netlink header, and of an `inet_diag_msg`.
const HEADER: usize = 16;
const ANSWER: usize = 72;
/// Which timer runs: nothing of ours is answered, or the other side's window is closed.
const TIMER_RETRANSMIT: u8 = 1;
const TIMER_PROBE: u8 = 4;

/// Looks at the connection between these addresses; `None` where the system does not tell.
pub(super) fn look(ours: SocketAddr, theirs: SocketAddr) -> Option<Transit> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag).ok()?;
    let flags = MsgFlags::MSG_DONTWAIT;
    send(kernel.as_raw_fd(), &question(ours, theirs), flags).ok()?;
    let mut buffer = [0; 1_024];
    // The kernel has answered before it returns from `send`.
    let length = recv(kernel.as_raw_fd(), &mut buffer, flags).ok()?;
    answer(buffer.get(..length)?)
}

/// A netlink header and an `inet_diag_req_v2` that names one socket.
fn question(ours: SocketAddr, theirs: SocketAddr) -> Vec<u8> {
    const LENGTH: u32 = 72;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number, sender
    let family = if ours.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    bytes.extend([family as u8, IPPROTO_TCP, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes()); // in any state
    bytes.extend(ours.port().to_be_bytes());
    bytes.extend(theirs.port().to_be_bytes());
    for address in [ours.ip(), theirs.ip()] {
        match address {
            IpAddr::V4(address) => {
                bytes.extend(address.octets());
                bytes.extend([0; 12]);
            }
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend([0; 4]); // any interface
    bytes.extend([0xFF; 8]); // no cookie
    bytes
}

fn answer(bytes: &[u8]) -> Option<Transit> {
    let (header, bytes) = bytes.split_at_checked(HEADER)?;
    if u16::from_ne_bytes([header[4], header[5]]) != BY_FAMILY || bytes.len() < ANSWER {
        return None;
    }
    let (timer, retransmits) = (bytes[2], bytes[3]);
    let unacknowledged = u32::from_ne_bytes([bytes[60], bytes[61], bytes[62], bytes[63]]);
    Some(Transit {
        unacknowledged: unacknowledged.into(),
        retransmits: if timer == TIMER_RETRANSMIT { retransmits } else { 0 },
        blocked: timer == TIMER_PROBE,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn bytes_that_the_other_side_does_not_take_are_seen() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, theirs) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            // A system without these diagnostics is allowed.
            let Some(idle) = look(ours, theirs) else { return };
            assert_eq!(idle, Transit { unacknowledged: 0, retransmits: 0, blocked: false });
            client.set_nonblocking(true).unwrap();
            while client.write(&[0; 64 << 10]).is_ok() {}
            assert!(look(ours, theirs).unwrap().unacknowledged > 64 << 10);
        }
    }

    #[test]
    fn a_connection_that_is_not_there_is_no_answer() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(look(address, address), None);
    }

    #[test]
    fn a_short_answer_is_no_answer() {
        for length in 0..HEADER + ANSWER {
            let mut bytes = vec![0xFF; length];
            if length > 5 {
                bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
            }
            assert_eq!(answer(&bytes), None);
        }
    }
}
