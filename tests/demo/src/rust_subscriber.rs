//! The subscriber in Rust, a process of its own like the others: `remqtt-demo subscriber host port client-id topic qos`.

use std::io::{self, Write};
use std::time::Duration;

use remqtt::{Client, Event, Options, Outcome, Properties, QoS, Subscription};

use crate::clock;

pub(crate) fn run(arguments: &[String]) -> io::Result<()> {
    let [host, port, id, topic, qos] = arguments else {
        return Err(io::Error::other("five arguments are needed"));
    };
    let qos = if qos == "2" { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
    let options = Options {
        client_id: id.as_str().into(),
        servers: vec![format!("mqtt://{host}:{port}")],
        ..Options::default()
    };
    let client = Client::new(options).map_err(io::Error::other)?;
    client.start().map_err(io::Error::other)?;
    let subscription = Subscription::new(topic.as_str(), qos);
    client.subscribe(vec![subscription], Properties::new()).map_err(io::Error::other)?;
    loop {
        let mut batch = client.pull(Duration::from_secs(3600));
        while let Some(event) = batch.next() {
            match event {
                Event::Connected(_) => say("up", "")?,
                Event::Disconnected(lost) if lost.was_connected => say("down", "")?,
                Event::Disconnected(lost) => {
                    say("failed", &lost.error.map_or_else(String::new, |why| why.to_string()))?
                }
                Event::Completed(_, Outcome::Subscribed(..)) => say("subscribed", "")?,
                Event::Message(message) => {
                    let seq: [u8; 8] = message.publish.payload[..8].try_into().map_err(io::Error::other)?;
                    say(&format!("message {}", u64::from_be_bytes(seq)), "")?;
                }
                Event::Closed => return Ok(()),
                _ => {}
            }
        }
    }
}

fn say(what: &str, why: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what} {} {why}", clock::now())?;
    out.flush()
}
