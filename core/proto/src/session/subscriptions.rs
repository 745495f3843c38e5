//! Subscriptions: what the application wants, what the server granted, and the requests on their way.
//!
//! A filter is wanted from the call that asks for it until the call that gives it up, or until the server refuses
//! it. Wanted filters are restored when the server lost the session. A request without an answer is sent again on
//! the next link. A filter that was just restored and that the application asks for again in its own on-connect
//! callback is answered by the restoration (a *claim*): it is not subscribed twice.

use bytestring::ByteString;
use std::collections::{BTreeMap, VecDeque};

use crate::command::Ticket;
use crate::wire::{Properties, Subscription};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Subscribe(Vec<Subscription>),
    Unsubscribe(Vec<ByteString>),
}

/// A SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `None`: a restoration, which nobody waits for.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) kind: RequestKind,
    pub(crate) properties: Properties,
}

impl Request {
    /// How many filters it names.
    pub(crate) fn filters(&self) -> usize {
        match &self.kind {
            RequestKind::Subscribe(subscriptions) => subscriptions.len(),
            RequestKind::Unsubscribe(filters) => filters.len(),
        }
    }
}

#[derive(Debug)]
struct Wanted {
    /// When it was asked for; restored in this order.
    order: u64,
    subscription: Subscription,
    properties: Properties,
    /// The server's answer in this session.
    granted: Option<u8>,
    /// Restored on this link, and not asked for again since.
    claimable: bool,
}

#[derive(Debug)]
struct Claim {
    ticket: Ticket,
    subscriptions: Vec<Subscription>,
    properties: Properties,
}

#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    wanted: BTreeMap<ByteString, Wanted>,
    order: u64,
    claims: Vec<Claim>,
    /// Not sent on this link, in call order.
    pub(crate) waiting: VecDeque<Request>,
    /// Sent on this link and not answered, by identifier; the number keeps the order of sending.
    asked: BTreeMap<u16, (u64, Request)>,
}

impl Subscriptions {
    /// Takes a subscribe of the application: queues it, or leaves it to the restoration that answers it.
    pub(crate) fn subscribe(
        &mut self,
        ticket: Ticket,
        subscriptions: Vec<Subscription>,
        properties: Properties,
    ) {
        if self.is_restored(&subscriptions, &properties) {
            for subscription in &subscriptions {
                if let Some(wanted) = self.wanted.get_mut(&subscription.filter) {
                    wanted.claimable = false;
                }
            }
            self.claims.push(Claim { ticket, subscriptions, properties });
            return;
        }
        for subscription in &subscriptions {
            self.order += 1;
            let wanted = Wanted {
                order: self.order,
                subscription: subscription.clone(),
                properties: properties.clone(),
                granted: None,
                claimable: false,
            };
            self.wanted.insert(subscription.filter.clone(), wanted);
        }
        self.waiting.push_back(Request {
            ticket: Some(ticket),
            kind: RequestKind::Subscribe(subscriptions),
            properties,
        });
    }

    fn is_restored(&self, subscriptions: &[Subscription], properties: &Properties) -> bool {
        subscriptions.iter().all(|asked| {
            self.wanted.get(&asked.filter).is_some_and(|have| {
                have.claimable && have.subscription == *asked && have.properties == *properties
            })
        })
    }

    pub(crate) fn unsubscribe(&mut self, ticket: Ticket, filters: Vec<ByteString>, properties: Properties) {
        for filter in &filters {
            self.wanted.remove(filter);
        }
        self.waiting.push_back(Request {
            ticket: Some(ticket),
            kind: RequestKind::Unsubscribe(filters),
            properties,
        });
    }

    /// Gives a request up before it was sent: what it asked for is not wanted.
    pub(crate) fn withdraw(&mut self, request: &Request) {
        if let RequestKind::Subscribe(subscriptions) = &request.kind {
            for subscription in subscriptions {
                self.wanted.remove(&subscription.filter);
            }
        }
    }

    /// The requests that restore every wanted filter which no waiting request asks for anyway: one for each set of
    /// properties, because these belong to a whole SUBSCRIBE.
    pub(crate) fn restoration(&mut self) -> Vec<Request> {
        let on_their_way: Vec<&ByteString> = self
            .waiting
            .iter()
            .filter_map(|request| match &request.kind {
                RequestKind::Subscribe(subscriptions) => Some(subscriptions.iter().map(|s| &s.filter)),
                RequestKind::Unsubscribe(_) => None,
            })
            .flatten()
            .collect();
        let on_their_way: std::collections::BTreeSet<ByteString> =
            on_their_way.into_iter().cloned().collect();
        let mut wanted: Vec<&mut Wanted> = self.wanted.values_mut().collect();
        wanted.sort_unstable_by_key(|wanted| wanted.order);
        let mut requests: Vec<Request> = Vec::new();
        for wanted in wanted {
            wanted.granted = None;
            if on_their_way.contains(&wanted.subscription.filter) {
                continue;
            }
            wanted.claimable = true;
            let alike = requests.iter_mut().find(|request| request.properties == wanted.properties);
            match alike.map(|request| &mut request.kind) {
                Some(RequestKind::Subscribe(subscriptions)) => {
                    subscriptions.push(wanted.subscription.clone())
                }
                _ => requests.push(Request {
                    ticket: None,
                    kind: RequestKind::Subscribe(vec![wanted.subscription.clone()]),
                    properties: wanted.properties.clone(),
                }),
            }
        }
        requests
    }

    /// Forgets what was wanted, but not what is on its way.
    pub(crate) fn forget(&mut self) {
        let waiting: Vec<ByteString> = self
            .waiting
            .iter()
            .filter_map(|request| match &request.kind {
                RequestKind::Subscribe(subscriptions) => Some(subscriptions.iter().map(|s| s.filter.clone())),
                RequestKind::Unsubscribe(_) => None,
            })
            .flatten()
            .collect();
        self.wanted.retain(|filter, _| waiting.contains(filter));
    }

    pub(crate) fn sent(&mut self, identifier: u16, request: Request) {
        self.order += 1;
        self.asked.insert(identifier, (self.order, request));
    }

    /// How many filters the request under this identifier asked for, and whether it is a SUBSCRIBE.
    pub(crate) fn asked(&self, identifier: u16) -> Option<(usize, bool)> {
        let (_, request) = self.asked.get(&identifier)?;
        Some((request.filters(), matches!(request.kind, RequestKind::Subscribe(_))))
    }

    /// The server answered this request. Claims may be settled now.
    pub(crate) fn answered(&mut self, identifier: u16, codes: &[u8]) -> Option<Request> {
        let (_, request) = self.asked.remove(&identifier)?;
        if let RequestKind::Subscribe(subscriptions) = &request.kind {
            for (subscription, code) in subscriptions.iter().zip(codes) {
                let same =
                    self.wanted.get_mut(&subscription.filter).filter(|w| w.subscription == *subscription);
                match same {
                    Some(_) if *code >= 0x80 && request.ticket.is_some() => {
                        self.wanted.remove(&subscription.filter);
                    }
                    Some(wanted) => wanted.granted = Some(*code),
                    None => {}
                }
            }
        }
        Some(request)
    }

    /// Takes out the claims whose every filter has an answer, with their reason codes.
    pub(crate) fn settle_claims(&mut self) -> Vec<(Ticket, Vec<u8>)> {
        let mut settled = Vec::new();
        for claim in std::mem::take(&mut self.claims) {
            // A filter that was given up meanwhile counts as granted: the unsubscribe has its own answer.
            let granted = |s: &Subscription| match self.wanted.get(&s.filter) {
                Some(wanted) => wanted.granted,
                None => Some(s.qos as u8),
            };
            match claim.subscriptions.iter().map(granted).collect() {
                Some(codes) => settled.push((claim.ticket, codes)),
                None => self.claims.push(claim),
            }
        }
        settled
    }

    /// No restoration is without an answer.
    pub(crate) fn is_restored_fully(&self) -> bool {
        self.asked.values().all(|(_, request)| request.ticket.is_some())
    }

    /// The application is past its on-connect callback: no more claims.
    pub(crate) fn end_claims(&mut self) {
        for wanted in self.wanted.values_mut() {
            wanted.claimable = false;
        }
    }

    /// The link is gone: what was asked and not answered waits again, before what waits already. Gives the
    /// identifiers that are free now. Restorations are dropped: the next CONNACK decides about them.
    pub(crate) fn link_lost(&mut self) -> Vec<u16> {
        self.end_claims();
        let mut asked: Vec<(u64, Request)> = Vec::new();
        let mut freed = Vec::new();
        for (identifier, entry) in std::mem::take(&mut self.asked) {
            freed.push(identifier);
            asked.push(entry);
        }
        asked.sort_unstable_by_key(|(order, _)| *order);
        let claims = self.claims.drain(..).map(|claim| Request {
            ticket: Some(claim.ticket),
            kind: RequestKind::Subscribe(claim.subscriptions),
            properties: claim.properties,
        });
        let again = asked.into_iter().map(|(_, request)| request).filter(|request| request.ticket.is_some());
        let mut waiting: VecDeque<Request> = again.chain(claims).collect();
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
        freed
    }

    /// Every ticket that waits for something, for giving up.
    pub(crate) fn give_up(&mut self) -> Vec<Ticket> {
        self.link_lost();
        self.waiting.drain(..).filter_map(|request| request.ticket).collect()
    }

    /// How many filters are wanted.
    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }
}
