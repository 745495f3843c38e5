//! Through a proxy: HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928, 1929).
//!
//! The names are curl's: `socks5` resolves the server's name here, `socks5h` and `http` let the proxy do it. What a
//! proxy says is parsed by pure functions that read a bounded number of bytes.

mod http;
mod socks;

use std::io;

use remqtt_proto::{Error, ErrorCode, Options, Secret};

use super::endpoint::{decoded, host_and_port, host_port};
use super::way::Gate;
use super::{tcp, Road, Stream};

/// The most that the head of an HTTP proxy's answer may have.
pub(super) const LONGEST_ANSWER: usize = 16 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    credentials: Option<(Secret, Secret)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Socks5,
    Socks5h,
}

/// Why a proxy did not connect us.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It does not want to, or not with these credentials.
    Refused(String),
    /// It could not reach the server.
    Unreachable(String),
    /// It does not speak the protocol.
    Garbage(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Io(error)
    }
}

impl Proxy {
    /// The proxy of the option; `None` if it is empty. The errors never repeat the URL.
    pub(super) fn parse(url: &Secret) -> Result<Option<Proxy>, Error> {
        if url.0.is_empty() {
            return Ok(None);
        }
        let url = std::str::from_utf8(&url.0).map_err(|_| refused("proxy", "not UTF-8"))?;
        Proxy::from_url("proxy", url).map(Some)
    }

    /// The proxy for connections to this host.
    pub(super) fn choose(options: &Options, host: &str) -> Result<Option<Proxy>, Error> {
        match Proxy::parse(&options.proxy)? {
            None if options.proxy_from_environment => from_environment(host, |name| std::env::var(name).ok()),
            proxy => Ok(proxy),
        }
    }

    /// Connects to the proxy, and through it.
    pub(super) async fn connect(
        &self,
        host: &str,
        port: u16,
        road: &Road,
        gate: &mut Gate,
    ) -> Result<Stream, Error> {
        if self.kind != Kind::Socks5 {
            return self.connect_to(host, port, road, gate).await;
        }
        let mut last = None;
        for address in tcp::resolve(host, port).await? {
            match self.connect_to(&address.ip().to_string(), port, road, gate).await {
                Err(error) if error.code == ErrorCode::ConnectFailed => last = Some(error),
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| ErrorCode::ResolveFailed.into()))
    }

    async fn connect_to(&self, host: &str, port: u16, road: &Road, gate: &mut Gate) -> Result<Stream, Error> {
        let named = format!("proxy {}", host_port(&self.host, self.port));
        let dialled = tcp::dial(&self.host, self.port, &road.options, &road.known, gate).await;
        let mut stream =
            dialled.map_err(|error| Error { detail: format!("proxy {}", error.detail).into(), ..error })?;
        let asked = match self.kind {
            Kind::Http => http::ask(&mut stream, host, port, self.credentials.as_ref()).await,
            Kind::Socks5 | Kind::Socks5h => {
                socks::ask(&mut stream, host, port, self.credentials.as_ref()).await
            }
        };
        let target = host_port(host, port);
        match asked {
            Ok(()) => Ok(Stream::Tcp(stream)),
            Err(Refusal::Refused(why)) => {
                Err(Error::new(ErrorCode::ProxyRefused, format!("{named} to {target}: {why}")))
            }
            Err(Refusal::Unreachable(why)) => {
                Err(Error::new(ErrorCode::ConnectFailed, format!("{named} to {target}: {why}")))
            }
            Err(Refusal::Garbage(why)) => {
                Err(Error::new(ErrorCode::HandshakeFailed, format!("{named}: {why}")))
            }
            Err(Refusal::Io(error)) => {
                Err(Error::new(ErrorCode::HandshakeFailed, format!("{named}: {error}")))
            }
        }
    }

    pub(super) fn from_url(option: &str, url: &str) -> Result<Proxy, Error> {
        let why = "a proxy is a URL such as http://host:port, socks5://host:port or socks5h://host:port";
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refused(option, why))?;
        let (kind, default) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Kind::Http, 80),
            "socks5" => (Kind::Socks5, 1080),
            // What paho's users write, and how it is understood there.
            "socks" | "socks5h" => (Kind::Socks5h, 1080),
            _ => return Err(refused(option, why)),
        };
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '?', '#']) {
            return Err(refused(option, "a proxy has a host and a port, and no path"));
        }
        let (host, port) = host_and_port(address)
            .map_err(|_| refused(option, "host or port of the proxy cannot be understood"))?;
        let part = |text: &str| {
            let bytes =
                decoded(text).map_err(|_| refused(option, "two hexadecimal digits must follow a %"))?;
            let fits = (kind == Kind::Http || bytes.len() <= 255) && !bytes.contains(&0);
            fits.then(|| Secret(bytes.into()))
                .ok_or_else(|| refused(option, "user name or password is too long"))
        };
        let credentials = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            None => None,
            Some((user, password)) => Some((part(user)?, part(password)?)),
        };
        Ok(Proxy { kind, host: host.to_owned(), port: port.unwrap_or(default), credentials })
    }
}

/// As Python's urllib, and so paho, looks it up: the small letters win, and `no_proxy` lists what is reached straight.
fn from_environment(host: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, Error> {
    let either = |small: &str| {
        let found = lookup(small).or_else(|| lookup(&small.to_ascii_uppercase()));
        found.filter(|value| !value.is_empty())
    };
    let Some(url) = either("mqtt_proxy") else { return Ok(None) };
    let host = host.to_ascii_lowercase();
    let spared = either("no_proxy").is_some_and(|list| {
        list.split(',').map(|entry| entry.trim().trim_start_matches('.').to_ascii_lowercase()).any(|entry| {
            entry == "*" || (!entry.is_empty() && (host == entry || host.ends_with(&format!(".{entry}"))))
        })
    });
    match spared {
        true => Ok(None),
        false => Proxy::from_url("mqtt_proxy of the environment", &url).map(Some),
    }
}

fn refused(option: &str, why: &str) -> Error {
    Error::new(ErrorCode::InvalidOption, format!("{option}: {why}"))
}

#[cfg(fuzzing)]
pub(super) use {http::answer as http_answer, socks::tail as socks_tail};

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Proxy {
        Proxy::from_url("proxy", url).unwrap()
    }

    #[test]
    fn urls_of_proxies_are_understood() {
        let proxy = parsed("http://us%40er:p%3Aw@proxy.example:3128/");
        assert_eq!((proxy.kind, &*proxy.host, proxy.port), (Kind::Http, "proxy.example", 3128));
        assert_eq!(proxy.credentials, Some((Secret("us@er".into()), Secret("p:w".into()))));
        assert_eq!((parsed("socks5://[::1]").port, parsed("http://h").port), (1080, 80));
        assert_eq!((parsed("socks5://h").kind, parsed("socks5h://h").kind), (Kind::Socks5, Kind::Socks5h));
    }

    #[test]
    fn broken_urls_are_refused_without_repeating_them() {
        let long = format!("socks5://hush:{}@h", "x".repeat(256));
        for url in
            ["hush", "https://hush@h", "http://hush:hush@h/p", "http://hush@:1", "http://h%hush@h", &long]
        {
            let error = Proxy::from_url("proxy", url).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidOption);
            assert!(!error.detail.contains("hush"), "{error}");
        }
    }

    #[test]
    fn the_environment_names_a_proxy_and_the_hosts_that_do_without() {
        let lookup = |host: &str, variables: &[(&str, &str)]| {
            let find =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
            from_environment(host, find).unwrap().map(|proxy| (proxy.kind, proxy.host))
        };
        let proxied = Some((Kind::Socks5h, "p".to_owned()));
        assert_eq!(lookup("h", &[]), None);
        assert_eq!(lookup("h", &[("mqtt_proxy", "socks://p:1")]), proxied);
        assert_eq!(lookup("h", &[("MQTT_PROXY", "socks5h://p:1")]), proxied);
        let with = |list| [("mqtt_proxy", "socks://p"), ("no_proxy", list)];
        assert_eq!(lookup("a.Example.org", &with("x, .example.org")), None);
        assert_eq!(lookup("example.org", &with("example.org")), None);
        assert_eq!(lookup("anexample.org", &with("example.org,,")), proxied);
        assert_eq!(lookup("h", &with("*")), None);
    }
}
