//! bench-recovery: rumqttc, whose loop is called again at once after an error, as its documentation has it.
//! best: keep alive 5 s, connection timeout 1 s, an explicit receive maximum on MQTT 5, and a wait of 100 ms of the
//! application's own after a failed attempt, because the library has none.
//!
//! The arguments and the lines printed are those of client.h.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use nix::time::{clock_gettime, ClockId};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Requests that the application may be ahead of the loop.
const QUEUE: usize = 10;

struct Given {
    words: HashMap<String, String>,
}

impl Given {
    fn text(&self, key: &str) -> &str {
        self.words.get(key).map_or("", String::as_str)
    }

    fn number(&self, key: &str, default: u16) -> u16 {
        self.text(key).parse().unwrap_or(default)
    }

    fn best(&self) -> bool {
        self.text("profile") == "best"
    }

    fn id(&self, number: u16) -> String {
        let id = self.text("id");
        if self.number("count", 1) > 1 {
            format!("{id}-{number}")
        } else {
            id.to_owned()
        }
    }

    fn filters(&self) -> Vec<String> {
        let topic = self.text("topic");
        match self.number("filters", 1) {
            0 | 1 => vec![topic.to_owned()],
            many => (0..many).map(|number| format!("{topic}/{number}")).collect(),
        }
    }
}

fn now() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

fn say(what: &str) {
    let line = format!("{what} {}\n", now());
    let mut out = std::io::stdout().lock();
    // Whoever reads is gone: so is the reason to run.
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(3);
    }
}

fn say_message(payload: &[u8], retained: bool) {
    if let Some(Ok(head)) = payload.get(..8).map(<[u8; 8]>::try_from) {
        say(&format!("{} {}", if retained { "retained" } else { "message" }, u64::from_be_bytes(head)));
    }
}

/// The two halves of rumqttc have the same shape and no type in common.
macro_rules! client {
    ($name:ident, $event:path, $packet:path, $publish:ident, $filter:expr) => {
        async fn $name(opened: opened::$name, filters: Vec<String>, qos: u8, pause: Duration) {
            use $event as Event;
            use $packet as Packet;
            let qos = rumqttc_qos::$name(qos);
            let (client, mut events) = opened;
            let mut up = false;
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                        up = true;
                        say("up");
                        if !connack.session_present {
                            let wanted: Vec<_> = filters.iter().map(|f| $filter(f.clone(), qos)).collect();
                            // It fails when the queue of requests is full, and that is empty here.
                            let _ = client.try_subscribe_many(wanted);
                        }
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => say("subscribed"),
                    Ok(Event::Incoming(Packet::Publish($publish))) => {
                        say_message(&$publish.payload, $publish.retain);
                    }
                    Ok(_) => {}
                    Err(_) => {
                        say(if up { "down" } else { "failed" });
                        let failed = !std::mem::take(&mut up);
                        if failed && !pause.is_zero() {
                            sleep(pause).await;
                        }
                    }
                }
            }
        }
    };
}

mod rumqttc_qos {
    pub(crate) fn run4(qos: u8) -> rumqttc::QoS {
        rumqttc::qos(qos).unwrap_or(rumqttc::QoS::AtLeastOnce)
    }
    pub(crate) fn run5(qos: u8) -> rumqttc::v5::mqttbytes::QoS {
        rumqttc::v5::mqttbytes::qos(qos).unwrap_or(rumqttc::v5::mqttbytes::QoS::AtLeastOnce)
    }
}

mod opened {
    #![allow(non_camel_case_types)] // named like the loops that they go to
    pub(crate) type run4 = (rumqttc::AsyncClient, rumqttc::EventLoop);
    pub(crate) type run5 = (rumqttc::v5::AsyncClient, rumqttc::v5::EventLoop);
}

client!(run4, rumqttc::Event, rumqttc::Packet, publish, rumqttc::SubscribeFilter::new);
client!(
    run5,
    rumqttc::v5::Event,
    rumqttc::v5::mqttbytes::v5::Packet,
    publish,
    rumqttc::v5::mqttbytes::v5::Filter::new
);

fn open4(given: &Given, id: String) -> opened::run4 {
    let mut options = rumqttc::MqttOptions::new(id, given.text("host"), given.number("port", 1883));
    options.set_clean_session(false);
    options.set_keep_alive(Duration::from_secs(if given.best() { 5 } else { 60 }));
    let (client, mut events) = rumqttc::AsyncClient::new(options, QUEUE);
    if given.best() {
        events.network_options.set_connection_timeout(1);
    }
    (client, events)
}

fn open5(given: &Given, id: String) -> opened::run5 {
    let mut options = rumqttc::v5::MqttOptions::new(id, given.text("host"), given.number("port", 1883));
    options.set_clean_start(false);
    options.set_keep_alive(Duration::from_secs(if given.best() { 5 } else { 60 }));
    options.set_session_expiry_interval(Some(3600));
    if given.best() {
        options.set_receive_maximum(Some(65_535));
        options.set_connection_timeout(1);
    }
    rumqttc::v5::AsyncClient::new(options, QUEUE)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words = std::env::args().skip(1).filter_map(|word| {
        let (key, value) = word.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    let given = Given { words: words.collect() };
    let qos = u8::try_from(given.number("qos", 1)).unwrap_or(1);
    let pause = Duration::from_millis(if given.best() { 100 } else { 0 });
    let mut clients = JoinSet::new();
    for number in 0..given.number("count", 1) {
        let id = given.id(number);
        if given.number("version", 4) == 5 {
            clients.spawn(run5(open5(&given, id), given.filters(), qos, pause));
        } else {
            clients.spawn(run4(open4(&given, id), given.filters(), qos, pause));
        }
    }
    while clients.join_next().await.is_some() {}
}
