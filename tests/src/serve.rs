//! The parts of a play that follow no script: the model as the peer, and the end.

use std::time::Duration;

use crate::bytes::Kind;
use crate::play::Play;
use crate::script::{Action, PATIENCE};
use crate::stage::{Read, Stage};

type Result<T> = std::result::Result<T, String>;

impl<S: Stage> Play<'_, S> {
    /// A step while the model is the peer: what the client does, and nothing else.
    pub(crate) fn served_step(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::Command(line) => self.command(line)?,
            Action::Advance(time) => self.stage.advance(*time)?,
            _ => {}
        }
        self.pump()
    }

    /// Carries everything to and fro that needs no time.
    pub(crate) fn pump(&mut self) -> Result<()> {
        let mut rounds = 0;
        loop {
            let mut busy = self.survive()?;
            while self.next_event(Duration::ZERO)? {
                busy = true;
            }
            if !self.linked && self.accept(Duration::ZERO)? {
                busy = true;
                let next = self.model.next_cut(self.report.from_client, self.report.from_server);
                self.cut = next.or(self.cut);
            }
            if self.linked {
                busy |= self.serve_link()?;
            }
            for id in if self.model.manual_ack() { self.model.unacknowledged() } else { Vec::new() } {
                self.stage.command(&format!("ack {id}"))?;
            }
            rounds += 1;
            if !busy {
                return Ok(());
            }
            if rounds > 100_000 {
                return Err("client and server talk without end".into());
            }
        }
    }

    fn serve_link(&mut self) -> Result<bool> {
        match self.read(Duration::ZERO)? {
            Read::Bytes(_) => {
                while self.linked && self.whole_packet()?.is_some() {}
                Ok(true)
            }
            Read::Closed => {
                self.linked = false;
                self.model.link_down();
                Ok(true)
            }
            Read::Nothing => Ok(false),
        }
    }

    /// Lets the model serve until nothing is open any more, and closes the books.
    pub(crate) fn serve_to_the_end(&mut self) -> Result<()> {
        let served = self.serve_until_settled();
        // A death excuses a step that waited in vain. It excuses neither of these.
        self.stage.verdict()?;
        self.model.verdict()?;
        served?;
        self.model.balance()
    }

    fn serve_until_settled(&mut self) -> Result<()> {
        self.pump()?;
        if !self.closed {
            if !self.started {
                self.command("start")?;
            }
            let slice = if self.stage.is_real() { Duration::from_millis(2) } else { Duration::from_secs(1) };
            let began = std::time::Instant::now();
            let mut rounds = 0;
            while !(self.linked && self.model.settled()) {
                // Ten minutes of virtual time, or half a minute of the real one.
                rounds += 1;
                let over = if self.stage.is_real() { began.elapsed().as_secs() >= 30 } else { rounds > 600 };
                if over {
                    return Err(format!("it does not settle: {}", self.model.unsettled()));
                }
                self.next_event(slice)?;
                self.pump()?;
            }
            self.command("stop")?;
            self.pump()?;
        }
        Ok(())
    }

    /// The end of a literal play: stop the client, and see that nothing is left over.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.finishing();
        if self.started && self.linked {
            self.command("stop").map_err(|error| format!("at the end: {error}"))?;
            match self.next_packet(self.patience(PATIENCE)) {
                Ok(Some(packet)) if packet.kind == Kind::Disconnect => {}
                Ok(Some(packet)) => return Err(format!("at the end the client had also sent {packet}")),
                Ok(None) => return Err("at the end the client did not disconnect".into()),
                Err(closed) if closed.contains("closed") => {}
                Err(error) => return Err(format!("at the end: {error}")),
            }
            self.see("DISCONNECTED", None, &[], PATIENCE, None)?;
        }
        while self.next_event(Duration::ZERO)? {}
        let loud = ["MESSAGE", "FAILED", "LACKS"];
        match self.events.iter().find(|line| loud.contains(&line.split(' ').next().unwrap_or_default())) {
            Some(line) => Err(format!("at the end there is an event that the script does not see: {line}")),
            None => Ok(()),
        }
    }
}
