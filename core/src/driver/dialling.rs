//! The driver's part in connecting: ways to the server, the one beside the link among them, and hanging up.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use remqtt_proto::{Attempt, Error, ErrorCode, Input, Instant};

use super::{Driver, Link, Scratch};
use crate::budget;
use crate::transport::{self, Road, Way};

/// How long a connection that is hung up may take to send the rest and to hear the other side's end.
const LINGER: Duration = Duration::from_secs(1);

impl Driver {
    fn road(&mut self, attempt: Attempt) -> Result<Road, Error> {
        let (url, referred) = self.engine.server(attempt).unwrap_or_default();
        let dialler = self.shared.queue.lock().dialler.clone();
        let road = self.garage.road(url, self.engine.options(), dialler);
        // What another server calls a server is no option of ours, and no reason to give up.
        road.map_err(
            |error| if referred { Error::new(ErrorCode::ConnectFailed, error.detail) } else { error },
        )
    }

    pub(super) fn dial(&mut self, now: Instant, cx: &mut Context<'_>, attempt: Attempt) {
        match self.road(attempt) {
            Ok(road) => {
                let wait = budget::wait(now);
                if !wait.is_zero() {
                    self.engine.handle(now, Input::Postponed(attempt, wait));
                }
                let way = Way::begin(attempt, road, wait);
                self.greet(&way);
                self.link = Link::Dialling(way);
                // The first packet leaves before the application is told that the connection was lost.
                self.dialled(now, cx);
            }
            Err(error) => self.link_down(now, attempt, error),
        }
    }

    /// Lets a way go on to the CONNECT: at once, or when the application has said who it is.
    fn greet(&mut self, way: &Way) {
        let credentials = self.shared.queue.lock().credentials.clone();
        match credentials {
            None => way.proceed(),
            Some(credentials) => {
                let within = self.engine.options().connect_timeout;
                self.asking = Some((way.attempt, Box::pin(transport::login(credentials, within))));
            }
        }
    }

    /// The application may have said who it is.
    pub(super) fn answered(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some((attempt, answer)) = &mut self.asking else { return false };
        let attempt = *attempt;
        let Poll::Ready(answer) = answer.as_mut().poll(cx) else { return false };
        self.asking = None;
        let Link::Dialling(way) = &self.link else { return true };
        if way.attempt != attempt {
            return true;
        }
        match answer {
            Ok(login) => {
                way.proceed();
                self.engine.handle(now, Input::Login(attempt, login));
            }
            Err(error) => self.link_down(now, attempt, error),
        }
        true
    }

    pub(super) fn begin_probe(&mut self, now: Instant, attempt: Attempt) {
        match self.road(attempt) {
            Ok(road) => self.probe = Some(Way::begin(attempt, road, Duration::ZERO)),
            Err(error) => self.engine.handle(now, Input::LinkDown(attempt, error)),
        }
    }

    /// The way beside the link becomes the link.
    pub(super) fn proceed(&mut self, attempt: Attempt) {
        if let Some(way) = self.probe.take_if(|way| way.attempt == attempt) {
            self.greet(&way);
            self.link = Link::Dialling(way);
        }
    }

    pub(super) fn try_again(&self, attempt: Attempt) {
        let way = if let Link::Dialling(way) = &self.link { Some(way) } else { None };
        for way in way.into_iter().chain(&self.probe).filter(|way| way.attempt == attempt) {
            way.try_again();
        }
    }

    pub(super) fn inspect(&mut self, now: Instant, attempt: Attempt) {
        let transit = if let Link::Up(_, stream) = &self.link { stream.transit() } else { None };
        self.engine.handle(now, Input::Inspected(attempt, transit));
    }

    pub(super) fn dialled(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Link::Dialling(way) = &mut self.link else { return false };
        let attempt = way.attempt;
        let polled = way.poll(cx);
        // While the application is asked the server is not slow: the time that is counted from here has not begun.
        let reached = self.asking.is_none() && way.takes_reached();
        if reached {
            self.engine.handle(now, Input::Reached(attempt));
        }
        let Poll::Ready(result) = polled else { return reached };
        match result {
            Ok(stream) => {
                self.link = Link::Up(attempt, stream);
                self.write_failed = false;
                self.unflushed = false;
                self.reading_paused = false;
                self.engine.handle(now, Input::LinkUp(attempt));
            }
            Err(error) => self.link_down(now, attempt, error),
        }
        true
    }

    /// What became of the way beside the link.
    pub(super) fn probed(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(way) = &mut self.probe else { return false };
        let attempt = way.attempt;
        let polled = way.poll(cx);
        let reached = way.takes_reached();
        if reached {
            self.engine.handle(now, Input::Reached(attempt));
        }
        // It waits at the gate for ever, so whatever ends it is an error.
        let Poll::Ready(Err(error)) = polled else { return reached };
        self.probe = None;
        self.engine.handle(now, Input::LinkDown(attempt, error));
        true
    }

    pub(super) fn link_down(&mut self, now: Instant, attempt: Attempt, error: Error) {
        self.link = Link::Down;
        self.unsent = BytesMut::new();
        self.engine.handle(now, Input::LinkDown(attempt, error));
    }

    /// Lets the rest go out in the background: the next attempt must not wait for a peer that is silent.
    pub(super) fn hang_up(&mut self, now: Instant, attempt: Attempt, scratch: &mut Scratch) {
        if self.probe.as_ref().is_some_and(|way| way.attempt == attempt) {
            self.probe = None;
            return;
        }
        let is_link = match &self.link {
            // What was left to say to it must not be said to the next one.
            Link::Down => true,
            Link::Dialling(way) => way.attempt == attempt,
            Link::Up(link, _) => *link == attempt,
        };
        if !is_link {
            return; // a way beside the link that has ended by itself
        }
        let mut rest = std::mem::take(&mut self.unsent);
        self.engine.poll_transmit(now, &mut scratch.transmit);
        rest.unsplit(scratch.transmit.split());
        if let Link::Up(_, mut stream) = std::mem::replace(&mut self.link, Link::Down) {
            // What the socket takes at once leaves even if the process ends now.
            let _ = stream.poll_write_all(&mut Context::from_waker(Waker::noop()), &mut rest);
            let presence = self.shared.presence.lingering();
            tokio::spawn(async move {
                let _ = tokio::time::timeout(LINGER, stream.end(rest)).await;
                drop(presence);
            });
        }
    }
}
