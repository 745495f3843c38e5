//! What a server sends, or what a script wants it to send.

use super::{Coding, Kind, Packet, Value, PROPERTIES};

/// The bytes of a packet for a client of this protocol level. Fields that the level lacks are an error.
///
/// Acknowledgements, DISCONNECT and AUTH take their shortest form: `rc` is written when the packet has it (also when
/// it is 0), properties when it has some; so a script chooses the form by the fields it names. A field `length` replaces
/// the remaining length.
pub fn encode(level: u8, packet: &Packet) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let mut flags = 0;
    let has = |name: &str| packet.find(name).is_some();
    match packet.kind {
        Kind::Connack => {
            body.extend([packet.number("sp") as u8, packet.number("rc") as u8]);
            properties(level, packet, &mut body)?;
        }
        Kind::Publish => {
            let qos = packet.number("qos") as u8;
            flags = (packet.number("dup") as u8) << 3 | qos << 1 | packet.number("retain") as u8;
            binary(&mut body, packet.bytes("topic"));
            if qos > 0 {
                body.extend(packet.id().to_be_bytes());
            }
            properties(level, packet, &mut body)?;
            body.extend(packet.bytes("payload"));
        }
        Kind::Puback | Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp => {
            flags = if packet.kind == Kind::Pubrel { 2 } else { 0 };
            body.extend(packet.id().to_be_bytes());
            reason(level, packet, &mut body)?;
        }
        Kind::Suback | Kind::Unsuback => {
            body.extend(packet.id().to_be_bytes());
            properties(level, packet, &mut body)?;
            body.extend(packet.bytes("codes"));
        }
        Kind::Disconnect | Kind::Auth => reason(level, packet, &mut body)?,
        Kind::Pingresp => {}
        kind => return Err(format!("a server sends no {kind}; use hex for such things")),
    }
    let length = if has("length") { packet.number("length") as usize } else { body.len() };
    let mut bytes = vec![(packet.kind as u8) << 4 | flags];
    variable(&mut bytes, length);
    bytes.extend(body);
    Ok(bytes)
}

/// `rc`, then properties, each only as far as the packet has them.
fn reason(level: u8, packet: &Packet, body: &mut Vec<u8>) -> Result<(), String> {
    let named = |name: &str| PROPERTIES.iter().any(|row| row.1 == name);
    let with_properties = packet.fields.iter().any(|(name, _)| named(name));
    if level != 5 {
        // A 3.1.1 acknowledgement has no reason code: scripts for both versions may name one, it is left out.
        return if with_properties { properties(level, packet, body) } else { Ok(()) };
    }
    if packet.find("rc").is_some() || with_properties {
        body.push(packet.number("rc") as u8);
    }
    if with_properties {
        properties(level, packet, body)?;
    }
    Ok(())
}

fn properties(level: u8, packet: &Packet, body: &mut Vec<u8>) -> Result<(), String> {
    let mut block = Vec::new();
    for (name, value) in &packet.fields {
        let Some(&(id, _, coding)) = PROPERTIES.iter().find(|row| row.1 == *name) else { continue };
        if level != 5 {
            return Err(format!("MQTT 3.1.1 has no property {name}"));
        }
        block.push(id);
        match (coding, value) {
            (Coding::Byte, Value::Number(number)) => block.push(*number as u8),
            (Coding::TwoByte, Value::Number(number)) => block.extend((*number as u16).to_be_bytes()),
            (Coding::FourByte, Value::Number(number)) => block.extend((*number as u32).to_be_bytes()),
            (Coding::Variable, Value::Number(number)) => variable(&mut block, *number as usize),
            (Coding::Text | Coding::Binary, Value::Bytes(bytes)) => binary(&mut block, bytes),
            (Coding::Pair, Value::Bytes(bytes)) => {
                let at = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
                binary(&mut block, &bytes[..at]);
                binary(&mut block, bytes.get(at + 1..).unwrap_or_default());
            }
            _ => return Err(format!("the value of {name} has the wrong form")),
        }
    }
    if level == 5 {
        variable(body, block.len());
        body.extend(block);
    }
    Ok(())
}

fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_be_bytes());
    out.extend(bytes);
}

fn variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let more = value > 0x7F;
        out.push((value & 0x7F) as u8 | if more { 0x80 } else { 0 });
        value >>= 7;
        if !more {
            return;
        }
    }
}
