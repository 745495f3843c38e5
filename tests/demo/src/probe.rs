//! Does a broker keep its half of the bargain? A raw client answers every question on the wire, so that a message lost or
//! doubled by the broker is never put down to a client.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::packet::{self, kind, Frame};
use crate::raw::Raw;

/// One question and whether the broker passed.
pub(crate) struct Verdict {
    pub(crate) question: &'static str,
    pub(crate) answer: Result<(), String>,
}

const COUNT: u64 = 10;
const SILENCE: Duration = Duration::from_millis(300);

pub(crate) async fn probe(address: &str) -> io::Result<Vec<Verdict>> {
    let names = ["resend1", "resend2", "pubrec", "publisher", "queue"].map(Name::new);
    let [n1, n2, n3, n4, n5] = &names;
    let (one, two, pubrec, publisher, queue) = tokio::join!(
        resend(address, n1, 1),
        resend(address, n2, 2),
        pubrec_then_reset(address, n3),
        publisher_resumes(address, n4),
        queue(address, n5, 5_000)
    );
    for name in &names {
        forget(address, &name.id).await?;
    }
    let answers = [
        ("QoS 1 resent after a reset with its identifier and DUP [MQTT-4.4.0-1]", one),
        ("QoS 2 likewise", two),
        ("PUBREC in flight at a reset: no second PUBLISH under a new identifier", pubrec),
        ("a publisher's PUBREL after a reset is answered and its message delivered once", publisher),
        ("5,000 messages queued while away come back complete, in order", queue),
    ];
    let verdict = |(question, answer): (_, io::Result<()>)| Verdict {
        question,
        answer: answer.map_err(|e| e.to_string()),
    };
    Ok(answers.into_iter().map(verdict).collect())
}

/// The client identifier and the topic of one question.
struct Name {
    id: String,
    topic: String,
}

impl Name {
    fn new(question: &str) -> Self {
        let id = format!("remqtt-probe-{question}-{}", crate::clock::now());
        Self { topic: format!("{id}/topic"), id }
    }
}

/// Ends the session of `id`: a broker that is not ours keeps nothing of us.
pub(crate) async fn forget(address: &str, id: &str) -> io::Result<()> {
    let (mut raw, _) = Raw::connect(address, id, true).await?;
    raw.send(&packet::disconnect()).await
}

async fn subscriber(address: &str, topic: &str, id: &str, qos: u8) -> io::Result<Raw> {
    let (mut raw, _) = Raw::connect(address, id, false).await?;
    raw.send(&packet::subscribe(1, topic, qos)).await?;
    raw.expect(kind::SUBACK).await?;
    Ok(raw)
}

/// Publishes 1..=count at QoS 2, whole exchanges, pipelined.
async fn publish(address: &str, topic: &str, count: u64) -> io::Result<()> {
    let (mut raw, _) = Raw::connect(address, &format!("{topic}-source"), true).await?;
    for window in (1..=count).collect::<Vec<_>>().chunks(10) {
        for seq in window {
            let id = (seq % 60_000) as u16 + 1;
            raw.send(&packet::publish(id, topic, 2, *seq, 0, packet::PAYLOAD)).await?;
        }
        for _ in window {
            let id = raw.expect(kind::PUBREC).await?.id();
            raw.send(&packet::ack(kind::PUBREL, id)).await?;
        }
        for _ in window {
            raw.expect(kind::PUBCOMP).await?;
        }
    }
    raw.send(&packet::disconnect()).await
}

async fn publishes(raw: &mut Raw) -> io::Result<Vec<Frame>> {
    let mut seen = Vec::new();
    while let Some(frame) = raw.next(SILENCE).await? {
        if frame.kind() == kind::PUBLISH {
            seen.push(frame);
        }
    }
    Ok(seen)
}

fn ids(frames: &[Frame]) -> BTreeMap<u64, u16> {
    frames.iter().filter_map(|f| Some((f.seq()?, f.id()))).collect()
}

async fn resend(address: &str, Name { id, topic }: &Name, qos: u8) -> io::Result<()> {
    let mut raw = subscriber(address, topic, id, qos).await?;
    publish(address, topic, COUNT).await?;
    let first = publishes(&mut raw).await?;
    raw.reset()?;
    let (mut raw, present) = Raw::connect(address, id, false).await?;
    let again = publishes(&mut raw).await?;
    if !present {
        return Err(io::Error::other("the session was not kept"));
    }
    if ids(&first) != ids(&again) || first.len() as u64 != COUNT || again.len() as u64 != COUNT {
        return Err(io::Error::other(format!("identifiers {:?} became {:?}", ids(&first), ids(&again))));
    }
    if !again.iter().all(Frame::dup) {
        return Err(io::Error::other("resent without DUP"));
    }
    Ok(())
}

/// The PUBRECs are written and the link is reset at once. Whatever the broker saw of them, a message that comes again must
/// come under the identifier it had: that is all a receiver can recognise it by.
async fn pubrec_then_reset(address: &str, Name { id, topic }: &Name) -> io::Result<()> {
    let mut raw = subscriber(address, topic, id, 2).await?;
    publish(address, topic, COUNT).await?;
    let first = ids(&publishes(&mut raw).await?);
    // Half of them are acknowledged: identifiers must not move up.
    for packet_id in first.values().take(COUNT as usize / 2) {
        raw.send(&packet::ack(kind::PUBREC, *packet_id)).await?;
    }
    while raw.next(SILENCE).await?.is_some() {}
    raw.reset()?;
    let (mut raw, _) = Raw::connect(address, id, false).await?;
    for frame in publishes(&mut raw).await? {
        let seq = frame.seq().unwrap_or(0);
        if first.get(&seq) != Some(&frame.id()) {
            let had = first.get(&seq);
            return Err(io::Error::other(format!(
                "message {seq} had identifier {had:?}, came again as {}",
                frame.id()
            )));
        }
    }
    Ok(())
}

async fn publisher_resumes(address: &str, Name { id, topic }: &Name) -> io::Result<()> {
    let sink_id = format!("{id}-sink");
    let mut sink = subscriber(address, topic, &sink_id, 1).await?;
    let (mut source, _) = Raw::connect(address, id, false).await?;
    source.send(&packet::publish(9, topic, 2, 1, 0, packet::PAYLOAD)).await?;
    source.expect(kind::PUBREC).await?;
    source.reset()?;
    let (mut source, present) = Raw::connect(address, id, false).await?;
    source.send(&packet::ack(kind::PUBREL, 9)).await?;
    let answered = source.expect(kind::PUBCOMP).await;
    let delivered = publishes(&mut sink).await?.len();
    forget(address, &sink_id).await?;
    match (present, answered, delivered) {
        (true, Ok(_), 1) => Ok(()),
        (present, answered, delivered) => Err(io::Error::other(format!(
            "session present {present}, PUBCOMP {}, delivered {delivered} times",
            answered.map_or_else(|e| e.to_string(), |_| "came".into())
        ))),
    }
}

async fn queue(address: &str, Name { id, topic }: &Name, count: u64) -> io::Result<()> {
    subscriber(address, topic, id, 1).await?.reset()?;
    publish(address, topic, count).await?;
    let (mut raw, _) = Raw::connect(address, id, false).await?;
    let mut seen = Vec::new();
    while let Some(frame) = raw.next(SILENCE).await? {
        if frame.kind() == kind::PUBLISH {
            raw.send(&packet::ack(kind::PUBACK, frame.id())).await?;
            seen.extend(frame.seq());
        }
    }
    if seen == (1..=count).collect::<Vec<_>>() {
        return Ok(());
    }
    Err(io::Error::other(format!("{} of {count} came, in order: {}", seen.len(), seen.is_sorted())))
}
