//! The broker that the demo talks to.
//!
//! Default: mosquitto, started on a free loopback port with queues that drop nothing. rumqttd runs inside this process
//! (`--broker rumqttd`, feature `rumqttd`), but cannot carry the demo's guarantee: `remqtt-demo probe --broker rumqttd`
//! shows that after a reset it sends unacknowledged messages again under new identifiers and without DUP, so no receiver
//! can recognise them, and that it forgets a publisher's QoS 2 exchange.

use std::io;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, Instant};

use crate::child::Guard;

/// A running broker; dropping it ends it.
pub(crate) struct Broker {
    pub(crate) address: String,
    pub(crate) name: String,
    _process: Option<Guard>,
    _config: Option<Scratch>,
}

/// A file that lives as long as its owner.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it: the system clears its temporary files.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A port outside the range that outgoing connections use: nobody takes it while a proxy refuses connections, and a client
/// that dials it meanwhile cannot connect to itself.
pub(crate) fn free_port() -> io::Result<u16> {
    free_port_after(20_000 + (crate::clock::now() / 1000 % 11_000) as u16)
}

/// The next one.
pub(crate) fn free_port_after(port: u16) -> io::Result<u16> {
    (port + 1..32_000)
        .chain(20_000..=port)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| io::Error::other("no free loopback port"))
}

pub(crate) async fn start(which: Option<&str>, logs: &Path) -> io::Result<Broker> {
    match which {
        None | Some("mosquitto") => mosquitto(logs).await,
        Some("rumqttd") => rumqttd().await,
        Some(url) => {
            Ok(Broker { address: address(url)?, name: url.to_owned(), _process: None, _config: None })
        }
    }
}

fn address(url: &str) -> io::Result<String> {
    let rest = url.strip_prefix("mqtt://").or_else(|| url.strip_prefix("tcp://")).unwrap_or(url);
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || rest.contains(['/', '@']) {
        return Err(io::Error::other(format!(
            "{url}: expected mqtt://host[:port], plain TCP, no credentials"
        )));
    }
    Ok(if rest.contains(':') { rest.to_owned() } else { format!("{rest}:1883") })
}

async fn mosquitto(logs: &Path) -> io::Result<Broker> {
    let port = free_port()?;
    let path = std::env::temp_dir().join(format!("remqtt-demo-{}-{port}.conf", std::process::id()));
    let mut file = std::fs::File::create(&path)?;
    let config = Scratch(path);
    // max_queued_messages 0: the default of 1,000 drops the newest after five seconds at the demo's rate.
    // user root: started by root it would change its user, and lose the tie to the life of this process.
    write!(
        file,
        "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n\
         set_tcp_nodelay true\nlog_dest stderr\n"
    )?;
    let log = std::fs::File::create(logs.join("mosquitto.log"))?;
    // Debian keeps it where only root's PATH looks.
    let search = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let process = Guard::spawn(Path::new("mosquitto"), |command| {
        command.env("PATH", search).arg("-c").arg(&config.0).stdout(Stdio::null()).stderr(log);
    })?;
    let address = format!("127.0.0.1:{port}");
    listening(&address).await?;
    Ok(Broker { address, name: "mosquitto".into(), _process: Some(process), _config: Some(config) })
}

async fn listening(address: &str) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(error) = TcpStream::connect(address).await {
        if Instant::now() > end {
            return Err(io::Error::other(format!("the broker does not listen on {address}: {error}")));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[cfg(not(feature = "rumqttd"))]
async fn rumqttd() -> io::Result<Broker> {
    Err(io::Error::other("built without rumqttd: cargo run -p remqtt-demo --features rumqttd"))
}

#[cfg(feature = "rumqttd")]
async fn rumqttd() -> io::Result<Broker> {
    let port = free_port()?;
    let address = format!("127.0.0.1:{port}");
    let connections = rumqttd::ConnectionSettings {
        connection_timeout_ms: 60_000,
        max_payload_size: 1 << 20,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let settings = rumqttd::ServerSettings {
        name: "demo".into(),
        listen: address.parse().map_err(io::Error::other)?,
        tls: None,
        next_connection_delay_ms: 0,
        connections,
    };
    let config = rumqttd::Config {
        // Segments far larger than a demo's traffic: nothing is dropped from the log.
        router: rumqttd::RouterConfig {
            max_connections: 1000,
            max_outgoing_packet_count: 200,
            max_segment_size: 100 << 20,
            max_segment_count: 10,
            ..Default::default()
        },
        v4: Some([("demo".to_owned(), settings)].into()),
        ..Default::default()
    };
    std::thread::Builder::new().name("rumqttd".into()).spawn(move || rumqttd::Broker::new(config).start())?;
    listening(&address).await?;
    Ok(Broker { address, name: "rumqttd".into(), _process: None, _config: None })
}
