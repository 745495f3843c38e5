//! The interpreter: plays one run of a scenario on a stage.
//!
//! Literally first. Where a cut is asked for (a byte of either stream), the script cannot be followed beyond it; from
//! there on a conforming server ([`crate::model`]) is the peer, only the client's steps are carried out, and instead
//! of the script's expectations the model's invariants are checked.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ::bytes::BytesMut;

use crate::bytes::{self, Kind, Packet, Value};
use crate::model::Model;
use crate::script::{Action, Cut, Expr, Run, Step, PATIENCE};
use crate::stage::{Read, Stage};

type Result<T> = std::result::Result<T, String>;

/// Where the connection is cut for the first time, counted in bytes of one of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// After the peer got this many bytes.
    FromClient(usize),
    /// After the client got this many bytes.
    FromServer(usize),
}

/// What a play has seen.
#[derive(Debug, Default)]
pub struct Report {
    /// Bytes of the client and of the peer within the script.
    pub script: (usize, usize),
    pub(crate) from_client: usize,
    pub(crate) from_server: usize,
    /// Everything that happened, for the reader of a failure.
    pub trace: Vec<String>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// Plays a run. `cut` makes the model take over at that byte.
pub fn play(run: &Run, stage: &mut impl Stage, cut: Option<CutAt>) -> Report {
    let mut play = Play::new(run, stage, cut);
    let result = play.run();
    let mut report = play.report;
    report.failure = result.err();
    report
}

pub(crate) struct Play<'a, S: Stage> {
    pub(crate) run: &'a Run,
    pub(crate) stage: &'a mut S,
    pub(crate) cut: Option<CutAt>,
    pub(crate) report: Report,
    /// Events that no `see` has taken.
    pub(crate) events: VecDeque<String>,
    /// Bytes of the client that are no whole packet yet.
    pub(crate) inbox: BytesMut,
    /// The peer has a connection that, as far as it knows, stands.
    pub(crate) linked: bool,
    pub(crate) bindings: HashMap<(String, String), Value>,
    pub(crate) model: Model,
    /// The model is the peer.
    pub(crate) serving: bool,
    pub(crate) started: bool,
    pub(crate) closed: bool,
}

impl<'a, S: Stage> Play<'a, S> {
    pub(crate) fn new(run: &'a Run, stage: &'a mut S, cut: Option<CutAt>) -> Self {
        let monitored = run.conforming && !stage.is_real();
        let model = Model::new(run.level, run.session_kept, &run.options, monitored);
        Play {
            run,
            stage,
            cut,
            report: Report::default(),
            events: VecDeque::new(),
            inbox: BytesMut::new(),
            linked: false,
            bindings: HashMap::new(),
            model,
            serving: false,
            started: false,
            closed: false,
        }
    }

    /// Gives the client its options.
    pub(crate) fn configure(&mut self) -> Result<()> {
        for (key, value) in &self.run.options {
            let value = if value.is_empty() { "-" } else { value };
            self.stage.command(&format!("option {key} {value}"))?;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        self.configure()?;
        for step in &self.run.steps {
            let done = self.step(step);
            // Whatever it waited for, a dead client cannot do it. What is wrong is remembered where it was seen.
            let done = if self.survive()? { Ok(()) } else { done };
            done.map_err(|error| format!("line {}: {}: {error}", step.line, step.text))?;
        }
        if !self.serving {
            let done = self.finish();
            if !self.survive()? {
                return done;
            }
        }
        self.serve_to_the_end()
    }

    /// How long a step may wait. Real time is only bounded, with a margin that no slow machine reaches.
    pub(crate) fn patience(&self, within: Duration) -> Duration {
        within + self.stage.margin()
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        self.trace("", &step.text);
        if self.serving {
            return self.served_step(&step.action);
        }
        match &step.action {
            Action::Command(line) => self.command(line),
            Action::Ack(id) => self.acknowledge(id),
            Action::See { kind, name, fields, within, bind } => {
                self.see(kind, name.as_deref(), fields, *within, bind.as_deref())
            }
            Action::SeeNo(kind) => self.see_no(kind),
            Action::Expect { kind, fields, within, bind } => {
                self.expect(*kind, fields, *within, bind.as_deref())
            }
            Action::ExpectHex(bytes, within) => self.expect_hex(bytes, *within),
            Action::ExpectNothing => self.expect_nothing(),
            Action::ExpectClose(within) => self.expect_close(*within),
            Action::Send(kind, fields) => self.send_packet(*kind, fields),
            Action::SendHex(bytes) => {
                let packet = bytes::decode(self.run.level, bytes).ok();
                self.send(bytes, packet)
            }
            Action::Cut(cut) => self.cut_link(*cut),
            Action::Stall(stall) => self.stage.stall(*stall),
            Action::Refuse(refuse) => self.stage.refuse(*refuse),
            Action::Ignore => self.stage.ignore(),
            Action::Kill => self.kill(),
            Action::Serve { cuts, seed } => {
                self.model.serve(*cuts, *seed);
                self.take_over()
            }
            Action::Advance(time) => self.stage.advance(*time),
        }
    }

    /// The script kills the process, and begins the next one itself.
    fn kill(&mut self) -> Result<()> {
        let unread = self.stage.unread();
        self.model.polled(&unread)?;
        self.stage.kill()?;
        (self.started, self.linked) = (false, false);
        self.inbox.clear();
        self.model.link_down();
        let pending = self.stage.reborn()?;
        self.model.reborn(&pending.unwrap_or_default());
        Ok(())
    }

    /// If the client has died of itself: the model takes over, and the client begins again. True if so.
    pub(crate) fn survive(&mut self) -> Result<bool> {
        let Some(pending) = self.stage.reborn()? else { return Ok(false) };
        let unread = self.stage.unread();
        self.model.polled(&unread)?;
        while self.next_event(Duration::ZERO)? {}
        self.trace("  ", "the process is dead; the model takes over");
        (self.cut, self.linked) = (None, false);
        self.inbox.clear();
        self.model.link_down();
        self.model.reborn(&pending);
        self.take_over()?;
        if self.started {
            self.stage.command("start")?;
        }
        Ok(true)
    }

    pub(crate) fn command(&mut self, line: &str) -> Result<()> {
        match line {
            "start" => self.started = true,
            "close" => (self.started, self.closed) = (false, true),
            _ if line.starts_with("stop") => self.started = false,
            _ => {}
        }
        self.model.command(line);
        self.stage.command(line)
    }

    fn acknowledge(&mut self, id: &Expr) -> Result<()> {
        match self.value(id)? {
            Some(id) => self.stage.command(&format!("ack {}", shown(&id))),
            None => Ok(()),
        }
    }

    /// Takes one more event from the client into the queue.
    pub(crate) fn next_event(&mut self, within: Duration) -> Result<bool> {
        let Some(line) = self.stage.event(within)? else { return Ok(false) };
        self.trace("  event ", &line);
        self.model.event(&line)?;
        if line.starts_with("LACKS") {
            return Err(line); // the shim's language cannot do it: the conductor lists the run as skipped
        }
        if !self.serving {
            self.events.push_back(line);
        }
        Ok(true)
    }

    /// Turns to the next connection.
    pub(crate) fn accept(&mut self, within: Duration) -> Result<bool> {
        let unread = self.stage.unread();
        self.model.polled(&unread)?;
        if !self.stage.link(within)? {
            return Ok(false);
        }
        self.inbox.clear();
        self.linked = true;
        self.model.link_up();
        Ok(true)
    }

    /// The next whole packet; `None` when the model took over or nothing came.
    pub(crate) fn next_packet(&mut self, within: Duration) -> Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.whole_packet()? {
                return Ok(Some(packet));
            }
            match self.read(within)? {
                Read::Bytes(_) if self.serving => return Ok(None),
                Read::Bytes(_) => {}
                Read::Closed => return Err("the client closed the connection".into()),
                Read::Nothing => return Ok(None),
            }
        }
    }

    pub(crate) fn whole_packet(&mut self) -> Result<Option<Packet>> {
        let blame = |error: String| format!("the client sent a malformed packet: {error}");
        match bytes::frame(&self.inbox).map_err(blame)? {
            Some(length) if length <= self.inbox.len() => {
                let bytes = self.inbox.split_to(length);
                let packet = bytes::decode(self.run.level, &bytes).map_err(blame)?;
                self.trace("  -> ", &packet.to_string());
                for reply in self.model.received(&packet) {
                    if self.serving && self.linked {
                        self.send(&bytes::encode(self.run.level, &reply)?, Some(reply))?;
                    }
                }
                Ok(Some(packet))
            }
            _ => Ok(None),
        }
    }

    /// Reads into the inbox, and cuts where a cut is due.
    pub(crate) fn read(&mut self, within: Duration) -> Result<Read> {
        let read = self.stage.read(within)?;
        if let Read::Bytes(bytes) = &read {
            self.model.polled(bytes)?;
            let mut taken = bytes.as_slice();
            if let Some(CutAt::FromClient(at)) = self.cut {
                if self.report.from_client + bytes.len() >= at {
                    taken = &bytes[..at - self.report.from_client];
                }
            }
            self.report.from_client += taken.len();
            self.inbox.extend_from_slice(taken);
            if self.cut == Some(CutAt::FromClient(self.report.from_client)) {
                while self.whole_packet()?.is_some() {}
                self.cut_and_take_over()?;
            }
        }
        Ok(read)
    }

    /// The script is over: what comes now belongs to no cut.
    pub(crate) fn finishing(&mut self) {
        self.cut = None;
        self.report.script = (self.report.from_client, self.report.from_server);
    }

    fn cut_and_take_over(&mut self) -> Result<()> {
        self.trace("  ", "cut; the model takes over");
        self.cut = None;
        self.lose_link(false)?;
        self.take_over()
    }

    pub(crate) fn take_over(&mut self) -> Result<()> {
        self.serving = true;
        self.stage.refuse(false)?;
        self.stage.stall(false)?;
        self.events.clear();
        Ok(())
    }

    pub(crate) fn lose_link(&mut self, orderly: bool) -> Result<()> {
        let unread = self.stage.unread();
        self.model.polled(&unread)?;
        self.linked = false;
        self.inbox.clear();
        self.model.link_down();
        self.stage.cut(orderly)
    }

    fn send_packet(&mut self, kind: Kind, fields: &[(String, Expr)]) -> Result<()> {
        let mut packet = Packet::new(kind);
        for (name, value) in fields {
            let (name, _) = bytes::field(name).ok_or("field")?;
            if let Some(value) = self.value(value)? {
                packet.fields.push((name, value));
            }
        }
        let bytes = bytes::encode(self.run.level, &packet)?;
        self.send(&bytes, Some(packet))
    }

    /// Sends bytes; cuts where a cut is due.
    pub(crate) fn send(&mut self, bytes: &[u8], packet: Option<Packet>) -> Result<()> {
        let shown = packet.as_ref().map_or_else(|| crate::text::hex(bytes), Packet::to_string);
        self.trace("  <- ", &shown);
        if !self.linked {
            return Err("there is no connection".into());
        }
        if let Some(packet) = &packet {
            self.model.will_send(packet);
        }
        let mut arriving = bytes;
        let mut cut = false;
        if let Some(CutAt::FromServer(at)) = self.cut {
            cut = self.report.from_server + bytes.len() >= at;
            if cut {
                arriving = &bytes[..at - self.report.from_server];
            }
        }
        self.report.from_server += arriving.len();
        let heard = self.stage.send(arriving)? && arriving.len() == bytes.len();
        if let Some(packet) = packet.filter(|_| heard) {
            self.model.arrived(&packet);
        }
        if cut {
            self.cut_and_take_over()?;
        }
        Ok(())
    }

    fn cut_link(&mut self, cut: Cut) -> Result<()> {
        if let Cut::After(count) = cut {
            while self.inbox.len() < count {
                match self.read(self.patience(PATIENCE))? {
                    _ if self.serving => return Ok(()),
                    Read::Bytes(_) => {}
                    _ => return Err(format!("only {} bytes came", self.inbox.len())),
                }
            }
            self.inbox.truncate(count);
            while self.whole_packet()?.is_some() {}
        }
        self.lose_link(cut == Cut::Fin)
    }

    pub(crate) fn value(&self, expr: &Expr) -> Result<Option<Value>> {
        match expr {
            Expr::Value(value) => Ok(Some(value.clone())),
            Expr::Absent => Ok(None),
            Expr::Field(name, field) => {
                let found = self.bindings.get(&(name.clone(), field.clone()));
                found.cloned().map(Some).ok_or_else(|| format!("{name} has no field {field}"))
            }
        }
    }

    pub(crate) fn trace(&mut self, how: &str, what: &str) {
        let end = what.char_indices().nth(300).map_or(what.len(), |(at, _)| at);
        self.report.trace.push(format!("{how}{}", &what[..end]));
    }
}

pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
