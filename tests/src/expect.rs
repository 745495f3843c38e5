//! The steps of a play that compare: what the client says, and what it sends.

use std::collections::HashMap;
use std::time::Duration;

use crate::bytes::{Kind, Value};
use crate::play::{shown, Play};
use crate::script::Expr;
use crate::stage::{Read, Stage};

type Result<T> = std::result::Result<T, String>;

impl<S: Stage> Play<'_, S> {
    pub(crate) fn see(
        &mut self,
        kind: &str,
        name: Option<&str>,
        fields: &[(String, Expr)],
        within: Duration,
        bind: Option<&str>,
    ) -> Result<()> {
        let within = self.patience(within);
        let wanted = |line: &String| {
            let mut words = line.split(' ');
            words.next() == Some(kind) && name.is_none_or(|name| words.next() == Some(name))
        };
        let mut from = 0;
        let at = loop {
            if let Some(at) = self.events.iter().skip(from).position(&wanted) {
                break from + at;
            }
            from = self.events.len();
            if !self.next_event(within)? {
                let other: Vec<_> = self.events.iter().map(String::as_str).collect();
                return Err(format!("no {kind} within {within:?}; unseen: {other:?}"));
            }
        };
        let line = self.events.remove(at).unwrap_or_default();
        // What the connection went through before this event is history.
        let passing = ["CONNECTING", "CONNECTED", "DISCONNECTED", "RECOVERED"];
        let mut before = at;
        self.events.retain(|event| {
            let old = before > 0;
            before = before.saturating_sub(1);
            !(old && passing.contains(&event.split(' ').next().unwrap_or_default()))
        });
        let have: HashMap<&str, &str> = line.split(' ').filter_map(|word| word.split_once('=')).collect();
        for (key, expected) in fields {
            let expected = self.value(expected)?.map_or("-".to_string(), |value| shown(&value));
            match have.get(key.as_str()) {
                Some(value) if *value == expected => {}
                value => return Err(format!("{key} is {value:?} and not {expected:?} in {line}")),
            }
        }
        if let Some(bind) = bind {
            for (key, value) in have {
                let value = value.parse().map_or(Value::Bytes(value.into()), Value::Number);
                self.bindings.insert((bind.into(), key.into()), value);
            }
        }
        Ok(())
    }

    pub(crate) fn see_no(&mut self, kind: &str) -> Result<()> {
        while self.next_event(Duration::ZERO)? {}
        match self.events.iter().find(|line| line.split(' ').next() == Some(kind)) {
            Some(line) => Err(format!("there is {line}")),
            None => Ok(()),
        }
    }

    pub(crate) fn expect(
        &mut self,
        kind: Kind,
        fields: &[(String, Expr)],
        within: Duration,
        bind: Option<&str>,
    ) -> Result<()> {
        let within = self.patience(within);
        if kind == Kind::Connect && !self.accept(within)? {
            return Err(format!("no connection within {within:?}"));
        }
        let packet = match self.next_packet(within)? {
            Some(packet) => packet,
            None if self.serving => return Ok(()),
            None => return Err(format!("no {kind} within {within:?}")),
        };
        if packet.kind != kind {
            return Err(format!("came {packet}"));
        }
        for (name, expected) in fields {
            let expected = self.value(expected)?;
            let mut have = packet.fields.iter().filter(|(have, _)| have == name).map(|(_, value)| value);
            let fits = match &expected {
                Some(expected) => have.any(|value| value == expected),
                None => have.next().is_none(),
            };
            // MQTT 5 leaves a reason code of 0 away.
            let implied = name == "rc" && expected == Some(Value::Number(0)) && packet.find("rc").is_none();
            if !fits && !implied {
                let expected = expected.map_or("none".to_string(), |value| value.to_string());
                return Err(format!("{name} is not {expected} in {packet}"));
            }
        }
        if let Some(bind) = bind {
            for (name, value) in packet.fields {
                self.bindings.insert((bind.to_string(), name.to_string()), value);
            }
        }
        Ok(())
    }

    pub(crate) fn expect_hex(&mut self, expected: &[u8], within: Duration) -> Result<()> {
        let within = self.patience(within);
        if !self.linked && !self.accept(within)? {
            return Err(format!("no connection within {within:?}"));
        }
        while self.inbox.len() < expected.len() && !self.serving {
            match self.read(within)? {
                Read::Bytes(_) => {}
                Read::Closed | Read::Nothing => break,
            }
        }
        if self.serving {
            return Ok(());
        }
        let have = &self.inbox[..expected.len().min(self.inbox.len())];
        if have != expected {
            return Err(format!("came {}", crate::text::hex(have)));
        }
        while self.whole_packet()?.is_some() {}
        Ok(())
    }

    pub(crate) fn expect_nothing(&mut self) -> Result<()> {
        let packet = if self.inbox.is_empty() { None } else { self.whole_packet()? };
        if let Some(packet) = packet {
            return Err(format!("came {packet}"));
        }
        // Time tells only in the simulator; on a real network a short wait catches the quick offender.
        let wait = if self.stage.is_real() { Duration::from_millis(30) } else { Duration::ZERO };
        match self.read(wait)? {
            Read::Nothing => Ok(()),
            Read::Closed => Err("the client closed the connection".into()),
            Read::Bytes(_) if self.serving => Ok(()),
            Read::Bytes(bytes) => match self.whole_packet()? {
                Some(packet) => Err(format!("came {packet}")),
                None => Err(format!("came {}", crate::text::hex(&bytes))),
            },
        }
    }

    pub(crate) fn expect_close(&mut self, within: Duration) -> Result<()> {
        let within = self.patience(within);
        let packet = self.whole_packet()?;
        match (packet, self.read(within)?) {
            (Some(packet), _) => Err(format!("came {packet}")),
            (None, Read::Closed) => {
                self.linked = false;
                self.model.link_down();
                Ok(())
            }
            (None, Read::Bytes(_)) if self.serving => Ok(()),
            (None, Read::Bytes(bytes)) => match self.whole_packet()? {
                Some(packet) => Err(format!("came {packet}")),
                None => Err(format!("came {}", crate::text::hex(&bytes))),
            },
            (None, Read::Nothing) => Err(format!("the connection stands after {within:?}")),
        }
    }
}
