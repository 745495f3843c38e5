//! Encoding CONNECT. All of it is ours: rumqttc has no words for a binary or empty password and an empty user name.

use super::encode::{put_binary, put_text, reserve};
use super::property_codec::{properties_size, put_properties};
use super::validate::{check_length, check_properties, check_text};
use super::variable::{put_variable, variable_size};
use super::{check_topic, Connect, PropertyOwner, Unsendable, Version, PACKET_SIZE_LIMIT};
use bytes::{BufMut, BytesMut};

/// Appends a CONNECT. On error nothing is appended (true of every encoder here).
pub fn encode_connect(version: Version, connect: &Connect, out: &mut BytesMut) -> Result<(), Unsendable> {
    check(version, connect)?;
    let size = Size::of(version, connect);
    reserve(size.remaining, PACKET_SIZE_LIMIT, out)?;
    out.put_u8(0x10);
    put_variable(out, size.remaining);
    let (name, number) = protocol(version, connect);
    put_text(name, out);
    out.put_u8(number);
    out.put_u8(flags(connect));
    out.put_u16(connect.keep_alive);
    if version == Version::V5 {
        put_properties(&connect.properties, size.properties, out);
    }
    put_text(&connect.client_id, out);
    if let Some(will) = &connect.will {
        if version == Version::V5 {
            put_properties(&will.properties, size.will_properties, out);
        }
        put_text(&will.topic, out);
        put_binary(&will.payload, out);
    }
    if let Some(username) = &connect.username {
        put_text(username, out);
    }
    if let Some(password) = &connect.password {
        put_binary(password, out);
    }
    Ok(())
}

/// Name and number of the protocol. MQTT 3.1 differs from 3.1.1 in nothing else that a client sends.
fn protocol(version: Version, connect: &Connect) -> (&'static str, u8) {
    let (name, number) = match version {
        Version::V4 if connect.mqtt31 => ("MQIsdp", 3),
        version => ("MQTT", version as u8),
    };
    (name, number | u8::from(connect.bridge) << 7)
}

fn check(version: Version, connect: &Connect) -> Result<(), &'static str> {
    check_text(&connect.client_id)?;
    if let Some(username) = &connect.username {
        check_text(username)?;
    }
    if let Some(password) = &connect.password {
        check_length(password.len())?;
    }
    if let Some(will) = &connect.will {
        check_topic(&will.topic)?;
        check_length(will.payload.len())?;
    }
    match version {
        Version::V4 if connect.password.is_some() && connect.username.is_none() => {
            Err("a password needs a user name in MQTT 3.1.1 [MQTT-3.1.2-22]")
        }
        Version::V4 if connect.client_id.is_empty() && !connect.clean_start => {
            Err("an empty client identifier needs a clean session in MQTT 3.1.1 [MQTT-3.1.3-7]")
        }
        Version::V4 => Ok(()),
        Version::V5 => {
            if let Some(will) = &connect.will {
                check_properties(PropertyOwner::Will, &will.properties)?;
            }
            check_properties(PropertyOwner::Connect, &connect.properties)
        }
    }
}

fn flags(connect: &Connect) -> u8 {
    let will =
        connect.will.as_ref().map_or(0, |will| 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    u8::from(connect.clean_start) << 1
        | will
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.username.is_some()) << 7
}

struct Size {
    properties: usize,
    will_properties: usize,
    remaining: usize,
}

impl Size {
    fn of(version: Version, connect: &Connect) -> Self {
        let (mut properties, mut will_properties) = (0, 0);
        // Protocol name and version, flags, keep alive.
        let mut remaining = 6 + protocol(version, connect).0.len() + 2 + connect.client_id.len();
        if let Some(will) = &connect.will {
            remaining += 4 + will.topic.len() + will.payload.len();
            if version == Version::V5 {
                will_properties = properties_size(&will.properties);
                remaining += variable_size(will_properties) + will_properties;
            }
        }
        remaining += connect.username.as_ref().map_or(0, |username| 2 + username.len());
        remaining += connect.password.as_ref().map_or(0, |password| 2 + password.len());
        if version == Version::V5 {
            properties = properties_size(&connect.properties);
            remaining += variable_size(properties) + properties;
        }
        Size { properties, will_properties, remaining }
    }
}
