//! One of the two clients of a cell: a shim, and what it has seen.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use crate::common::PATIENCE;
use crate::shim::Shim;
use crate::stage::Outcome;

/// The newest lines of a party, shown when something went wrong.
const SHOWN: usize = 20;

/// A client.
pub(super) struct Party {
    shim: Shim,
    /// Where messages for it go: `TOPIC/1` with QoS 1, `TOPIC/2` with QoS 2, `TOPIC/echo` for itself.
    topic: String,
    /// It acknowledges when it is told to.
    manual: bool,
    /// How often each message of QoS 1 and of QoS 2 came.
    pub(super) counts: [Vec<u32>; 2],
    pub(super) published: usize,
    pub(super) connections: usize,
    pub(super) losses: usize,
    subscribed: bool,
    echoes: usize,
    last: VecDeque<String>,
}

impl Party {
    /// Starts a shim with these settings, and waits until it has subscribed.
    pub(super) fn start(shim: &str, topic: &str, settings: &[String], messages: usize) -> Outcome<Party> {
        let mut party = Party {
            shim: Shim::start(shim)?,
            topic: topic.to_owned(),
            manual: settings.iter().any(|line| line == "option manual_ack true"),
            counts: [vec![0; messages], vec![0; messages]],
            published: 0,
            connections: 0,
            losses: 0,
            subscribed: false,
            echoes: 0,
            last: VecDeque::new(),
        };
        party.shim.tell(&format!("option client_id {}", topic.replace('/', "-")))?;
        for line in settings {
            party.shim.tell(line)?;
        }
        party.shim.tell("start")?;
        party.wait("CONNECTED", |party| party.connections == 1)?;
        party.shim.tell(&format!("subscribe s {topic}/1 1 {topic}/2 2 {topic}/echo 0"))?;
        party.wait("SUBSCRIBED", |party| party.subscribed)?;
        Ok(party)
    }

    /// Publishes messages of both QoS to the other party.
    pub(super) fn publish(&mut self, to: &str, numbers: Range<usize>) -> Outcome<()> {
        for number in numbers {
            for qos in 1..=2 {
                self.shim.tell(&format!("publish m{number} {to}/{qos} {number:08x} {qos} 0"))?;
            }
        }
        Ok(())
    }

    /// Waits until all messages below this number have come, and all of its own are acknowledged.
    pub(super) fn settle(&mut self, below: usize) -> Outcome<()> {
        let all_came =
            |party: &Party| party.counts.iter().flat_map(|list| &list[..below]).all(|count| *count > 0);
        self.wait("the rest of the messages", |party| party.published >= 2 * below && all_came(party))
    }

    /// Waits until neither it nor the broker has anything half done for it: the first echo comes after the PUBRELs for
    /// its PUBRECs, the second after its PUBCOMPs have arrived. Exact where it acknowledges by call.
    pub(super) fn calm(&mut self) -> Outcome<()> {
        for _ in 0..2 {
            let echoes = self.echoes;
            self.shim.tell(&format!("publish e {}/echo - 0 0", self.topic))?;
            self.wait("an echo", |party| party.echoes > echoes)?;
        }
        Ok(())
    }

    /// Takes events until this is so.
    pub(super) fn wait(&mut self, what: &str, until: impl Fn(&Party) -> bool) -> Outcome<()> {
        let end = Instant::now() + PATIENCE;
        while !until(self) {
            let left = end.saturating_duration_since(Instant::now());
            match self.shim.event(left) {
                Ok(Some(line)) => self.note(line)?,
                Ok(None) => return Err(self.report(&format!("waits for {what}"))),
                Err(error) => return Err(self.report(&error)),
            }
        }
        Ok(())
    }

    /// Ends it in order.
    pub(super) fn quit(mut self) -> Outcome<()> {
        self.shim.quit()
    }

    fn note(&mut self, line: String) -> Outcome<()> {
        let mut words = line.split(' ');
        match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
            ("MESSAGE", _) => self.message(&line)?,
            ("PUBLISHED", name) => self.published += usize::from(name.starts_with('m')),
            ("SUBSCRIBED", _) => self.subscribed = true,
            ("DISCONNECTED", was) => {
                self.losses += usize::from(line.contains(" connected=1 ") && was != "by=you");
            }
            ("CONNECTED", _) => {
                self.connections += 1;
                if self.connections > 1 && !line.contains("session=resumed") {
                    return Err(self.report(&format!("the broker forgot it: {line}")));
                }
            }
            ("FAILED", _) => return Err(self.report(&line)),
            _ => {}
        }
        if !line.starts_with("MESSAGE") && !line.starts_with("PUBLISHED") {
            self.last.push_back(line);
            if self.last.len() > SHOWN {
                self.last.pop_front();
            }
        }
        Ok(())
    }

    fn message(&mut self, line: &str) -> Outcome<()> {
        let field = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let kind = field("topic").and_then(|topic| topic.strip_prefix(&self.topic)).unwrap_or_default();
        if let Some(id) = field("id").filter(|id| self.manual && *id != "0") {
            self.shim.tell(&format!("ack {id}"))?;
        }
        let list = match kind {
            "/echo" => {
                self.echoes += 1;
                return Ok(());
            }
            "/1" => 0,
            "/2" => 1,
            _ => return Err(format!("a message that nobody sent: {line}")),
        };
        let number = field("payload").and_then(|payload| usize::from_str_radix(payload, 16).ok());
        match number.and_then(|number| self.counts[list].get_mut(number)) {
            Some(count) => *count += 1,
            None => return Err(format!("a message that nobody sent: {line}")),
        }
        Ok(())
    }

    fn report(&mut self, what: &str) -> String {
        let missing = |list: &[u32]| list.iter().filter(|count| **count == 0).count();
        let last: Vec<&str> = self.last.iter().map(String::as_str).collect();
        format!(
            "{}: {what}; {} published, {} and {} missing\n  {}\n  {}",
            self.topic,
            self.published,
            missing(&self.counts[0]),
            missing(&self.counts[1]),
            last.join("\n  "),
            self.shim.complaints()
        )
    }
}
