//! Random operations against the model: publishes, subscribes, cuts at any byte, lost sessions, changing limits,
//! slow servers. A seed makes a run; the same seed makes the same run for ever.

use std::time::Duration;

use crate::bytes;
use crate::disk::DiskMood;
use crate::play::{CutAt, Play, Report};
use crate::random::Random;
use crate::script::Run;
use crate::stage::Stage;
use crate::world::World;

type Result<T> = std::result::Result<T, String>;

/// Something that happens to a client, its server, or the link between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The application publishes with this QoS.
    Publish(u8),
    /// It subscribes one of a few filters.
    Subscribe(u8),
    /// It unsubscribes one of them.
    Unsubscribe(u8),
    /// The server has a message of this QoS for it.
    Deliver(u8),
    /// Everything that needs no time goes to and fro.
    Exchange,
    /// Time passes: milliseconds.
    Wait(u32),
    /// The link is reset now.
    Cut,
    /// It is reset when this many more bytes have come from the client.
    CutFromClient(u16),
    /// It is reset when this many more bytes have gone to the client.
    CutFromServer(u16),
    /// Connections are refused from now on, or accepted again.
    Refuse(bool),
    /// The server keeps the session, or loses it, from the next connection on.
    KeepSession(bool),
    /// The receive maximum that the server announces from the next connection on.
    ReceiveMaximum(u16),
    /// The application stops and starts the client.
    Restart,
    /// The process dies now.
    Die,
    /// It dies when it has written this many more changes to its store.
    DieAfter(u16),
    /// From now on the disk behaves like this.
    Disk(DiskMood),
}

impl Op {
    /// Draws one. `lossy`: the server may lose the session.
    pub fn draw(random: &mut Random, lossy: bool, stored: bool) -> Op {
        let small = random.below(3) as u8;
        if stored && random.chance(8) {
            return match random.below(10) {
                0..=1 => Op::Die,
                2..=5 => Op::DieAfter(random.below(30) as u16),
                6..=7 => Op::Disk(DiskMood::Slow),
                8 => Op::Disk(DiskMood::Refusing),
                _ => Op::Disk(DiskMood::Quick),
            };
        }
        match random.below(100) {
            0..=29 => Op::Publish(small),
            30..=34 => Op::Subscribe(random.below(4) as u8),
            35..=36 => Op::Unsubscribe(random.below(4) as u8),
            37..=46 => Op::Deliver(small),
            47..=66 => Op::Exchange,
            67..=72 => Op::Wait(random.below(400) as u32),
            73 => Op::Wait(random.below(60_000) as u32),
            74..=77 => Op::Cut,
            78..=84 => Op::CutFromClient(random.below(60) as u16),
            85..=91 => Op::CutFromServer(random.below(30) as u16),
            92..=93 => Op::Refuse(random.chance(30)),
            94..=95 => Op::KeepSession(!lossy || random.chance(40)),
            96..=98 => Op::ReceiveMaximum([1, 2, 5, 100, 65_535][random.below(5) as usize]),
            _ => Op::Restart,
        }
    }
}

/// Plays so many operations drawn from the seed, then lets everything settle and closes the books.
pub fn random_play(seed: u64, operations: usize) -> Report {
    let mut random = Random::new(seed);
    let lossy = random.chance(50);
    let run = settings(&mut random);
    let mut world = World::new(random.bits());
    let mut play = Play::new(&run, &mut world, None);
    let result = perform(&mut play, &mut random, lossy, operations);
    let mut report = play.report;
    report.failure = result.err();
    report
}

fn settings(random: &mut Random) -> Run {
    let level = if random.chance(50) { 4 } else { 5 };
    let mut pick = |key: &str, values: &[&str]| {
        let value = values[random.below(values.len() as u64) as usize];
        (key.to_string(), value.to_string())
    };
    let options = vec![
        ("protocol_version".to_string(), level.to_string()),
        pick("max_inflight", &["1", "2", "7", "1024", "1024"]),
        pick("manual_ack", &["false", "false", "true"]),
        pick("stable_after", &["0", "5000"]),
        pick("reconnect_max_delay", &["1000", "30000"]),
        pick("keepalive", &["0", "5", "60"]),
        pick("lost_session_publishes", &["resend", "resend", "fail"]),
        pick("lost_session_subscriptions", &["restore", "restore", "forget"]),
        pick("store", &["", "simulated"]),
        pick("acknowledge", &["finished", "stored"]),
    ];
    Run { variant: String::new(), level, session_kept: true, conforming: true, options, steps: Vec::new() }
}

fn perform(play: &mut Play<'_, World>, random: &mut Random, lossy: bool, operations: usize) -> Result<()> {
    play.configure()?;
    play.take_over()?;
    if random.chance(80) {
        play.command("start")?;
    }
    let stored = play.run.options.iter().any(|(key, value)| key == "store" && !value.is_empty());
    for number in 0..operations {
        let op = Op::draw(random, lossy, stored);
        play.trace("", &format!("{op:?}"));
        carry_out(play, op, number)?;
    }
    play.stage.refuse(false)?;
    play.stage.disk(DiskMood::Quick)?;
    play.serve_to_the_end()
}

fn carry_out(play: &mut Play<'_, World>, op: Op, number: usize) -> Result<()> {
    match op {
        Op::Publish(qos) => {
            let payload = crate::text::hex(format!("m{number}").as_bytes());
            play.command(&format!("publish m{number} t {payload} {qos} 0"))
        }
        Op::Subscribe(filter) => play.command(&format!("subscribe s{number} f/{filter} 1")),
        Op::Unsubscribe(filter) => play.command(&format!("unsubscribe u{number} f/{filter}")),
        Op::Deliver(qos) => {
            if !play.linked || !play.model.connected() {
                return Ok(());
            }
            let packet = play.model.publish(b"d", format!("d{number}").as_bytes(), qos);
            play.send(&bytes::encode(play.run.level, &packet)?, Some(packet))
        }
        Op::Exchange => play.pump(),
        Op::Wait(time) => play.stage.advance(Duration::from_millis(time.into())),
        Op::Cut => play.lose_link(false),
        Op::CutFromClient(more) => {
            play.cut = Some(CutAt::FromClient(play.report.from_client + usize::from(more)));
            Ok(())
        }
        Op::CutFromServer(more) => {
            play.cut = Some(CutAt::FromServer(play.report.from_server + usize::from(more)));
            Ok(())
        }
        Op::Refuse(refuse) => play.stage.refuse(refuse),
        Op::KeepSession(kept) => {
            play.model.keep_session(kept);
            Ok(())
        }
        Op::ReceiveMaximum(maximum) => {
            play.model.receive_maximum(maximum);
            Ok(())
        }
        Op::Die => {
            play.stage.kill()?;
            play.survive().map(|_| ())
        }
        Op::DieAfter(more) => {
            let changes = play.stage.changes() + usize::from(more);
            play.stage.die_after(changes);
            Ok(())
        }
        Op::Disk(mood) => play.stage.disk(mood),
        Op::Restart => {
            play.command("stop")?;
            play.pump()?;
            play.command("start")
        }
    }
}
