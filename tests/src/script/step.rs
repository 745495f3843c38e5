//! One line of a script and what it means.

use std::collections::HashSet;
use std::time::Duration;

use super::words::{duration, literal, number, pair, split, text};
use super::{Result, Run, PATIENCE};
use crate::bytes::{field, property, Form, Kind, Value};
use crate::text::hex_word;

/// A line that is carried out.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number in the file.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// What it does.
    pub action: Action,
}

/// A value in a script: written down, or a field of something seen before.
#[derive(Debug, Clone)]
pub enum Expr {
    /// A value.
    Value(Value),
    /// `p1.id`
    Field(String, String),
    /// `none`: the field must be absent.
    Absent,
}

/// How the peer ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Reset, at once.
    Rst,
    /// Orderly: what was sent arrives.
    Fin,
    /// Reset when the peer has read this many more bytes.
    After(usize),
}

type Fields = Vec<(String, Expr)>;

/// What a step does.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the words of the language, described in scenarios/README.md
pub enum Action {
    /// A line for the shim.
    Command(String),
    Ack(Expr),
    See {
        kind: String,
        name: Option<String>,
        fields: Fields,
        within: Duration,
        bind: Option<String>,
    },
    SeeNo(String),
    Expect {
        kind: Kind,
        fields: Fields,
        within: Duration,
        bind: Option<String>,
    },
    ExpectHex(Vec<u8>, Duration),
    ExpectNothing,
    ExpectClose(Duration),
    Send(Kind, Fields),
    SendHex(Vec<u8>),
    Cut(Cut),
    Stall(bool),
    Refuse(bool),
    Ignore,
    Kill,
    Serve {
        cuts: u32,
        seed: u64,
    },
    Advance(Duration),
}

/// Reads one line into the run. `names` are those that `as` has introduced.
pub(super) fn parse(line: usize, source: &str, names: &mut HashSet<String>, run: &mut Run) -> Result<()> {
    let mut words = split(source)?;
    if let [.., keyword, condition] = words.as_slice() {
        if keyword == "if" {
            if !holds(condition, run)? {
                return Ok(());
            }
            words.truncate(words.len() - 2);
        }
    }
    let mut words = Words { words, names };
    let action = match words.next()?.as_str() {
        "options" => return words.options(run),
        "client" => words.client()?,
        "peer" => words.peer()?,
        "advance" => Action::Advance(duration(&words.next()?)?),
        other => return Err(format!("no line begins with {other:?}")),
    };
    if let Some(word) = words.words.first() {
        return Err(format!("{word:?} does not belong here"));
    }
    run.steps.push(Step { line, text: source.trim().to_string(), action });
    Ok(())
}

fn holds(condition: &str, run: &Run) -> Result<bool> {
    let (name, value) = pair(condition).ok_or("if name=value")?;
    let have = match name {
        "version" => run.level.to_string(),
        "session" => if run.session_kept { "kept" } else { "lost" }.to_string(),
        _ => {
            let words: Vec<_> = run.variant.split(' ').filter_map(|word| word.split_once('=')).collect();
            let found = words.iter().find(|(have, _)| *have == name);
            found.ok_or_else(|| format!("no variant is named {name:?}"))?.1.to_string()
        }
    };
    Ok(have == value)
}

struct Words<'a> {
    words: Vec<String>,
    names: &'a mut HashSet<String>,
}

impl Words<'_> {
    fn options(mut self, run: &mut Run) -> Result<()> {
        for word in std::mem::take(&mut self.words) {
            let (key, value) = pair(&word).ok_or_else(|| format!("options key=value, not {word:?}"))?;
            let value = text(value)?;
            remqtt_proto::Options::default().set(key, &value).map_err(|error| error.to_string())?;
            run.options.push((key.to_string(), value));
        }
        Ok(())
    }

    fn client(&mut self) -> Result<Action> {
        let verb = self.next()?;
        Ok(match verb.as_str() {
            "start" | "close" | "reconnect_now" | "network_changed" => Action::Command(verb),
            "stop" => match self.take("rc=") {
                Some(code) => Action::Command(format!("stop {}", number(&code)?)),
                None => Action::Command(verb),
            },
            "username" | "password" => {
                Action::Command(format!("{verb} {}", hex_word(&literal(&self.next()?)?)))
            }
            "will" => {
                let message = self.message()?;
                Action::Command(format!("will {message}"))
            }
            "publish" => {
                let name = self.bind()?.ok_or("publish ... as NAME")?;
                Action::Command(format!("publish {name} {}", self.message()?))
            }
            "subscribe" => Action::Command(self.subscribe()?),
            "on_connect" => match self.next()?.as_str() {
                "subscribe" => Action::Command(format!("on_connect {}", self.subscribe()?)),
                other => return Err(format!("on_connect {other}: only subscribe")),
            },
            "unsubscribe" => {
                let name = self.bind()?.ok_or("unsubscribe FILTER as NAME")?;
                let filters = std::mem::take(&mut self.words);
                Action::Command(format!("unsubscribe {name} {}", filters.join(" ")))
            }
            "ack" => Action::Ack(Expr::Field(self.known()?, "id".into())),
            "see" => self.see()?,
            "kill" => Action::Kill,
            other => return Err(format!("client {other}: no such command")),
        })
    }

    fn see(&mut self) -> Result<Action> {
        let kind = self.next()?;
        if kind == "no" {
            return Ok(Action::SeeNo(self.next()?));
        }
        let (within, bind) = (self.within()?, self.bind()?);
        let name = self.words.first().filter(|word| pair(word).is_none()).cloned();
        if name.is_some() {
            self.words.remove(0);
        }
        let mut fields = Fields::new();
        for word in std::mem::take(&mut self.words) {
            let (key, value) = pair(&word).ok_or_else(|| format!("field=value, not {word:?}"))?;
            let value = match self.reference(value) {
                Some(reference) => reference,
                None if key == "payload" => Expr::Value(Value::Bytes(hex_word(&literal(value)?).into())),
                None => Expr::Value(Value::Bytes(literal(value)?)),
            };
            fields.push((key.to_string(), value));
        }
        Ok(Action::See { kind, name, fields, within, bind })
    }

    fn peer(&mut self) -> Result<Action> {
        let verb = self.next()?;
        Ok(match verb.as_str() {
            "expect" => match self.next()?.as_str() {
                "nothing" => Action::ExpectNothing,
                "close" => Action::ExpectClose(self.within()?),
                "hex" => {
                    let within = self.within()?;
                    Action::ExpectHex(self.hex()?, within)
                }
                kind => {
                    let kind = Kind::named(kind).ok_or_else(|| format!("no packet is named {kind:?}"))?;
                    let (within, bind) = (self.within()?, self.bind()?);
                    Action::Expect { kind, fields: self.fields()?, within, bind }
                }
            },
            "send" => match self.next()?.as_str() {
                "hex" => Action::SendHex(self.hex()?),
                kind => {
                    let kind = Kind::named(kind).ok_or_else(|| format!("no packet is named {kind:?}"))?;
                    Action::Send(kind, self.fields()?)
                }
            },
            "cut" => Action::Cut(self.cut()?),
            "stall" => Action::Stall(true),
            "resume" => Action::Stall(false),
            "refuse" => Action::Refuse(true),
            "accept" => Action::Refuse(false),
            "ignore" => Action::Ignore,
            "serve" => {
                let mut count = |key| self.take(key).map_or(Ok(0), |value| number(&value));
                Action::Serve { cuts: count("cuts=")? as u32, seed: count("seed=")? }
            }
            other => return Err(format!("peer {other}: no such action")),
        })
    }

    fn cut(&mut self) -> Result<Cut> {
        match self.next()?.as_str() {
            "rst" => Ok(Cut::Rst),
            "fin" => Ok(Cut::Fin),
            "after" => {
                let bytes = number(&self.next()?)? as usize;
                self.next()?; // "bytes"
                Ok(Cut::After(bytes))
            }
            other => Err(format!("cut rst, cut fin or cut after N bytes, not {other:?}")),
        }
    }

    /// `TOPIC PAYLOAD qos= retain=` and properties, as the shim protocol writes them.
    fn message(&mut self) -> Result<String> {
        let topic = text(&self.next()?)?;
        let payload = literal(&self.next()?)?;
        let qos = self.take("qos=").unwrap_or_else(|| "0".into());
        let retain = self.take("retain=").unwrap_or_else(|| "0".into());
        let topic = if topic.is_empty() { "-" } else { &topic };
        Ok(format!("{topic} {} {qos} {retain}{}", hex_word(&payload), self.properties()?))
    }

    /// `FILTER qos= no_local= ... [FILTER ...] as NAME`; the options hold for every filter.
    fn subscribe(&mut self) -> Result<String> {
        let name = self.bind()?.ok_or("subscribe ... as NAME")?;
        let mut options = 0;
        for (key, weight) in
            [("qos=", 1), ("no_local=", 4), ("retain_as_published=", 8), ("retain_handling=", 16)]
        {
            options += weight * self.take(key).map_or(Ok(0), |value| number(&value))?;
        }
        let (pairs, filters): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.words).into_iter().partition(|word| pair(word).is_some());
        let mut line = format!("subscribe {name}");
        for filter in filters {
            line += &format!(" {} {options}", text(&filter)?);
        }
        self.words = pairs;
        Ok(line + &self.properties()?)
    }

    /// What is left, as properties of the shim protocol.
    fn properties(&mut self) -> Result<String> {
        let mut line = String::new();
        for word in std::mem::take(&mut self.words) {
            let (key, value) = pair(&word).ok_or_else(|| format!("{word:?} does not belong here"))?;
            let (id, kind) = property(key).ok_or_else(|| format!("no property is named {key:?}"))?;
            line += &match kind {
                'n' => format!(" {id}:n:{}", number(value)?),
                'p' => {
                    let text = text(value)?;
                    let (name, value) = text.split_once('=').ok_or("user=\"name=value\"")?;
                    format!(" {id}:p:{}:{}", hex_word(name.as_bytes()), hex_word(value.as_bytes()))
                }
                _ => format!(" {id}:{kind}:{}", hex_word(&literal(value)?)),
            };
        }
        Ok(line)
    }

    /// What is left, as fields of a packet.
    fn fields(&mut self) -> Result<Fields> {
        let mut fields = Fields::new();
        for word in std::mem::take(&mut self.words) {
            let (key, value) = pair(&word).ok_or_else(|| format!("field=value, not {word:?}"))?;
            let (name, form) = field(key).ok_or_else(|| format!("no field is named {key:?}"))?;
            let value = match (self.reference(value), form) {
                (Some(reference), _) => reference,
                (None, _) if value == "none" => Expr::Absent,
                (None, Form::Number) => Expr::Value(Value::Number(number(value)?)),
                (None, Form::Bytes) => Expr::Value(Value::Bytes(literal(value)?)),
                (None, Form::Codes) => Expr::Value(Value::Bytes(codes(value)?)),
            };
            fields.push((name.to_string(), value));
        }
        Ok(fields)
    }

    fn reference(&self, value: &str) -> Option<Expr> {
        let (name, field) = value.split_once('.')?;
        self.names.contains(name).then(|| Expr::Field(name.into(), field.into()))
    }

    fn hex(&mut self) -> Result<Vec<u8>> {
        let digits = std::mem::take(&mut self.words).concat();
        crate::text::unhex(&digits).ok_or_else(|| format!("{digits:?} is not hexadecimal"))
    }

    fn within(&mut self) -> Result<Duration> {
        match self.words.iter().position(|word| word == "within") {
            Some(at) if at + 1 < self.words.len() => {
                self.words.remove(at);
                duration(&self.words.remove(at))
            }
            _ => Ok(PATIENCE),
        }
    }

    /// `as NAME`, taken out of the line.
    fn bind(&mut self) -> Result<Option<String>> {
        let Some(at) = self.words.iter().position(|word| word == "as") else { return Ok(None) };
        self.words.remove(at);
        if at >= self.words.len() {
            return Err("as NAME".into());
        }
        let name = self.words.remove(at);
        self.names.insert(name.clone());
        Ok(Some(name))
    }

    fn known(&mut self) -> Result<String> {
        let name = self.next()?;
        match self.names.contains(&name) {
            true => Ok(name),
            false => Err(format!("nothing is called {name:?} yet")),
        }
    }

    /// The value of `key=...`, taken out of the line.
    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.words.iter().position(|word| word.starts_with(key))?;
        Some(self.words.remove(at)[key.len()..].to_string())
    }

    fn next(&mut self) -> Result<String> {
        match self.words.is_empty() {
            true => Err("the line ends too early".into()),
            false => Ok(self.words.remove(0)),
        }
    }
}

fn codes(value: &str) -> Result<Vec<u8>> {
    value.split(',').map(|code| number(code).map(|code| code as u8)).collect()
}
