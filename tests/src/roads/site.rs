//! A road and what stands along it: a broker that listens on plain TCP and at the end of the road, and its proxy.

use std::path::PathBuf;
use std::process::Command;

use crate::common::broker::{free_port, Broker, Folder, Server};
use crate::common::certificates::{Authority, Valid};
use crate::common::relay::Relay;

/// Who all clients are, to the broker and to the proxies.
const USER: &str = "traveller";
const PASSWORD: &str = "open-sesame";

/// A way to reach a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // their names say it
pub enum Road {
    Mqtt,
    Mqtts,
    MqttsCertificate,
    Ws,
    Wss,
    Unix,
    Http,
    Socks,
    SocksPassword,
}

impl Road {
    /// Every road.
    pub const ALL: [Road; 9] = [
        Road::Mqtt,
        Road::Mqtts,
        Road::MqttsCertificate,
        Road::Ws,
        Road::Wss,
        Road::Unix,
        Road::Http,
        Road::Socks,
        Road::SocksPassword,
    ];

    /// As the table names it.
    pub fn name(self) -> &'static str {
        match self {
            Road::Mqtt => "mqtt",
            Road::Mqtts => "mqtts",
            Road::MqttsCertificate => "mqtts, our certificate",
            Road::Ws => "ws",
            Road::Wss => "wss",
            Road::Unix => "unix",
            Road::Http => "HTTP proxy, password",
            Road::Socks => "SOCKS5 proxy",
            Road::SocksPassword => "SOCKS5 proxy, password",
        }
    }

    /// What mosquitto's listener for the end of the road is like.
    fn listener(self, port: u16, folder: &Folder) -> String {
        let tls = format!("certfile {}\nkeyfile {}\n", folder.path("server.pem"), folder.path("server.key"));
        let here = format!("listener {port} 127.0.0.1\n");
        let web = "protocol websockets\nsocket_domain ipv4\n";
        match self {
            Road::Mqtts => here + &tls,
            Road::MqttsCertificate => {
                format!("{here}{tls}cafile {}\nrequire_certificate true\n", folder.path("ca.pem"))
            }
            Road::Ws => here + web,
            Road::Wss => here + web + &tls,
            Road::Unix => format!("listener 0 {}\n", folder.path("socket")),
            Road::Mqtt | Road::Http | Road::Socks | Road::SocksPassword => here,
        }
    }
}

/// What a road needs at its end.
pub(super) struct Site {
    road: Road,
    pub(super) broker: Broker,
    /// Where the road ends; the broker's own port is for the other party.
    end: u16,
    proxy: Option<(Server, u16)>,
}

/// A relay, and the socket where it listens if the road is one of Unix.
pub(super) struct Detour {
    pub(super) relay: Relay,
    socket: PathBuf,
}

impl Site {
    pub(super) fn open(road: Road) -> Site {
        let folder = Folder::new();
        let authority = Authority::new("Roads");
        folder.write("ca.pem", authority.pem());
        for (name, hosts) in [("server", &["127.0.0.1"][..]), ("device", &[])] {
            let identity = authority.issue(name, hosts, Valid::Now);
            folder.write(&format!("{name}.pem"), identity.certificate);
            folder.write(&format!("{name}.key"), identity.key);
        }
        let passwords = folder.path("passwords");
        let made = Command::new("mosquitto_passwd").args(["-c", "-b", &passwords, USER, PASSWORD]).output();
        assert!(made.is_ok_and(|made| made.status.success()), "mosquitto_passwd (package mosquitto) failed");
        let end = free_port();
        let proxy = proxy(road, &folder);
        let lines =
            format!("allow_anonymous false\npassword_file {passwords}\n{}", road.listener(end, &folder));
        Site { road, broker: Broker::on_port(folder, &lines), end, proxy }
    }

    /// Something that can cut the road where the client steps on it.
    pub(super) fn detour(&self) -> Detour {
        let socket = self.broker.folder.0.join(format!("relay-{}", free_port()));
        let relay = match (&self.proxy, self.road) {
            (Some((_, port)), _) => Relay::to_port(*port),
            (None, Road::Unix) => Relay::to_socket(&socket, self.broker.folder.0.join("socket")),
            (None, _) => Relay::to_port(self.end),
        };
        Detour { relay, socket }
    }

    /// The subject's road, in lines of the shim protocol; by the detour if there is one.
    pub(super) fn road(&self, detour: Option<&Detour>) -> Vec<String> {
        let file = |key: &str, name: &str| format!("option {key} {}", self.broker.folder.path(name));
        let first = detour.map(|detour| detour.relay.port);
        let end = first.filter(|_| self.proxy.is_none()).unwrap_or(self.end);
        let tcp = format!("127.0.0.1:{end}");
        let socket = match detour {
            Some(detour) => detour.socket.clone(),
            None => self.broker.folder.0.join("socket"),
        };
        let by_proxy = |scheme: &str, who: &str| {
            let port = first.or(self.proxy.as_ref().map(|(_, port)| *port)).unwrap_or_default();
            vec![format!("option proxy {scheme}://{who}127.0.0.1:{port}"), format!("server mqtt://{tcp}")]
        };
        let password = format!("{USER}:{PASSWORD}@");
        match self.road {
            Road::Mqtt => vec![format!("server mqtt://{tcp}")],
            Road::Mqtts => vec![file("tls_ca_file", "ca.pem"), format!("server mqtts://{tcp}")],
            Road::MqttsCertificate => vec![
                file("tls_ca_file", "ca.pem"),
                file("tls_cert_file", "device.pem"),
                file("tls_key_file", "device.key"),
                format!("server mqtts://{tcp}"),
            ],
            Road::Ws => vec![format!("server ws://{tcp}/mqtt")],
            Road::Wss => vec![file("tls_ca_file", "ca.pem"), format!("server wss://{tcp}/mqtt")],
            Road::Unix => vec![format!("server unix://{}", socket.display())],
            Road::Http => by_proxy("http", &password),
            Road::Socks => by_proxy("socks5h", ""),
            Road::SocksPassword => by_proxy("socks5h", &password),
        }
    }

    /// The other party's road.
    pub(super) fn plain(&self) -> Vec<String> {
        vec![format!("server mqtt://127.0.0.1:{}", self.broker.port)]
    }
}

/// What both parties tell the broker.
pub(super) fn credentials() -> [String; 2] {
    [("username", USER), ("password", PASSWORD)]
        .map(|(what, value)| format!("{what} {}", crate::text::hex(value.as_bytes())))
}

fn proxy(road: Road, folder: &Folder) -> Option<(Server, u16)> {
    let port = free_port();
    let number = port.to_string();
    let microsocks = ["microsocks", "-i", "127.0.0.1", "-p", &number];
    let server = match road {
        Road::Http => {
            let lines = "Listen 127.0.0.1\nTimeout 600\nMaxClients 100";
            folder.write("tinyproxy.conf", format!("Port {port}\n{lines}\nBasicAuth {USER} {PASSWORD}\n"));
            Server::on(port, &folder.0, &["tinyproxy", "-d", "-c", "tinyproxy.conf"])
        }
        Road::Socks => Server::on(port, &folder.0, &microsocks),
        Road::SocksPassword => {
            let arguments = [&microsocks[..], &["-u", USER, "-P", PASSWORD]].concat();
            Server::on(port, &folder.0, &arguments)
        }
        _ => return None,
    };
    Some((server, port))
}
