//! As much of MQTT 3.1.1 as a publisher, a probe and an onlooker need. No client of this crate's own is being judged
//! here, so the bytes are written by hand, apart from the library under test.

/// Packet types, the upper half of the first byte.
pub(crate) mod kind {
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBACK: u8 = 9;
}

/// The measured payload: sequence number and CLOCK_MONOTONIC stamp, both big endian.
pub(crate) const PAYLOAD: usize = 16;

/// One whole packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) head: u8,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn kind(&self) -> u8 {
        self.head >> 4
    }

    pub(crate) fn qos(&self) -> u8 {
        (self.head >> 1) & 3
    }

    pub(crate) fn dup(&self) -> bool {
        self.head & 8 != 0
    }

    /// The packet identifier of a PUBLISH with QoS > 0, or of any acknowledgement.
    pub(crate) fn id(&self) -> u16 {
        let at = if self.kind() == kind::PUBLISH { 2 + be16(&self.body, 0) as usize } else { 0 };
        be16(&self.body, at)
    }

    /// The sequence number at the end of a PUBLISH. Both versions end with the payload, so properties do not matter.
    pub(crate) fn seq(&self) -> Option<u64> {
        let at = self.body.len().checked_sub(PAYLOAD)?;
        Some(u64::from_be_bytes(self.body[at..at + 8].try_into().ok()?))
    }
}

/// Cuts a byte stream into packets.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    pending: Vec<u8>,
}

impl Framer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Every packet that is complete by now.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        let (mut frames, mut used) = (Vec::new(), 0);
        while let Some((frame, length)) = frame(&self.pending[used..]) {
            frames.push(frame);
            used += length;
        }
        self.pending.drain(..used);
        frames
    }
}

fn frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (mut length, mut at) = (0usize, 1usize);
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 127) << (7 * (at - 1));
        at += 1;
        if byte & 128 == 0 {
            break;
        }
        if at > 4 {
            return None;
        }
    }
    let body = bytes.get(at..at + length)?.to_vec();
    Some((Frame { head: bytes[0], body }, at + length))
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(two) => u16::from_be_bytes([two[0], two[1]]),
        None => 0,
    }
}

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![head];
    let mut rest = body.len();
    loop {
        let low = (rest & 127) as u8;
        rest >>= 7;
        out.push(if rest == 0 { low } else { low | 128 });
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// CONNECT of 3.1.1; the keep alive outlasts any use here, so no PINGREQ is ever due.
pub(crate) fn connect(client_id: &str, clean: bool) -> Vec<u8> {
    let mut body = Vec::new();
    string(&mut body, "MQTT");
    body.extend_from_slice(&[4, u8::from(clean) << 1, 0x0e, 0x10]);
    string(&mut body, client_id);
    packet(0x10, &body)
}

pub(crate) fn subscribe(id: u16, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    string(&mut body, filter);
    body.push(qos);
    packet(0x82, &body)
}

/// PUBLISH with the measured payload, padded with `x` in front of it up to `size`.
pub(crate) fn publish(id: u16, topic: &str, qos: u8, seq: u64, stamp: u64, size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + size + 8);
    string(&mut body, topic);
    if qos > 0 {
        body.extend_from_slice(&id.to_be_bytes());
    }
    body.resize(body.len() + size.saturating_sub(PAYLOAD), b'x');
    body.extend_from_slice(&seq.to_be_bytes());
    body.extend_from_slice(&stamp.to_be_bytes());
    packet(0x30 | qos << 1, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn ack(kind: u8, id: u16) -> Vec<u8> {
    packet(kind << 4 | if kind == kind::PUBREL { 2 } else { 0 }, &id.to_be_bytes())
}

pub(crate) fn disconnect() -> Vec<u8> {
    packet(0xe0, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_split_over_two_reads_gives_its_identifier_and_sequence_number() {
        let bytes = publish(7, "a/b", 2, 42, 1, 64);
        let mut framer = Framer::default();
        framer.push(&bytes[..5]);
        assert_eq!(framer.frames(), []);
        framer.push(&bytes[5..]);
        let frames = framer.frames();
        assert_eq!((frames[0].id(), frames[0].seq(), frames[0].qos()), (7, Some(42), 2));
    }
}
