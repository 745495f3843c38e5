//! Topic names and topic filters (MQTT 5 section 4.7), shared subscriptions (4.8).

use super::Frame;
use bytes::Bytes;

/// Checks a topic name to publish to: not empty, no wildcard, no U+0000, at most 65,535 bytes.
pub fn check_topic(topic: &str) -> Result<(), &'static str> {
    if topic.is_empty() {
        return Err("a topic name has at least one character [MQTT-4.7.3-1]");
    }
    if topic.len() > 65_535 {
        return Err("a topic name has at most 65,535 bytes [MQTT-4.7.3-3]");
    }
    if topic.bytes().any(|byte| matches!(byte, 0 | b'+' | b'#')) {
        return Err("a topic name contains no wildcard and no U+0000 [MQTT-3.3.2-2], [MQTT-4.7.3-2]");
    }
    Ok(())
}

/// A PUBLISH whose topic is not UTF-8, with question marks in the place of what is wrong in it, and the topic as it
/// came. `None`: it is another packet, or something else is wrong with it.
pub fn repair_topic(frame: Frame, packet: &[u8]) -> Option<(Vec<u8>, Bytes)> {
    let start = frame.header + 2;
    let length = packet.get(frame.header..start)?;
    let end = start + usize::from(u16::from_be_bytes([length[0], length[1]]));
    let raw = packet.get(start..end).filter(|_| frame.first >> 4 == 3)?;
    let mut repaired = packet.to_vec();
    let mut rest = start;
    while let Err(error) = std::str::from_utf8(&repaired[rest..end]) {
        rest += error.valid_up_to() + 1;
        repaired[rest - 1] = b'?';
    }
    (repaired != packet).then(|| (repaired, Bytes::copy_from_slice(raw)))
}

/// True when a topic name received breaks [MQTT-3.3.2-2].
pub(super) fn has_wildcard(topic: &str) -> bool {
    topic.bytes().any(|byte| matches!(byte, b'+' | b'#'))
}

/// Checks a topic filter, `$share/name/filter` included: at most 65,535 bytes, no U+0000, wildcards in whole levels.
pub fn check_filter(filter: &str) -> Result<(), &'static str> {
    if filter.len() > 65_535 {
        return Err("a topic filter has at most 65,535 bytes [MQTT-4.7.3-3]");
    }
    if filter.as_bytes().contains(&0) {
        return Err("a topic filter contains no U+0000 [MQTT-4.7.3-2]");
    }
    match filter.strip_prefix("$share/") {
        None => check_levels(filter),
        Some(shared) => {
            let (name, rest) =
                shared.split_once('/').ok_or("a shared subscription is $share/name/filter [MQTT-4.8.2-2]")?;
            if name.is_empty() || has_wildcard(name) {
                return Err(
                    "a share name has at least one character and no wildcard [MQTT-4.8.2-1], [MQTT-4.8.2-2]",
                );
            }
            check_levels(rest)
        }
    }
}

/// Whether a filter that passes `check_filter` covers a topic name: a shared subscription what its filter covers, and
/// a wildcard at the beginning no topic that begins with `$` [MQTT-4.7.2-1].
pub fn filter_covers(filter: &str, topic: &str) -> bool {
    let filter =
        filter.strip_prefix("$share/").and_then(|shared| shared.split_once('/')).map_or(filter, |it| it.1);
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true, // the level above it included [MQTT-4.7.1-2]
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// True for `$share/...`, where `no_local` is forbidden [MQTT-3.8.3-4].
pub(super) fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

fn check_levels(filter: &str) -> Result<(), &'static str> {
    if filter.is_empty() {
        return Err("a topic filter has at least one character [MQTT-4.7.3-1]");
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('+') && level != "+" {
            return Err("'+' stands for a whole level of a topic filter [MQTT-4.7.1-2]");
        }
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err("'#' is the last level of a topic filter and the whole of it [MQTT-4.7.1-1]");
        }
    }
    Ok(())
}
