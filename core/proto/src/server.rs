//! Which server is meant. An index names a server only as long as the list of the options stays as it is, and a
//! connection may outlive the list; so whoever needs the server itself keeps its URL.

use std::fmt;
use std::sync::Arc;

use crate::engine::{Attempt, Engine};
use crate::link::Link;

/// The URL of a server. `Debug` leaves out the credentials that may stand in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Url(Arc<str>);

impl Url {
    pub(crate) fn new(url: &str) -> Self {
        Url(url.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(public(&self.0))
    }
}

/// What may be shown of a URL.
pub(crate) fn public(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, host)| host)
}

/// A server that is dialled, whatever becomes of the list.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Its index when it was chosen; one past the last of the list is a server that another one sent us to.
    pub(crate) index: usize,
    /// It is one of the options' list, and not one that another server sent us to.
    pub(crate) listed: bool,
    pub(crate) url: Url,
}

impl Engine {
    /// The URL of the server of this attempt, and whether another server sent us to it; `None` if the attempt is over.
    pub fn server(&self, attempt: Attempt) -> Option<(&str, bool)> {
        let link = self.link.as_ref().map(|link| &link.way);
        let mut ways = link.into_iter().chain(&self.dialling.probe);
        let server = &ways.find(|way| way.attempt == attempt)?.server;
        Some((server.url.as_str(), !server.listed))
    }

    /// The server that a reference leads to, or else the one at this index of the list.
    pub(crate) fn choose(&self, index: usize) -> Server {
        let referred = self.referral.url().cloned();
        let referred = referred.map(|url| Server { index: self.options.servers.len(), listed: false, url });
        referred.unwrap_or_else(|| self.listed(index))
    }

    /// Where the next attempt leads if this link is lost to silence.
    pub(crate) fn after(&self, link: &Link) -> Server {
        let (live, listed) = (link.is_live(), link.way.server.listed);
        let index = self.reconnect.next_endpoint(!live && listed, self.options.servers.len());
        match live && self.referral.is_for_good() {
            true => self.choose(index),
            false => self.listed(index),
        }
    }

    fn listed(&self, index: usize) -> Server {
        let url = self.options.servers.get(index).map_or("", String::as_str);
        Server { index, listed: true, url: Url::new(url) }
    }
}
