//! Enhanced authentication (MQTT 5, section 4.12): AUTH packets, whose turn it is, and how long that may take.
//!
//! ```text
//! after a CONNECT with a method:     Server --AUTH 0x18--> Ours --our AUTH 0x18--> Server ... --CONNACK--> Nobody
//! on a link that is up:    Nobody --our AUTH 0x19--> Server --AUTH 0x18--> Ours ... Server --AUTH 0x00--> Nobody
//! ```
//!
//! The engine knows no method. The application gets each AUTH of the server as [`Event::Auth`] and answers it by its
//! number, so what was meant for one connection, or for one step, never reaches another one. The connect timeout
//! bounds the whole exchange; only the server's silence, and not the application's, is a reason to seek another way.

use crate::engine::Engine;
use crate::error::{Error, ErrorCode};
use crate::event::{Auth, Event};
use crate::link::{Link, LinkPhase};
use crate::time::Instant;
use crate::wire::{self, Properties, PropertyId, PropertyValue, Reason};

/// "Success", "continue authentication" and "re-authenticate". [MQTT-3.15.2-1]
const SUCCESS: u8 = 0x00;
const CONTINUE: u8 = 0x18;
const AGAIN: u8 = 0x19;
/// "Unspecified error", for a DISCONNECT.
const FAILED: u8 = 0x80;

/// Number of an AUTH of the server that wants an answer: unique for the life of the client and never 0.
pub type Exchange = u64;

/// Who has to say something next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing is under way.
    #[default]
    Nobody,
    Server,
    /// The application, to the AUTH with this number.
    Ours(Exchange),
}

impl Engine {
    /// When an attempt, an exchange or a farewell takes too long. What we do not read cannot be late.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let link = self.link.as_ref()?;
        let unread = link.reading_paused && matches!(link.phase, LinkPhase::Greeting | LinkPhase::Live);
        link.deadline.filter(|_| !unread)
    }

    /// An attempt, or the exchange on a link that is up, was not complete in time.
    pub(crate) fn overdue(&mut self, now: Instant) {
        let Some(link) = &self.link else { return };
        let error = match link.turn {
            Turn::Ours(_) => {
                let why = "the server's AUTH was not answered within the connect timeout";
                Error::new(ErrorCode::AuthenticationFailed, why)
            }
            _ if link.is_live() => Error::new(ErrorCode::ConnectTimeout, "AUTH was not answered"),
            _ if self.options.reconnect && link.phase == LinkPhase::Greeting => return self.keep_late(now),
            _ => ErrorCode::ConnectTimeout.into(),
        };
        self.leave(now, FAILED, error);
    }

    /// An AUTH of the server has come.
    pub(crate) fn auth(&mut self, now: Instant, auth: Reason) {
        let Some(link) = &mut self.link else { return };
        if let Some(why) = out_of_place(link, &auth) {
            return self.violation(now, 0x82, why);
        }
        if auth.reason_code == CONTINUE {
            self.exchanges += 1;
            link.turn = Turn::Ours(self.exchanges);
        } else {
            link.turn = Turn::Nobody;
            link.deadline = link.deadline.filter(|_| link.phase != LinkPhase::Live);
        }
        let exchange = if let Turn::Ours(exchange) = link.turn { Some(exchange) } else { None };
        if !link.is_live() {
            self.step_answered(now);
        }
        let Reason { reason_code, properties } = auth;
        self.emit(Event::Auth(Box::new(Auth { exchange, reason_code, properties })));
    }

    /// The application answers an AUTH, or wants to be authenticated anew. What comes too late, or twice, is ignored.
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        exchange: Option<Exchange>,
        mut properties: Properties,
    ) {
        let within = self.options.connect_timeout;
        let Some(link) = &mut self.link else { return };
        let Some(method) = link.announced.method.clone() else { return }; // [MQTT-4.12.0-7]
        let reason_code = match (exchange, link.turn) {
            (Some(answered), Turn::Ours(open)) if answered == open => CONTINUE, // [MQTT-4.12.0-3]
            (None, Turn::Nobody) if link.phase == LinkPhase::Live => AGAIN,
            _ => return,
        };
        // The same as in CONNECT. [MQTT-4.12.0-5, MQTT-4.12.1-1]
        properties.0.insert(0, (PropertyId::AuthenticationMethod, PropertyValue::Text(method)));
        let auth = Reason { reason_code, properties };
        if let Err(why) = wire::encode_auth(&auth, link.limits.maximum_packet_size, &mut link.control) {
            let error = Error { code: ErrorCode::AuthenticationFailed, ..Error::from(why) };
            return self.leave(now, FAILED, error);
        }
        link.turn = Turn::Server;
        if reason_code == AGAIN {
            link.deadline = Some(now + within);
        } else if !link.is_live() {
            self.asked_again(now);
        }
    }

    /// The application will not answer an AUTH. [MQTT-4.12.1-2]
    pub(crate) fn refuse_authentication(&mut self, now: Instant, exchange: Exchange) {
        if self.link.as_ref().is_some_and(|link| link.turn == Turn::Ours(exchange)) {
            self.leave(now, FAILED, ErrorCode::AuthenticationFailed.into());
        }
    }
}

/// Why the server may not send this AUTH now.
fn out_of_place(link: &Link, auth: &Reason) -> Option<&'static str> {
    if link.announced.method.is_none() {
        return Some("AUTH without an authentication method in CONNECT"); // [MQTT-4.12.0-6]
    }
    if link.names_another_method(&auth.properties) {
        return Some("AUTH with another authentication method"); // [MQTT-4.12.0-5]
    }
    match (auth.reason_code, link.turn) {
        (CONTINUE, Turn::Server) => None,
        // Before the CONNACK, that says so.
        (SUCCESS, Turn::Server) if link.is_live() => None,
        (SUCCESS | CONTINUE, _) => Some("an AUTH that nobody waits for"),
        _ => Some("AUTH with a reason code that it cannot have"), // [MQTT-3.15.2-1]
    }
}

impl Link {
    /// True for a method other than that of our CONNECT. That none is named is for the packet's own rules.
    pub(crate) fn names_another_method(&self, properties: &Properties) -> bool {
        let named = properties.text(PropertyId::AuthenticationMethod);
        named.is_some() && named != self.announced.method.as_ref()
    }
}
