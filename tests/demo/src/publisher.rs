//! The source: 200 messages a second at QoS 2, straight at the broker, whatever happens to the subscribers' paths.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{interval, MissedTickBehavior};

use crate::clock;
use crate::packet::{self, kind, Framer};
use crate::raw::Raw;

pub(crate) const RATE: u64 = 200;

/// Publishes that may be open at once. mosquitto closes the connection of a 3.1.1 client that has more than its
/// max_inflight_messages, 20 by default, open at QoS 2; a burst after a stall of this machine must not get there.
const WINDOW: usize = 10;

#[derive(Debug, Default)]
pub(crate) struct Source {
    /// When each message was published; the sequence numbers count from 1.
    stamps: Mutex<Vec<u64>>,
    /// Messages that the broker has taken over: PUBCOMP seen.
    pub(crate) accepted: AtomicU64,
    pub(crate) stop: AtomicBool,
}

impl Source {
    /// Files the next message.
    pub(crate) fn sent(&self, stamp: u64) {
        if let Ok(mut stamps) = self.stamps.lock() {
            stamps.push(stamp);
        }
    }

    /// The highest sequence number published; all from 1 on were.
    pub(crate) fn highest(&self) -> u64 {
        self.stamps.lock().map_or(0, |stamps| stamps.len() as u64)
    }

    /// When message `seq` was published.
    pub(crate) fn stamp(&self, seq: u64) -> u64 {
        let stamps = self.stamps.lock();
        stamps.ok().and_then(|s| s.get(seq as usize - 1).copied()).unwrap_or(0)
    }
}

/// Publishes until told to stop, then until the broker has accepted everything.
pub(crate) async fn run(address: String, topic: String, source: Arc<Source>) -> io::Result<()> {
    publish(address, topic, source).await.map_err(|error| io::Error::other(format!("the publisher: {error}")))
}

async fn publish(address: String, topic: String, source: Arc<Source>) -> io::Result<()> {
    let (raw, _) = Raw::connect(&address, &format!("{topic}/source"), true).await?;
    let (mut read, mut write) = raw.split().into_split();
    let mut tick = interval(Duration::from_millis(1000 / RATE));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut framer, mut open, mut buffer) = (Framer::default(), HashMap::new(), vec![0; 16 * 1024]);
    loop {
        tokio::select! {
            _ = tick.tick(), if open.len() < WINDOW => {
                if source.stop.load(Ordering::Relaxed) {
                    if open.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                let (seq, stamp) = (source.highest() + 1, clock::now());
                let id = (seq % 60_000) as u16 + 1;
                open.insert(id, seq);
                source.sent(stamp);
                write.write_all(&packet::publish(id, &topic, 2, seq, stamp, packet::PAYLOAD)).await?;
            }
            read = read.read(&mut buffer) => {
                let read = read?;
                if read == 0 {
                    return Err(io::Error::other("the broker closed the publisher's connection"));
                }
                framer.push(&buffer[..read]);
                for frame in framer.frames() {
                    match frame.kind() {
                        kind::PUBREC => write.write_all(&packet::ack(kind::PUBREL, frame.id())).await?,
                        kind::PUBCOMP if open.remove(&frame.id()).is_some() => {
                            source.accepted.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}
