//! Endpoint URLs, and how each kind of transport is dialled.

pub(crate) mod tcp;

use remqtt_proto::{ByteString, Bytes, Error, ErrorCode};

/// A parsed endpoint URL: `mqtt://[user[:password]@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host name or address, without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) username: Option<ByteString>,
    pub(crate) password: Option<Bytes>,
}

impl Endpoint {
    /// Parses a URL. The errors never repeat what stands before the `@`.
    pub(crate) fn parse(url: &str) -> Result<Endpoint, Error> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(refused(public(url), "an endpoint is a URL such as mqtt://host:1883"));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => {}
            "mqtts" | "ssl" | "ws" | "wss" | "unix" => {
                return Err(refused(scheme, "this transport is not supported yet; mqtt:// is"));
            }
            _ => return Err(refused(scheme, "no transport has this name; mqtt:// is what can be used")),
        }
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '?', '#']) {
            return Err(refused(address, "mqtt:// takes host and port, and no path"));
        }
        let (host, port) = host_and_port(address)?;
        let (username, password) = match credentials.map(|text| (text, text.split_once(':'))) {
            None => (None, None),
            Some((user, None)) => (Some(text(user)?), None),
            Some((_, Some((user, password)))) => (Some(text(user)?), Some(decoded(password)?.into())),
        };
        Ok(Endpoint { host: host.to_owned(), port, username, password })
    }

    /// Host and port, as in messages.
    pub(crate) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

fn host_and_port(address: &str) -> Result<(&str, u16), Error> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| refused(address, "the ] is missing"))?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| refused(address, "no IPv6 address between [ and ]"))?;
        match rest.strip_prefix(':') {
            None if !rest.is_empty() => return Err(refused(address, "only :port may follow the ]")),
            port => (host, port),
        }
    } else {
        match address.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(refused(address, "an IPv6 address stands in brackets: mqtt://[::1]:1883"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(refused(address, "the host name is missing or has spaces in it"));
    }
    match port.map_or(Ok(1883), str::parse) {
        Ok(0) | Err(_) => Err(refused(address, "a port is a number from 1 to 65535")),
        Ok(port) => Ok((host, port)),
    }
}

fn text(encoded: &str) -> Result<ByteString, Error> {
    let text = String::from_utf8(decoded(encoded)?);
    text.map(ByteString::from).map_err(|_| refused("user name", "it is not UTF-8"))
}

/// Undoes percent encoding.
fn decoded(encoded: &str) -> Result<Vec<u8>, Error> {
    let mut parts = encoded.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.ok_or_else(|| refused("credentials", "two hexadecimal digits must follow a %"))?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Ok(bytes)
}

/// What may be shown of a URL.
fn public(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, address)| address)
}

fn refused(what: &str, why: &str) -> Error {
    Error::new(ErrorCode::InvalidOption, format!("servers: {what:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (String, u16) {
        let endpoint = Endpoint::parse(url).unwrap();
        (endpoint.host, endpoint.port)
    }

    fn why(url: &str) -> String {
        Endpoint::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn names_and_addresses_of_both_families_are_understood() {
        assert_eq!(parsed("mqtt://broker.example"), ("broker.example".into(), 1883));
        assert_eq!(parsed("MQTT://127.0.0.1:99/"), ("127.0.0.1".into(), 99));
        assert_eq!(parsed("mqtt://[::1]"), ("::1".into(), 1883));
        assert_eq!(parsed("mqtt://[fe80::2]:77"), ("fe80::2".into(), 77));
    }

    #[test]
    fn credentials_are_taken_from_the_url_and_decoded() {
        let endpoint = Endpoint::parse("mqtt://us%40er:p@ss%3A%00@host").unwrap();
        assert_eq!(endpoint.username.as_deref(), Some("us@er"));
        assert_eq!(endpoint.password.as_deref(), Some(&b"p@ss:\0"[..]));
        assert_eq!(Endpoint::parse("mqtt://user@host").unwrap().password, None);
        assert_eq!(Endpoint::parse("mqtt://user:@host").unwrap().password.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn transports_to_come_are_named_as_such() {
        for scheme in ["mqtts", "ws", "wss", "unix"] {
            assert!(why(&format!("{scheme}://host")).contains("not supported yet"));
        }
        assert!(why("http://host").contains("no transport has this name"));
    }

    #[test]
    fn broken_urls_are_refused_with_the_reason() {
        assert!(why("broker.example").contains("is a URL such as"));
        assert!(why("mqtt://").contains("host name is missing"));
        assert!(why("mqtt://host:0").contains("number from 1 to 65535"));
        assert!(why("mqtt://host:65536").contains("number from 1 to 65535"));
        assert!(why("mqtt://::1").contains("brackets"));
        assert!(why("mqtt://[::1").contains("] is missing"));
        assert!(why("mqtt://[host]").contains("no IPv6 address"));
        assert!(why("mqtt://host/path").contains("no path"));
        assert!(why("mqtt://a%2@host").contains("hexadecimal"));
    }

    #[test]
    fn errors_do_not_repeat_credentials() {
        for url in ["user:secret@host", "mqtt://user:secret@host:x", "mqtt://user:secret%zz@host"] {
            assert!(!why(url).contains("secret"), "{}", why(url));
        }
    }
}
