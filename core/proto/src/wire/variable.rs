//! The variable byte integer: seven bits a byte, lowest first, at most four bytes (MQTT 5 section 1.5.5).

use super::Violation;
use bytes::{BufMut, BytesMut};

/// The largest value four bytes hold.
pub(super) const VARIABLE_LIMIT: u32 = 268_435_455;

/// The value at the start of `bytes` and how many bytes it takes. `None`: it does not end within them.
/// Whether it takes more bytes than it needs is the caller's question: MQTT 3.1.1 does not forbid that.
pub(super) fn read_variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Violation> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 {
        return Ok(None);
    }
    Err(Violation::malformed("a variable byte integer has more than four bytes"))
}

/// The number of bytes that [`put_variable`] writes.
pub(super) const fn variable_size(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Appends `value`, which the caller has found to be at most [`VARIABLE_LIMIT`].
pub(super) fn put_variable(out: &mut BytesMut, value: usize) {
    let mut rest = value;
    while rest > 0x7F {
        out.put_u8((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}
