//! Framing: where the first packet of a byte stream ends.
//!
//! Nothing is reserved for a length that a peer merely claims, and a packet that can never become valid is refused
//! on its first bytes, before anybody buffers the rest of it.

use super::variable::{read_variable, variable_size};
use super::{Version, Violation, PACKET_SIZE_LIMIT};

/// One whole packet found at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// First byte: type and flags.
    pub first: u8,
    /// Length of the fixed header, where the body starts.
    pub header: usize,
    /// Length of the whole packet.
    pub total: usize,
}

/// Finds the first packet. `None`: more bytes are needed. Refuses what can never become a valid packet as early as
/// its bytes allow: wrong flags, a type no server sends, a length over five bytes or over `maximum` (whole packet).
pub fn frame(version: Version, buffer: &[u8], maximum: u32) -> Result<Option<Frame>, Violation> {
    let Some((&first, rest)) = buffer.split_first() else { return Ok(None) };
    check_first(version, first)?;
    let Some((remaining, width)) = read_variable(rest)? else { return Ok(None) };
    if version == Version::V5 && width > variable_size(remaining as usize) {
        return Err(Violation::malformed(
            "the remaining length takes more bytes than it needs [MQTT-1.5.5-1]",
        ));
    }
    if remaining > longest_body(version, first) {
        return Err(Violation::malformed("the packet is longer than its type allows"));
    }
    let header = 1 + width;
    let total = header + remaining as usize;
    if total > maximum as usize {
        return Err(Violation {
            reason_code: 0x95,
            text: "the packet is larger than the maximum packet size",
        });
    }
    if buffer.len() < total {
        return Ok(None);
    }
    Ok(Some(Frame { first, header, total }))
}

/// A PUBLISH that is larger than is accepted, as far as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargePublish {
    /// Length of the fixed header.
    pub header: usize,
    /// How many bytes from the start of the packet name it: up to its packet identifier.
    pub known: usize,
    /// Length of the whole packet.
    pub total: usize,
}

/// Reads the beginning of a PUBLISH of QoS 1 or 2. `None`: it is none, or cannot be one. Where topic and identifier are
/// not here yet, `known` is more than there is.
pub fn large_publish(buffer: &[u8]) -> Option<LargePublish> {
    let (&first, rest) = buffer.split_first()?;
    let (remaining, width) = read_variable(rest).ok()??;
    if first >> 4 != 3 || !matches!(first >> 1 & 3, 1 | 2) {
        return None;
    }
    let (header, total) = (1 + width, 1 + width + remaining as usize);
    let known = match buffer.get(header..header + 2) {
        Some(length) => header + 4 + usize::from(u16::from_be_bytes([length[0], length[1]])),
        None => header + 4,
    };
    (known <= total).then_some(LargePublish { header, known, total })
}

/// Type and flags as a server may send them [MQTT-2.1.3-1], [MQTT-3.3.1-4].
fn check_first(version: Version, first: u8) -> Result<(), Violation> {
    let flags = match first >> 4 {
        3 if first & 0x06 == 0x06 => return Err(Violation::malformed("PUBLISH with QoS 3 [MQTT-3.3.1-4]")),
        3 => return Ok(()),
        1 | 8 | 10 | 12 => return Err(Violation::protocol("a packet that only a client sends")),
        14 if version == Version::V4 => {
            return Err(Violation::protocol("DISCONNECT from a server of MQTT 3.1.1"));
        }
        15 if version == Version::V4 => return Err(Violation::malformed("AUTH is no packet of MQTT 3.1.1")),
        0 => return Err(Violation::malformed("packet type 0 is reserved")),
        6 => 2,
        _ => 0,
    };
    if first & 0x0F != flags {
        return Err(Violation::malformed("reserved flags of the fixed header are set wrong [MQTT-2.1.3-1]"));
    }
    Ok(())
}

/// The longest body of this type, so that a three-byte packet cannot announce megabytes.
fn longest_body(version: Version, first: u8) -> u32 {
    match (version, first >> 4) {
        (_, 13) => 0,
        (Version::V4, 2 | 4..=7 | 11) => 2,
        _ => PACKET_SIZE_LIMIT,
    }
}
