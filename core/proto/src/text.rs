//! The canonical text of an event: one line, the same in logs, bug reports and tests.
//!
//! First the kind in capitals, then what it is about (`#5` is the operation with ticket 5), then `field=value`, all of
//! them, in a fixed order. Payloads and binary values are hexadecimal and a value is `-` when it is empty or absent;
//! white space, control characters and `%` in topics are percent-encoded, so a line is always words and one line.
//!
//! And what `Debug` shows of an engine.

use std::fmt::{self, Display, Formatter};

use crate::engine::Engine;
use crate::error::{Error, Who};
use crate::event::{Auth, Connected, Disconnected, Event, Message, Outcome, SessionState};
use crate::poison::Quarantined;
use crate::wire::{Properties, PropertyValue};

/// Not what is under way: packets that wait hold credentials and payloads.
impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Engine");
        shown.field("state", &self.state()).field("options", self.options()).field("stats", &self.stats());
        shown.finish_non_exhaustive()
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Event::Connecting(attempt, server) => write!(f, "CONNECTING attempt={attempt} server={server}"),
            Event::Connected(connected) => connected.fmt(f),
            Event::Disconnected(disconnected) => disconnected.fmt(f),
            Event::Auth(auth) => auth.fmt(f),
            Event::Message(message) => message.fmt(f),
            Event::Completed(ticket, outcome) => completed(f, *ticket, outcome),
            Event::Recovered(outage) => write!(
                f,
                "RECOVERED outage={} cause={} attempts={} kept={} resent={} signal={} failed={} before={} after={} missing={}",
                outage.number,
                outage.cause.code.name(),
                outage.attempts,
                u8::from(outage.session_kept),
                outage.resent,
                outage.signal.name(),
                outage.failures.len(),
                outage.received_before,
                outage.received_after,
                outage.missing
            ),
            Event::Quarantined(what) => what.fmt(f),
            Event::Gap(gap) => {
                let (topic, expected, got) = (Word(&gap.topic), gap.expected, gap.got);
                write!(f, "GAP topic={topic} expected={expected} got={got} missing={}", gap.missing())
            }
            Event::Store(None) => f.write_str("STORE by=us code=none"),
            Event::Store(Some(error)) => {
                f.write_str("STORE")?;
                blame(f, error)
            }
            Event::Closed => f.write_str("CLOSED"),
        }
    }
}

impl Display for Connected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let session = match self.session {
            SessionState::New => "new",
            SessionState::Resumed => "resumed",
            SessionState::Lost => "lost",
        };
        let present = u8::from(self.session_present);
        write!(f, "CONNECTED session_present={present} session={session}")?;
        write!(f, " restoring={} resending={} reason={}", self.restoring, self.resending, self.reason_code)?;
        self.properties.fmt(f)
    }
}

impl Display for Disconnected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("DISCONNECTED")?;
        match &self.error {
            Some(error) => blame(f, error)?,
            None => f.write_str(" by=you code=none reason=-")?,
        }
        write!(f, " connected={} server={}", u8::from(self.was_connected), u8::from(self.from_server))?;
        match self.retry_in {
            Some(delay) => write!(f, " retry={}", delay.as_millis())?,
            None => f.write_str(" retry=-")?,
        }
        write!(f, " failures={}", self.failures)?;
        self.properties.fmt(f)
    }
}

impl Display for Auth {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (exchange, reason_code) = (self.exchange.unwrap_or(0), self.reason_code);
        write!(f, "AUTH exchange={exchange} reason={reason_code}{}", self.properties)
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "MESSAGE topic={} payload={}", Word(&self.publish.topic), Hex(&self.publish.payload))?;
        let identifier = self.delivery.map_or(0, |delivery| delivery.packet_identifier);
        let retain = u8::from(self.publish.retain);
        write!(
            f,
            " qos={} retain={retain} dup={} id={identifier}",
            self.publish.qos as u8,
            u8::from(self.dup)
        )?;
        if let Some(token) = self.token {
            write!(f, " token={token} redelivered={}", u8::from(self.redelivered))?;
        }
        self.publish.properties.fmt(f)
    }
}

impl Display for Quarantined {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let publish = &self.publish;
        write!(f, "QUARANTINED outgoing={} id={}", u8::from(self.ticket.is_some()), self.packet_identifier)?;
        write!(f, " readable={} topic={}", u8::from(self.readable), Word(&publish.topic))?;
        write!(f, " payload={} qos={}", Hex(&publish.payload), publish.qos as u8)
    }
}

/// The properties as ` Name=value`, one after the other, nothing when there are none. No secret is among them.
impl Display for Properties {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (id, value) in self.iter() {
            write!(f, " {}=", id.row().name)?;
            match value {
                _ if id.is_secret() => f.write_str("***")?,
                PropertyValue::Byte(number) => number.fmt(f)?,
                PropertyValue::TwoByte(number) => number.fmt(f)?,
                PropertyValue::FourByte(number) | PropertyValue::Variable(number) => number.fmt(f)?,
                PropertyValue::Text(text) => Word(text).fmt(f)?,
                PropertyValue::Binary(bytes) => Hex(bytes).fmt(f)?,
                PropertyValue::Pair(name, value) => write!(f, "{}:{}", Word(name), Word(value))?,
            }
        }
        Ok(())
    }
}

fn completed(f: &mut Formatter<'_>, ticket: u64, outcome: &Outcome) -> fmt::Result {
    match outcome {
        Outcome::Published(reason, properties) => {
            write!(f, "PUBLISHED #{ticket} reason={reason}{properties}")
        }
        Outcome::Subscribed(reasons, properties) => {
            write!(f, "SUBSCRIBED #{ticket} reasons={}{properties}", List(reasons))
        }
        Outcome::Unsubscribed(reasons, properties) => {
            write!(f, "UNSUBSCRIBED #{ticket} reasons={}{properties}", List(reasons))
        }
        Outcome::Durable => write!(f, "DURABLE #{ticket}"),
        Outcome::Stored => write!(f, "STORED #{ticket}"),
        Outcome::Failed(error, properties) => {
            write!(f, "FAILED #{ticket}")?;
            blame(f, error)?;
            properties.fmt(f)
        }
    }
}

fn blame(f: &mut Formatter<'_>, error: &Error) -> fmt::Result {
    let who = match error.who() {
        Who::You => "you",
        Who::Us => "us",
        Who::Peer => "peer",
        Who::Network => "network",
    };
    write!(f, " by={who} code={}", error.code.name())?;
    match error.reason_code {
        Some(code) => write!(f, " reason={code}"),
        None => f.write_str(" reason=-"),
    }
}

struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for character in self.0.chars() {
            if character.is_whitespace() || character.is_control() || character == '%' {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    write!(f, "%{byte:02X}")?;
                }
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

struct List<'a>(&'a [u8]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for (at, code) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{code}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::command::Delivery;
    use crate::error::ErrorCode;
    use crate::wire::{PropertyId, Publish, QoS};

    #[test]
    fn a_message_is_one_line_of_words_whatever_it_carries() {
        let mut properties = Properties::new();
        properties.push(PropertyId::UserProperty, PropertyValue::Pair("k".into(), "two words".into()));
        let publish = Publish {
            topic: "a b/100%\n".into(),
            payload: Bytes::from_static(b"hi\n"),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties,
        };
        let delivery = Some(Delivery { packet_identifier: 7, serial: 1 });
        let text = Event::Message(Message {
            publish,
            raw_topic: None,
            dup: false,
            delivery,
            token: None,
            redelivered: false,
        })
        .to_string();
        let expected = "MESSAGE topic=a%20b/100%25%0A payload=68690a qos=1 retain=1 dup=0 id=7 \
                        UserProperty=k:two%20words";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_failure_says_who_and_why() {
        let failed = Outcome::Failed(Error::from_peer(ErrorCode::Rejected, 0x97, "quota"), Properties::new());
        assert_eq!(Event::Completed(5, failed).to_string(), "FAILED #5 by=peer code=Rejected reason=151");
    }

    #[test]
    fn a_disconnect_on_request_blames_nobody() {
        let disconnected = Disconnected {
            error: None,
            was_connected: true,
            from_server: false,
            retry_in: None,
            failures: 0,
            properties: Properties::new(),
            said: 0,
        };
        let text = Event::Disconnected(Box::new(disconnected)).to_string();
        assert_eq!(text, "DISCONNECTED by=you code=none reason=- connected=1 server=0 retry=- failures=0");
    }
}
