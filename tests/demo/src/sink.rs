//! Receives what a measured publisher gets through, straight at the broker: the other half of a publisher's row.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::Report;
use crate::clock;
use crate::packet::{self, kind};
use crate::raw::Raw;

/// Subscribes to `topic` at QoS 2 and files every message in `report`, until the connection ends.
pub(crate) async fn open(address: &str, topic: &str, report: Arc<Mutex<Report>>) -> io::Result<()> {
    let (mut raw, _) = Raw::connect(address, &format!("{topic}/sink"), true).await?;
    raw.send(&packet::subscribe(1, topic, 2)).await?;
    raw.expect(kind::SUBACK).await?;
    tokio::spawn(async move { receive(raw, &report).await });
    Ok(())
}

async fn receive(mut raw: Raw, report: &Mutex<Report>) -> io::Result<()> {
    loop {
        let Some(frame) = raw.next(Duration::from_secs(3600)).await? else { continue };
        match (frame.kind(), frame.qos()) {
            (kind::PUBLISH, qos) => {
                if let (Ok(mut report), Some(seq)) = (report.lock(), frame.seq()) {
                    report.message(seq, clock::now());
                }
                let kind = if qos == 2 { kind::PUBREC } else { kind::PUBACK };
                raw.send(&packet::ack(kind, frame.id())).await?;
            }
            (kind::PUBREL, _) => raw.send(&packet::ack(kind::PUBCOMP, frame.id())).await?,
            _ => {}
        }
    }
}
