//! Servers that send us to another one: reason codes 0x9C (for now) and 0x9D (for good) of MQTT 5, with a server
//! reference. [MQTT5 4.11]
//!
//! The other server is dialled at once, over the same transport, so that what vouched for the first one is asked of it
//! too. "For now" ends with that connection, "for good" with an attempt that fails; then the list of the options counts
//! again. Without a reference the next server of the list is tried.

use crate::engine::Engine;
use crate::lifecycle::End;
use crate::server::{Server, Url};
use crate::wire::PropertyId;

/// References that are followed before a connection has proved stable: servers may send us round in a circle.
const HOPS: u32 = 4;

#[derive(Debug, Default)]
pub(crate) struct Referral {
    url: Option<Url>,
    for_good: bool,
    hops: u32,
}

impl Referral {
    /// The server that counts in place of the list.
    pub(crate) fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// It counts also after a connection to it is lost.
    pub(crate) fn is_for_good(&self) -> bool {
        self.for_good
    }

    /// A connection lasts.
    pub(crate) fn arrived(&mut self) {
        self.hops = 0;
    }
}

impl Engine {
    /// A connection to this server ended. True if it sent us to another one.
    pub(crate) fn refer(&mut self, server: &Server, was_connected: bool, end: &mut End) -> bool {
        let stays = was_connected && self.referral.for_good;
        if !server.listed && !stays {
            self.referral.url = None;
        }
        let code = end.error.reason_code.filter(|code| end.from_server && matches!(code, 0x9C | 0x9D));
        let reference =
            end.properties.text(PropertyId::ServerReference).filter(|_| self.options.follow_references);
        let (Some(code), Some(reference)) = (code, reference) else { return false };
        if self.referral.hops >= HOPS {
            end.error.detail =
                format!("{}; not followed: {HOPS} references in a row", end.error.detail).into();
            self.referral.url = None;
            return false;
        }
        let first = reference.split_whitespace().next();
        let Some(there) = first.and_then(|name| beside(server.url.as_str(), name)) else { return false };
        self.referral =
            Referral { url: Some(Url::new(&there)), for_good: code == 0x9D, hops: self.referral.hops + 1 };
        true
    }
}

/// The URL of another host that is reached as this one is.
fn beside(url: &str, name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(&byte);
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let scheme = scheme.strip_suffix("+srv").unwrap_or(&scheme);
    if name.is_empty() || !name.bytes().all(plain) || scheme == "unix" {
        return None;
    }
    // As endpoints are parsed: where there is a path, it and its query may hold an @ and the credentials no slash.
    let path = rest.find(['/', '?', '#']).filter(|_| scheme.starts_with("ws")).map_or("", |at| &rest[at..]);
    Some(format!("{scheme}://{name}{path}"))
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn another_host_is_reached_as_the_first_one_was() {
        let there = |url, name| beside(url, name).unwrap_or_default();
        assert_eq!(there("mqtts://u:p@a:1", "b:2"), "mqtts://b:2");
        assert_eq!(there("wss://u:p@a/path", "[::1]:2"), "wss://[::1]:2/path");
        assert_eq!(there("mqtts+srv://a", "b"), "mqtts://b");
        assert_eq!(there("MQTTS+SRV://a", "b"), "mqtts://b");
    }

    #[test]
    fn a_path_is_kept_whatever_stands_in_it() {
        let there = |url, name| beside(url, name).unwrap_or_default();
        assert_eq!(there("wss://a/x@y", "b"), "wss://b/x@y");
        assert_eq!(there("wss://u:p@h:9/a@b?c=d", "b"), "wss://b/a@b?c=d");
        assert_eq!(there("ws://u:p@h?c=d@e", "b"), "ws://b?c=d@e");
        assert_eq!(there("WSS://a/path", "b"), "wss://b/path");
        assert_eq!(there("mqtts://u:p/q@h", "b"), "mqtts://b", "no path, but a password with a slash");
    }

    #[test]
    fn a_reference_that_is_no_host_is_not_followed() {
        for name in ["", "b/c", "u@b", "b?c", "b#c", "é"] {
            assert_eq!(beside("mqtt://a", name), None, "{name}");
        }
        assert_eq!(beside("unix:///a", "b"), None);
    }
}
