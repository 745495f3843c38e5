//! Ways to the peer, as the simulated network lays them: the link, and the one beside it.

use remqtt_proto::{Attempt, Error, ErrorCode, Input};

use super::{Pipe, World};
use crate::stage::Outcome;

impl World {
    pub(super) fn dial(&mut self, attempt: Attempt) -> Outcome<()> {
        if self.network.up.is_some() || self.network.dialled.is_some() {
            return Err("a dial while there is another link".into());
        }
        if let Some(since) = self.down_since.take() {
            let options = self.engine.as_ref().map_or(&self.options, |engine| engine.options());
            let bound = options.reconnect_max_delay.max(options.refused_min_delay * 7 / 3);
            if self.now.since(since) > bound {
                return Err(format!("dialled {:?} after the link went down", self.now.since(since)));
            }
        }
        self.knock(attempt)
    }

    /// A try of the attempt reaches the peer, or not.
    fn knock(&mut self, attempt: Attempt) -> Outcome<()> {
        self.network.dialled = Some(attempt);
        if self.network.refuse {
            self.network.dialled = None;
            return self.link_down(attempt, Error::new(ErrorCode::ConnectFailed, "refused"));
        }
        if self.network.ignore {
            return Ok(());
        }
        (self.network.dialled, self.network.up) = (None, Some(attempt));
        self.pipes.push_back(Pipe::default());
        self.handle(Input::LinkUp(attempt))
    }

    /// The way beside the link: as far as TCP, which this peer does not see.
    pub(super) fn probe(&mut self, attempt: Attempt) -> Outcome<()> {
        if self.network.probe.is_some() {
            return Err("a second way beside the link while there is one".into());
        }
        self.network.probe = Some((attempt, false));
        self.knock_beside(attempt)
    }

    fn knock_beside(&mut self, attempt: Attempt) -> Outcome<()> {
        if self.network.refuse {
            self.network.probe = None;
            return self.handle(Input::LinkDown(attempt, Error::new(ErrorCode::ConnectFailed, "refused")));
        }
        if self.network.ignore {
            return Ok(());
        }
        self.network.probe = Some((attempt, true));
        self.handle(Input::Reached(attempt))
    }

    /// It becomes the link.
    pub(super) fn proceed(&mut self, attempt: Attempt) -> Outcome<()> {
        let Some((_, reached)) = self.network.probe.take().filter(|(probe, _)| *probe == attempt) else {
            return Err("the way to go on with is not there".into());
        };
        if self.network.up.is_some() || self.network.dialled.is_some() {
            return Err("a second way becomes a link while there is one".into());
        }
        self.down_since = None;
        match reached {
            true => self.knock(attempt),
            false => {
                self.network.dialled = Some(attempt);
                Ok(())
            }
        }
    }

    pub(super) fn try_again(&mut self, attempt: Attempt) -> Outcome<()> {
        match self.network.probe {
            _ if self.network.dialled == Some(attempt) => self.knock(attempt),
            Some((probe, false)) if probe == attempt => self.knock_beside(attempt),
            _ => Err("another try where nothing is unanswered".into()),
        }
    }

    pub(super) fn hang_up(&mut self, attempt: Attempt) -> Outcome<()> {
        if self.network.probe.is_some_and(|(probe, _)| probe == attempt) {
            self.network.probe = None;
            return Ok(());
        }
        if self.network.up == Some(attempt) {
            let rest = self.poll_transmit()?;
            if let Some(pipe) = self.pipes.back_mut() {
                pipe.inbox.extend(rest);
                pipe.closed = true;
            }
        } else if self.network.dialled != Some(attempt) {
            return Ok(()); // crossed with the news that the link is down
        }
        (self.network.up, self.network.dialled) = (None, None);
        self.link_down(attempt, Error::new(ErrorCode::ConnectionLost, "hung up"))
    }

    pub(super) fn link_down(&mut self, attempt: Attempt, error: Error) -> Outcome<()> {
        self.down_since = Some(self.now);
        self.handle(Input::LinkDown(attempt, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::play;
    use crate::script::Scenario;
    use crate::stage::Stage;

    #[test]
    fn an_invariant_that_was_broken_is_remembered_when_nobody_listens() {
        let mut world = World::new(1);
        world.network.up = Some(1);
        let error = world.command("start").err();
        assert!(error.as_ref().is_some_and(|error| error.contains("another link")), "{error:?}");
        assert_eq!(world.verdict().err(), error);
        world.die();
        assert_eq!(world.verdict().err(), error);
    }

    #[test]
    fn a_death_excuses_a_step_and_not_what_was_broken_before() {
        let text = "options store=simulated\nclient start\npeer expect CONNECT\npeer send CONNACK sp=0\n\
                    client publish a \"x\" qos=1 as m1\npeer expect PUBLISH as p1\npeer send PUBACK id=p1.id\n\
                    client see CONNECTED\nclient see PUBLISHED m1";
        let scenario = Scenario::parse("a death", text);
        let runs = scenario.as_ref().map(|scenario| scenario.runs.as_slice());
        for run in runs.unwrap_or_default() {
            let mut world = World::new(1);
            world.die_after(0);
            assert_eq!(play(run, &mut world, None).failure, None);
            let mut world = World::new(1);
            world.die_after(0);
            world.broken = Some("it was broken".into());
            assert_eq!(play(run, &mut world, None).failure, world.broken);
        }
        assert!(runs.is_ok_and(|runs| !runs.is_empty()), "{:?}", scenario.err());
    }
}
