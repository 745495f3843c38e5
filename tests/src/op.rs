//! What may happen to a client: publishes, subscribes, cuts at any byte, lost sessions, changing limits, slow servers,
//! deaths and disks. [`crate::story`] makes stories of them.

use std::time::Duration;

use crate::bytes;
use crate::disk::DiskMood;
use crate::play::{CutAt, Play};
use crate::random::Random;
use crate::stage::Stage;
use crate::world::World;

type Result<T> = std::result::Result<T, String>;

/// Messages of a burst.
const BURST: u32 = 70;

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
    /// It has many at once: more than queues keep room for.
    Burst(u8),
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
    /// The network swallows everything for so many milliseconds, and attempts too.
    Swallow(u32),
    /// A link, an address or a route of the machine changes.
    NetworkChange,
    /// The machine sleeps for so many milliseconds.
    Sleep(u32),
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
            37..=45 => Op::Deliver(small),
            46 => Op::Burst(small),
            47..=66 => Op::Exchange,
            67..=72 => Op::Wait(random.below(400) as u32),
            73 => Op::Wait(random.below(60_000) as u32),
            74..=77 => Op::Cut,
            78..=84 => Op::CutFromClient(random.below(60) as u16),
            85..=91 => Op::CutFromServer(random.below(30) as u16),
            92 => Op::Refuse(random.chance(30)),
            93 => match random.below(3) {
                0 => Op::Swallow(random.below(20_000) as u32),
                1 => Op::NetworkChange,
                _ => Op::Sleep(random.below(100_000) as u32),
            },
            94..=95 => Op::KeepSession(!lossy || random.chance(40)),
            96..=98 => Op::ReceiveMaximum([1, 2, 5, 100, 65_535][random.below(5) as usize]),
            _ => Op::Restart,
        }
    }

    /// The operation of a kind, with whatever it needs: what a fuzzer's bytes mean. There are no other kinds than those
    /// below [`Op::KINDS`].
    pub fn of(kind: u8, more: u16) -> Op {
        let [high, low] = more.to_be_bytes();
        match kind % Op::KINDS {
            0 => Op::Publish(low % 3),
            1 => Op::Subscribe(low % 4),
            2 => Op::Unsubscribe(low % 4),
            3 => Op::Deliver(low % 3),
            4 => Op::Exchange,
            5 => Op::Wait(u32::from(more)),
            6 => Op::Cut,
            7 => Op::CutFromClient(more % 512),
            8 => Op::CutFromServer(more % 512),
            9 => Op::Refuse(low & 1 == 1),
            10 => Op::KeepSession(low & 1 == 1),
            11 => Op::ReceiveMaximum(more.max(1)),
            12 => Op::Restart,
            13 => Op::Die,
            14 => Op::DieAfter(more % 64),
            15 => Op::Burst(low % 3),
            16 => Op::Disk([DiskMood::Quick, DiskMood::Slow, DiskMood::Refusing][usize::from(high) % 3]),
            17 => Op::Swallow(u32::from(more % 20_000)),
            18 => Op::NetworkChange,
            _ => Op::Sleep(u32::from(more) * 2),
        }
    }

    /// How many kinds there are.
    pub const KINDS: u8 = 20;

    /// The line of a story's file, as `Debug` shows it.
    pub fn parse(line: &str) -> Option<Op> {
        let (kind, argument) =
            line.strip_suffix(')').and_then(|line| line.split_once('(')).unwrap_or((line, ""));
        let number = || argument.parse::<u64>().ok();
        let flag = || argument.parse::<bool>().ok();
        Some(match kind {
            "Publish" => Op::Publish(number()? as u8),
            "Subscribe" => Op::Subscribe(number()? as u8),
            "Unsubscribe" => Op::Unsubscribe(number()? as u8),
            "Deliver" => Op::Deliver(number()? as u8),
            "Burst" => Op::Burst(number()? as u8),
            "Exchange" => Op::Exchange,
            "Wait" => Op::Wait(number()? as u32),
            "Cut" => Op::Cut,
            "CutFromClient" => Op::CutFromClient(number()? as u16),
            "CutFromServer" => Op::CutFromServer(number()? as u16),
            "Refuse" => Op::Refuse(flag()?),
            "KeepSession" => Op::KeepSession(flag()?),
            "ReceiveMaximum" => Op::ReceiveMaximum(number()? as u16),
            "Restart" => Op::Restart,
            "Swallow" => Op::Swallow(number()? as u32),
            "NetworkChange" => Op::NetworkChange,
            "Sleep" => Op::Sleep(number()? as u32),
            "Die" => Op::Die,
            "DieAfter" => Op::DieAfter(number()? as u16),
            "Disk" => Op::Disk(match argument {
                "Quick" => DiskMood::Quick,
                "Slow" => DiskMood::Slow,
                "Refusing" => DiskMood::Refusing,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

pub(crate) fn carry_out(play: &mut Play<'_, World>, op: Op, number: usize) -> Result<()> {
    match op {
        Op::Publish(qos) => {
            let payload = crate::text::hex(format!("m{number}").as_bytes());
            play.command(&format!("publish m{number} t {payload} {qos} 0"))
        }
        Op::Subscribe(filter) => play.command(&format!("subscribe s{number} f/{filter} 1")),
        Op::Unsubscribe(filter) => play.command(&format!("unsubscribe u{number} f/{filter}")),
        Op::Deliver(qos) => deliver(play, qos, format!("d{number}")),
        Op::Burst(qos) => (0..BURST).try_for_each(|one| deliver(play, qos, format!("b{number}.{one}"))),
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
        Op::Swallow(time) => {
            play.stage.stall(true)?;
            play.stage.ignore()?;
            play.stage.advance(Duration::from_millis(time.into()))?;
            play.stage.stall(false)?;
            play.stage.refuse(false)
        }
        Op::NetworkChange => play.stage.network_changed(),
        Op::Sleep(time) => play.stage.sleep(Duration::from_millis(time.into())),
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

fn deliver(play: &mut Play<'_, World>, qos: u8, payload: String) -> Result<()> {
    if !play.linked || !play.model.connected() {
        return Ok(());
    }
    let packet = play.model.publish(b"d", payload.as_bytes(), qos);
    play.send(&bytes::encode(play.run.level, &packet)?, Some(packet))
}
