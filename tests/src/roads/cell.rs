//! One cell: what happens to the road while two parties exchange messages.

use super::party::Party;
use super::site::{credentials, Site};
use crate::common::broker::Broker;
use crate::common::relay::Relay;
use crate::stage::Outcome;

/// Messages of each QoS in each direction.
pub(super) const MESSAGES: usize = 200;
/// Resets in a cell of them.
const RESETS: usize = 3;
/// Published at a time.
const PART: usize = MESSAGES / (RESETS + 1);

/// What happens to the road.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection is reset three times while messages are on their way.
    Reset,
    /// The broker stops, comes back later, and remembers the sessions.
    Restart,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 3] = [Fault::None, Fault::Reset, Fault::Restart];

    /// As the table names it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::None => "exchange",
            Fault::Reset => "reset",
            Fault::Restart => "restart",
        }
    }
}

/// How many messages of QoS 1 and of QoS 2 never came, and how many came more than once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Never.
    pub lost: [usize; 2],
    /// More than once.
    pub doubled: [usize; 2],
}

impl Tally {
    /// As the protocol promises: QoS 1 may come again.
    pub fn is_clean(&self) -> bool {
        self.lost == [0, 0] && self.doubled[1] == 0
    }

    pub(super) fn add(&mut self, other: &Tally) {
        for qos in 0..2 {
            self.lost[qos] += other.lost[qos];
            self.doubled[qos] += other.doubled[qos];
        }
    }

    fn count(&mut self, party: &Party) {
        for qos in 0..2 {
            self.lost[qos] += party.counts[qos].iter().filter(|count| **count == 0).count();
            self.doubled[qos] += party.counts[qos].iter().filter(|count| **count > 1).count();
        }
    }
}

/// The subject, and the other party.
struct Pair {
    parties: [Party; 2],
    topics: [String; 2],
}

/// Plays a cell with the shims of the subject and of the other party.
pub(super) fn play(site: &mut Site, fault: Fault, name: &str, shims: [&str; 2]) -> Outcome<Tally> {
    let topics = [format!("{name}/subject"), format!("{name}/other")];
    let detour = (fault == Fault::Reset).then(|| site.detour());
    let start = |which: usize, road: Vec<String>| {
        Party::start(shims[which], &topics[which], &[road, manners(fault)].concat(), MESSAGES)
    };
    let parties = [start(0, site.road(detour.as_ref()))?, start(1, site.plain())?];
    let mut pair = Pair { parties, topics };
    match (fault, &detour) {
        (Fault::Reset, Some(detour)) => pair.go_through_resets(&detour.relay)?,
        (Fault::Restart, _) => pair.go_through_a_restart(&mut site.broker)?,
        _ => pair.publish(0..MESSAGES)?,
    }
    pair.finish()
}

impl Pair {
    fn publish(&mut self, numbers: std::ops::Range<usize>) -> Outcome<()> {
        let [subject, other] = &mut self.parties;
        subject.publish(&self.topics[1], numbers.clone())?;
        other.publish(&self.topics[0], numbers)
    }

    fn each(&mut self, what: impl FnMut(&mut Party) -> Outcome<()>) -> Outcome<()> {
        self.parties.iter_mut().try_for_each(what)
    }

    fn go_through_resets(&mut self, relay: &Relay) -> Outcome<()> {
        for reset in 0..RESETS {
            let published = self.parties[0].published;
            self.publish(reset * PART..(reset + 1) * PART)?;
            // Some have arrived, and some are on their way.
            self.parties[0].wait("an acknowledgement", |party| party.published > published)?;
            relay.cut();
            self.parties[0].wait("the loss of the connection", |party| party.losses > reset)?;
            self.parties[0].wait("the connection", |party| party.connections > reset + 1)?;
        }
        self.publish(RESETS * PART..MESSAGES)
    }

    /// When the broker stops, nothing that it has to remember is half done: mosquitto 2.0 restores some of that in a
    /// state that it had earlier, and sends a QoS 2 message again after its PUBREL.
    fn go_through_a_restart(&mut self, broker: &mut Broker) -> Outcome<()> {
        self.publish(0..MESSAGES / 2)?;
        self.each(|party| party.settle(MESSAGES / 2))?;
        self.each(Party::calm)?;
        broker.stop();
        self.each(|party| party.wait("the loss of the connection", |party| party.losses > 0))?;
        self.publish(MESSAGES / 2..MESSAGES)?;
        broker.run();
        self.each(|party| party.wait("the connection", |party| party.connections > 1))
    }

    /// Waits for everything, counts, and ends both.
    fn finish(mut self) -> Outcome<Tally> {
        self.each(|party| party.settle(MESSAGES))?;
        // What comes twice comes before what is sent last.
        self.each(Party::calm)?;
        let mut tally = Tally::default();
        self.parties.iter().for_each(|party| tally.count(party));
        self.parties.into_iter().try_for_each(Party::quit)?;
        Ok(tally)
    }
}

/// Patient with a slow machine, and quick to come back.
fn manners(fault: Fault) -> Vec<String> {
    let mut lines: Vec<String> =
        ["option connect_timeout 30000", "option ping_timeout 30000", "option reconnect_max_delay 200"]
            .map(str::to_owned)
            .to_vec();
    if fault == Fault::Restart {
        lines.push("option manual_ack true".into()); // so that both know what is acknowledged: `Party::calm`
    }
    lines.extend(credentials());
    lines
}
