//! Subscriptions: what the application wants, what the server granted, and the requests on their way.
//!
//! A filter is wanted from the call that asks for it until the call that gives it up, or until the server refuses
//! it. Wanted filters are restored when the server lost the session. A request without an answer is sent again on
//! the next link. A filter that was just restored and that the application asks for again in its own on-connect
//! callback is answered by the restoration (a *claim*): it is not subscribed twice.

use bytestring::ByteString;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::command::Ticket;
use crate::journal::{Journal, Lsn, StoredSubscription};
use crate::options::LostSubscriptions;
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
    /// What the server has granted and this one is to replace; it stays wanted if this one comes to nothing.
    standing: Option<Box<Wanted>>,
}

impl Wanted {
    /// Whether this subscription of a request is this wish. Restorations may have another retain handling.
    fn is_asked_by(&self, asked: &Subscription, restoration: bool) -> bool {
        let have = &self.subscription;
        let handling = if restoration { have.retain_handling } else { asked.retain_handling };
        *have == Subscription { retain_handling: handling, ..asked.clone() }
    }

    /// What the server holds under this filter.
    fn into_standing(self) -> Option<Box<Wanted>> {
        match self.granted {
            Some(code) if code < 0x80 => Some(Box::new(Wanted { claimable: false, standing: None, ..self })),
            _ => self.standing,
        }
    }
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
    /// Sent on this link and not answered, by identifier.
    asked: BTreeMap<u16, Request>,
    /// Restorations among both. What is left of it when a link is lost must be restored on the next one, whether
    /// the server has a session then or not.
    restoring: usize,
    /// Filters whose wish may have changed since the journal was told.
    changed: Vec<ByteString>,
    /// The last change of the journal that requests rest on: what the server grants is written before.
    pub(crate) rests_on: Lsn,
}

impl Subscriptions {
    /// Takes up a filter that an earlier process wanted.
    pub(crate) fn recover(&mut self, stored: StoredSubscription) {
        let StoredSubscription { order, subscription, properties } = stored;
        self.order = self.order.max(order);
        let filter = subscription.filter.clone();
        let (granted, claimable, standing) = (None, false, None);
        let wanted = Wanted { order, subscription, properties, granted, claimable, standing };
        self.wanted.insert(filter, wanted);
    }

    /// Tells the journal which wishes have changed.
    pub(crate) fn note(&mut self, journal: &mut Journal) {
        for filter in std::mem::take(&mut self.changed) {
            let wanted = self.wanted.get(&filter);
            self.rests_on = journal
                .wanted(&filter, wanted.map(|have| (have.order, &have.subscription, &have.properties)));
        }
    }

    /// Takes a subscribe of the application: queues it, or leaves it to the restoration that answers it. Gives the
    /// reason codes if that is answered already.
    pub(crate) fn subscribe(
        &mut self,
        ticket: Ticket,
        subscriptions: Vec<Subscription>,
        properties: Properties,
    ) -> Option<Vec<u8>> {
        if self.is_restored(&subscriptions, &properties) {
            for subscription in &subscriptions {
                if let Some(wanted) = self.wanted.get_mut(&subscription.filter) {
                    wanted.claimable = false;
                }
            }
            let claim = Claim { ticket, subscriptions, properties };
            let codes = self.granted(&claim);
            self.claims.extend(codes.is_none().then_some(claim));
            return codes;
        }
        for subscription in &subscriptions {
            self.order += 1;
            let wanted = Wanted {
                order: self.order,
                subscription: subscription.clone(),
                properties: properties.clone(),
                granted: None,
                claimable: false,
                standing: self.wanted.remove(&subscription.filter).and_then(Wanted::into_standing),
            };
            self.wanted.insert(subscription.filter.clone(), wanted);
            self.changed.push(subscription.filter.clone());
        }
        let kind = RequestKind::Subscribe(subscriptions);
        self.waiting.push_back(Request { ticket: Some(ticket), kind, properties });
        None
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
            self.changed.push(filter.clone());
        }
        self.waiting.push_back(Request {
            ticket: Some(ticket),
            kind: RequestKind::Unsubscribe(filters),
            properties,
        });
    }

    /// A request cannot be sent on this link, and waits no more. Gives the ticket that fails with it. A restoration is
    /// tried again in halves: for its size, or to find the filter that this server does not take.
    pub(crate) fn unsendable(&mut self, request: Request) -> Option<Ticket> {
        match (request.ticket, request.kind) {
            (None, RequestKind::Subscribe(mut filters)) if filters.len() > 1 => {
                let second = filters.split_off(filters.len() / 2);
                for half in [second, filters] {
                    let (kind, properties) = (RequestKind::Subscribe(half), request.properties.clone());
                    self.waiting.push_front(Request { ticket: None, kind, properties });
                }
                self.restoring += 1;
            }
            (ticket, RequestKind::Subscribe(filters)) => {
                self.restoring -= usize::from(ticket.is_none());
                for subscription in &filters {
                    self.refused(subscription, 0x80, ticket.is_some());
                }
            }
            (_, RequestKind::Unsubscribe(_)) => {}
        }
        request.ticket
    }

    /// The server lost the session: forgets what the policy forgets, and restores every other wanted filter that no
    /// waiting request asks for anyway. Gives the number of filters.
    pub(crate) fn session_lost(&mut self, policy: LostSubscriptions) -> usize {
        let on_their_way = self.on_their_way();
        if policy == LostSubscriptions::Forget {
            self.changed.extend(self.wanted.keys().filter(|filter| !on_their_way.contains(*filter)).cloned());
            self.wanted.retain(|filter, _| on_their_way.contains(filter));
        }
        for (filter, wanted) in &mut self.wanted {
            (wanted.granted, wanted.standing) = (None, None);
            wanted.claimable |= !on_their_way.contains(filter);
        }
        let requests = self.restorations(&on_their_way, |handling| handling);
        self.restoring = requests.len();
        let filters = requests.iter().map(Request::filters).sum();
        requests.into_iter().rev().for_each(|request| self.waiting.push_front(request));
        filters
    }

    /// What restores every wanted filter that no waiting request asks for anyway, for a server that may have the session
    /// or not: with retain handling 1 it repeats no retained message of one that it has.
    pub(crate) fn pipelined(&self) -> Vec<Request> {
        self.restorations(&self.on_their_way(), |handling| handling.max(1))
    }

    /// Asks for every wanted filter but these, with a retain handling made of its own, in the order of the wishes. One
    /// request for each set of properties, because these belong to a whole SUBSCRIBE.
    fn restorations(&self, but: &BTreeSet<ByteString>, handling: fn(u8) -> u8) -> Vec<Request> {
        let mut wanted: Vec<&Wanted> =
            self.wanted.values().filter(|wanted| !but.contains(&wanted.subscription.filter)).collect();
        wanted.sort_unstable_by_key(|wanted| wanted.order);
        let mut requests: Vec<(&Properties, Vec<Subscription>)> = Vec::new();
        for wanted in wanted {
            let retain_handling = handling(wanted.subscription.retain_handling);
            let subscription = Subscription { retain_handling, ..wanted.subscription.clone() };
            match requests.iter_mut().find(|(properties, _)| **properties == wanted.properties) {
                Some((_, subscriptions)) => subscriptions.push(subscription),
                None => requests.push((&wanted.properties, vec![subscription])),
            }
        }
        let request = |(properties, subscriptions): (&Properties, _)| {
            let kind = RequestKind::Subscribe(subscriptions);
            Request { ticket: None, kind, properties: properties.clone() }
        };
        requests.into_iter().map(request).collect()
    }

    /// A restoration that was sent with the CONNECT.
    pub(crate) fn restoring_now(&mut self, identifier: u16, request: Request) {
        self.restoring += 1;
        self.sent(identifier, request);
    }

    /// The session is lost, and its restoration was sent with the CONNECT: it answers whoever asks for the same. Gives
    /// the number of filters.
    pub(crate) fn claim_pipelined(&mut self) -> usize {
        let mut filters = 0;
        for request in self.asked.values() {
            let RequestKind::Subscribe(subscriptions) = &request.kind else { continue };
            for subscription in subscriptions {
                if let Some(wanted) = self.wanted.get_mut(&subscription.filter) {
                    (wanted.granted, wanted.standing, wanted.claimable) = (None, None, true);
                    filters += 1;
                }
            }
        }
        filters
    }

    fn on_their_way(&self) -> BTreeSet<ByteString> {
        let filters = |request: &Request| match &request.kind {
            RequestKind::Subscribe(subscriptions) => subscriptions.iter().map(|s| s.filter.clone()).collect(),
            RequestKind::Unsubscribe(_) => Vec::new(),
        };
        self.waiting.iter().flat_map(filters).collect()
    }

    pub(crate) fn sent(&mut self, identifier: u16, request: Request) {
        self.asked.insert(identifier, request);
    }

    /// How many filters the request under this identifier asked for, and whether it is a SUBSCRIBE.
    pub(crate) fn asked(&self, identifier: u16) -> Option<(usize, bool)> {
        let request = self.asked.get(&identifier)?;
        Some((request.filters(), matches!(request.kind, RequestKind::Subscribe(_))))
    }

    /// The server answered this request. Claims may be settled now.
    pub(crate) fn answered(&mut self, identifier: u16, codes: &[u8]) -> Option<Request> {
        let request = self.asked.remove(&identifier)?;
        self.restoring -= usize::from(request.ticket.is_none());
        if let RequestKind::Subscribe(subscriptions) = &request.kind {
            for (subscription, code) in subscriptions.iter().zip(codes) {
                match self.wanted.get_mut(&subscription.filter) {
                    Some(_) if *code >= 0x80 => self.refused(subscription, *code, request.ticket.is_some()),
                    Some(wanted) if wanted.is_asked_by(subscription, request.ticket.is_none()) => {
                        (wanted.granted, wanted.standing) = (Some(*code), None);
                    }
                    _ => {}
                }
            }
        }
        Some(request)
    }

    /// A filter that the application asked for and does not get is not wanted any more, unless an earlier grant of
    /// it stands. A restoration that is refused stays wanted: this server or the next may think better of it.
    fn refused(&mut self, subscription: &Subscription, code: u8, asked_by_application: bool) {
        let Some(wanted) = self.wanted.get_mut(&subscription.filter) else { return };
        if !wanted.is_asked_by(subscription, !asked_by_application) {
            return;
        }
        if asked_by_application {
            self.changed.push(subscription.filter.clone());
        }
        if !asked_by_application {
            wanted.granted = Some(code);
        } else if let Some(standing) = wanted.standing.take() {
            *wanted = *standing;
        } else {
            self.wanted.remove(&subscription.filter);
        }
    }

    /// Takes out the claims whose every filter has an answer, with their reason codes.
    pub(crate) fn settle_claims(&mut self) -> Vec<(Ticket, Vec<u8>)> {
        let mut settled = Vec::new();
        for claim in std::mem::take(&mut self.claims) {
            match self.granted(&claim) {
                Some(codes) => settled.push((claim.ticket, codes)),
                None => self.claims.push(claim),
            }
        }
        settled
    }

    /// The answers to a claim, if there is one to every filter of it.
    fn granted(&self, claim: &Claim) -> Option<Vec<u8>> {
        // A filter that was given up meanwhile counts as granted: the unsubscribe has its own answer.
        let granted = |s: &Subscription| match self.wanted.get(&s.filter) {
            Some(wanted) => wanted.granted,
            None => Some(s.qos as u8),
        };
        claim.subscriptions.iter().map(granted).collect()
    }

    /// No restoration is without an answer.
    pub(crate) fn is_restored_fully(&self) -> bool {
        self.restoring == 0
    }

    /// The application is past its on-connect callback: no more claims.
    pub(crate) fn end_claims(&mut self) {
        for wanted in self.wanted.values_mut() {
            wanted.claimable = false;
        }
    }

    /// The link is gone: what was asked and not answered waits again, everything in the order of the calls. Gives the
    /// identifiers that are free now. Restorations are dropped, to be made anew after the next CONNACK.
    pub(crate) fn link_lost(&mut self) -> Vec<u16> {
        self.end_claims();
        let (freed, asked): (Vec<u16>, Vec<Request>) = std::mem::take(&mut self.asked).into_iter().unzip();
        let claims = self.claims.drain(..).map(|claim| Request {
            ticket: Some(claim.ticket),
            kind: RequestKind::Subscribe(claim.subscriptions),
            properties: claim.properties,
        });
        let waiting = std::mem::take(&mut self.waiting);
        let all = asked.into_iter().chain(claims).chain(waiting);
        let mut requests: Vec<Request> = all.filter(|request| request.ticket.is_some()).collect();
        requests.sort_by_key(|request| request.ticket); // a ticket is the number of its call
        self.waiting = requests.into();
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
