//! Endpoint URLs: one syntax for every road to a server.
//!
//! | URL | road | default port |
//! |---|---|---|
//! | `mqtt://host`, `tcp://host` | TCP | 1883 |
//! | `mqtts://host`, `ssl://host` | TLS | 8883 |
//! | `ws://host/path` | WebSocket, path `/mqtt` unless given | 80 |
//! | `wss://host/path` | WebSocket over TLS | 443 |
//! | `unix:///path` | Unix socket | |
//! | `mqtt+srv://name`, `mqtts+srv://name` | what the SRV records of the name say | |
//!
//! Before the host may stand `user:password@`, percent-encoded: the credentials of MQTT, not of a proxy.

use std::path::PathBuf;

use remqtt_proto::{ByteString, Bytes, Error, ErrorCode};

/// A parsed endpoint URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) place: Place,
    pub(crate) tls: bool,
    /// What the WebSocket handshake asks for; `None` without WebSocket.
    pub(crate) path: Option<String>,
    pub(crate) username: Option<ByteString>,
    pub(crate) password: Option<Bytes>,
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Host name or address, without the brackets of an IPv6 address.
    Host(String, u16),
    /// A name that has SRV records.
    Service(String),
    /// A Unix socket.
    Socket(PathBuf),
}

impl Endpoint {
    /// Parses a URL. The errors never repeat what stands before the `@`.
    pub(crate) fn parse(url: &str) -> Result<Endpoint, Error> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(refused(public(url), "an endpoint is a URL such as mqtt://host:1883"));
        };
        let (tls, path, default) = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => (false, Path::None, Default::Port(1883)),
            "mqtts" | "ssl" => (true, Path::None, Default::Port(8883)),
            "ws" => (false, Path::Http, Default::Port(80)),
            "wss" => (true, Path::Http, Default::Port(443)),
            "unix" => (false, Path::File, Default::None),
            "mqtt+srv" => (false, Path::None, Default::Records),
            "mqtts+srv" => (true, Path::None, Default::Records),
            _ => return Err(refused(
                scheme,
                "no transport has this name; there are mqtt, mqtts, ws, wss, unix, mqtt+srv and mqtts+srv",
            )),
        };
        // In URLs without a path nothing but the last @ ends the credentials: passwords have slashes.
        let end = match path {
            Path::None => rest.len(),
            Path::Http | Path::File => rest.find(['/', '?', '#']).unwrap_or(rest.len()),
        };
        let (authority, tail) = rest.split_at(end);
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, authority),
        };
        let (username, password) = match credentials.map(|text| (text, text.split_once(':'))) {
            None => (None, None),
            Some((user, None)) => (Some(text(user)?), None),
            Some((_, Some((user, password)))) => (Some(text(user)?), Some(decoded(password)?.into())),
        };
        let place = place(address, tail, default)?;
        let path = matches!(path, Path::Http).then(|| http_path(tail)).transpose()?;
        Ok(Endpoint { place, tls, path, username, password })
    }

    /// The place, as in messages.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Host(host, port) => host_port(host, *port),
            Place::Service(name) => name.clone(),
            Place::Socket(path) => path.display().to_string(),
        }
    }

    /// The same road to another host.
    #[cfg(feature = "srv")]
    pub(crate) fn moved(&self, host: String, port: u16) -> Endpoint {
        Endpoint { place: Place::Host(host, port), ..self.clone() }
    }
}

/// What may follow the host.
#[derive(Clone, Copy)]
enum Path {
    None,
    Http,
    File,
}

#[derive(Clone, Copy)]
enum Default {
    Port(u16),
    Records,
    None,
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn place(address: &str, tail: &str, default: Default) -> Result<Place, Error> {
    match default {
        Default::None if !address.is_empty() => {
            Err(refused(address, "a Unix socket is an absolute path: unix:///run/broker.sock"))
        }
        Default::None => socket(tail),
        Default::Port(_) | Default::Records => {
            let address = address.strip_suffix('/').unwrap_or(address);
            if address.contains(['/', '?', '#']) {
                return Err(refused(address, "this transport takes host and port, and no path"));
            }
            let (host, port) = host_and_port(address)?;
            match (default, port) {
                (Default::Port(port), None) | (_, Some(port)) if !matches!(default, Default::Records) => {
                    Ok(Place::Host(host.to_owned(), port))
                }
                (_, None) if !host.contains(':') => Ok(Place::Service(host.to_owned())),
                _ => Err(refused(address, "SRV records belong to a name, and say the port")),
            }
        }
    }
}

fn socket(path: &str) -> Result<Place, Error> {
    let bytes = decoded(path)?;
    if bytes.len() < 2 || bytes.contains(&0) {
        return Err(refused(path, "the path of the socket is missing: unix:///run/broker.sock"));
    }
    let path = String::from_utf8(bytes).map_err(|_| refused(path, "the path is not UTF-8"))?;
    Ok(Place::Socket(path.into()))
}

fn http_path(tail: &str) -> Result<String, Error> {
    if tail.contains('#') || !tail.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(tail, "a path is visible ASCII without #; anything else is percent-encoded"));
    }
    Ok(match tail.chars().next() {
        None => "/mqtt".to_owned(),
        Some('/') => tail.to_owned(),
        Some(_) => format!("/{tail}"),
    })
}

pub(crate) fn host_and_port(address: &str) -> Result<(&str, Option<u16>), Error> {
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
    match port.map(str::parse).transpose() {
        Ok(Some(0)) | Err(_) => Err(refused(address, "a port is a number from 1 to 65535")),
        Ok(port) => Ok((host, port)),
    }
}

fn text(encoded: &str) -> Result<ByteString, Error> {
    let text = String::from_utf8(decoded(encoded)?);
    text.map(ByteString::from).map_err(|_| refused("user name", "it is not UTF-8"))
}

/// Undoes percent encoding.
pub(crate) fn decoded(encoded: &str) -> Result<Vec<u8>, Error> {
    let mut parts = encoded.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(
            code.ok_or_else(|| refused("credentials or path", "two hexadecimal digits must follow a %"))?,
        );
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
        match Endpoint::parse(url).unwrap().place {
            Place::Host(host, port) => (host, port),
            other => panic!("{other:?}"),
        }
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
    fn every_scheme_has_its_port_its_path_and_its_layers() {
        let layers = |url: &str| {
            let endpoint = Endpoint::parse(url).unwrap();
            (endpoint.address(), endpoint.tls, endpoint.path)
        };
        assert_eq!(layers("tcp://h"), ("h:1883".into(), false, None));
        assert_eq!(layers("mqtts://h"), ("h:8883".into(), true, None));
        assert_eq!(layers("ssl://h:1"), ("h:1".into(), true, None));
        assert_eq!(layers("ws://h"), ("h:80".into(), false, Some("/mqtt".into())));
        assert_eq!(layers("wss://[::1]/"), ("[::1]:443".into(), true, Some("/".into())));
        assert_eq!(layers("wss://u:p@h:9/a@b?c=d"), ("h:9".into(), true, Some("/a@b?c=d".into())));
        assert_eq!(layers("ws://h?c"), ("h:80".into(), false, Some("/?c".into())));
        assert_eq!(layers("unix:///run/a%20b"), ("/run/a b".into(), false, None));
        assert_eq!(layers("mqtts+srv://example.org"), ("example.org".into(), true, None));
    }

    #[test]
    fn credentials_are_taken_from_the_url_and_decoded() {
        let endpoint = Endpoint::parse("mqtt://us%40er:p@ss%3A%00@host").unwrap();
        assert_eq!(endpoint.username.as_deref(), Some("us@er"));
        assert_eq!(endpoint.password.as_deref(), Some(&b"p@ss:\0"[..]));
        assert_eq!(Endpoint::parse("mqtt://user@host").unwrap().password, None);
        assert_eq!(Endpoint::parse("mqtt://user:@host").unwrap().password.as_deref(), Some(&b""[..]));
        let endpoint = Endpoint::parse("unix://user:pw@/run/x").unwrap();
        assert_eq!(endpoint.password.as_deref(), Some(&b"pw"[..]));
    }

    #[test]
    fn broken_urls_are_refused_with_the_reason() {
        assert!(why("http://host").contains("no transport has this name"));
        assert!(why("broker.example").contains("is a URL such as"));
        assert!(why("mqtt://").contains("host name is missing"));
        assert!(why("mqtt://host:0").contains("number from 1 to 65535"));
        assert!(why("mqtt://host:65536").contains("number from 1 to 65535"));
        assert!(why("mqtt://::1").contains("brackets"));
        assert!(why("mqtt://[::1").contains("] is missing"));
        assert!(why("mqtt://[host]").contains("no IPv6 address"));
        assert!(why("mqtts://host/path").contains("no path"));
        assert!(why("mqtt://a%2@host").contains("hexadecimal"));
        assert!(why("mqtt://a%+1@host").contains("hexadecimal"));
        assert!(why("ws://host/a b").contains("percent-encoded"));
        assert!(why("ws://host/#a").contains("percent-encoded"));
        assert!(why("unix://run/x").contains("absolute path"));
        assert!(why("unix://").contains("missing"));
        assert!(why("mqtt+srv://host:1883").contains("say the port"));
    }

    #[test]
    fn errors_do_not_repeat_credentials() {
        for url in [
            "user:secret@host",
            "mqtt://user:secret@host:x",
            "mqtt://user:secret%zz@host",
            "wss://user:secret@host:x/",
            "unix://user:secret@host/",
        ] {
            assert!(!why(url).contains("secret"), "{}", why(url));
        }
    }
}
