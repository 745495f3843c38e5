//! `Core`: the native half of a Python client.

use std::collections::HashMap;
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use remqtt_core::generation;
use remqtt_core::proto::wire;
use remqtt_core::proto::Engine;
use remqtt_core::{
    ByteString, Bytes, Client, Credentials, Dialler, ErrorCode, Options, Publish, QoS, Reason, State,
    Subscription, Ticket, Version, Will,
};

use crate::arguments;
use crate::error::raise;
use crate::events::{outage_dict, Events, Inbox, Target};
use crate::info::{MQTTMessageInfo, NO_CONN, QUEUE_SIZE, SLICE, SUCCESS};
use crate::pool::pool;
use crate::properties::{self, binary, text};
use crate::roads::{Asker, Helper};

/// The longest that a connection takes to leave.
const LEAVING: Duration = Duration::from_secs(1);

/// One filter with QoS, no local, retain as published, retain handling.
type Filter = (String, i64, bool, bool, u8);

/// A publish that was given up.
type Dropped<'py> = (i64, String, Bound<'py, PyBytes>, i64, bool, Bound<'py, PyList>);

/// A client of the core, and the inbox that its events pass through.
#[pyclass(frozen, module = "remqtt._native")]
pub(crate) struct Core {
    client: Client,
    inbox: Arc<Inbox>,
    /// The process, in its line of forks, whose client this is.
    generation: usize,
}

#[pymethods]
impl Core {
    #[new]
    fn new(options: HashMap<String, String>) -> PyResult<Core> {
        let mut all = Options::default();
        for (key, value) in &options {
            all.set(key, value).map_err(raise)?;
        }
        let client = Client::new(all).map_err(raise)?;
        let core = Core { client, inbox: Arc::default(), generation: generation() };
        core.note_options();
        Ok(core)
    }

    /// Sets options by key.
    fn set_options(&self, options: HashMap<String, String>) -> PyResult<()> {
        self.change(|all| {
            for (key, value) in &options {
                all.set(key, value).map_err(raise)?;
            }
            Ok(())
        })
    }

    /// The value of an option, as text.
    fn option(&self, key: &str) -> Option<String> {
        self.client.options().show(key)
    }

    /// Endpoint URLs in order of preference.
    fn set_servers(&self, servers: Vec<String>) -> PyResult<()> {
        self.change(|all| {
            all.servers = servers;
            Ok(())
        })
    }

    /// Headers of the WebSocket handshake.
    fn set_ws_headers(&self, headers: Vec<(String, String)>) -> PyResult<()> {
        self.change(|all| {
            all.ws_headers = headers;
            Ok(())
        })
    }

    /// Authorities that may vouch for the server, in PEM.
    #[pyo3(signature = (pem))]
    fn set_tls_ca(&self, pem: Option<Vec<u8>>) -> PyResult<()> {
        self.change(|all| {
            all.tls_ca = pem.map(Bytes::from);
            Ok(())
        })
    }

    /// From the next attempt on Python encrypts, or makes the headers of the WebSocket handshake, or neither. It is
    /// asked through `Spawns`, with this number.
    fn help_with(&self, client: u64, encrypts: bool, headers: bool) -> PyResult<()> {
        let helper: Option<Arc<dyn Dialler>> = match encrypts || headers {
            true => Some(Arc::new(Helper { client, encrypts, headers })),
            false => None,
        };
        self.client.dial_with(helper).map_err(raise)
    }

    /// Whether Python is asked who the client is before each attempt, as `help_with` says.
    fn ask_credentials(&self, client: u64, asks: bool) -> PyResult<()> {
        let asker = asks.then(|| Arc::new(Asker { client }) as Arc<dyn Credentials>);
        self.client.ask_credentials(asker).map_err(raise)
    }

    /// Answers an AUTH of the server; None: asks it to authenticate the connection anew.
    #[pyo3(signature = (exchange, data, properties))]
    fn authenticate(
        &self,
        exchange: Option<u64>,
        data: Option<Bound<'_, PyAny>>,
        properties: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let data = data.map(|data| binary(&data)).transpose()?;
        let properties = properties::read(properties.as_ref())?;
        self.client.authenticate(exchange, data, properties).map_err(raise)
    }

    /// Does not answer it. Without effect on a client that is closed.
    fn refuse_authentication(&self, exchange: u64) {
        let _ = self.client.refuse_authentication(exchange);
    }

    /// User name (str) and password (bytes or str).
    #[pyo3(signature = (username, password))]
    fn set_credentials(
        &self,
        username: Option<Bound<'_, PyAny>>,
        password: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let username = username.map(|username| text(&username)).transpose()?;
        let password = password.map(|password| binary(&password)).transpose()?;
        self.change(|all| {
            (all.username, all.password) = (username, password);
            Ok(())
        })
    }

    /// Sets the last will.
    #[pyo3(signature = (topic, payload, qos, retain, properties))]
    fn set_will(
        &self,
        topic: Option<Bound<'_, PyAny>>,
        payload: Option<Bound<'_, PyAny>>,
        qos: i64,
        retain: bool,
        properties: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let will = Will {
            topic: arguments::topic(topic.as_ref())?,
            payload: arguments::payload(payload.as_ref())?,
            qos: arguments::qos(qos)?,
            retain,
            properties: properties::read(properties.as_ref())?,
        };
        self.change(|all| {
            all.will = Some(will);
            Ok(())
        })
    }

    /// Takes the last will away.
    fn clear_will(&self) -> PyResult<()> {
        self.change(|all| {
            all.will = None;
            Ok(())
        })
    }

    /// MQTT 5 properties of CONNECT.
    fn set_connect_properties(&self, properties: Bound<'_, PyAny>) -> PyResult<()> {
        let properties = properties::read(Some(&properties))?;
        self.change(|all| {
            all.connect_properties = properties;
            Ok(())
        })
    }

    /// Connects and stays connected until stop().
    fn start(&self) -> PyResult<()> {
        self.inbox.was_connected.store(false, Ordering::Relaxed);
        self.client.start().map_err(raise)
    }

    /// start(), then waits until the transport of the first attempt is up (true) or the attempt has failed (false; its
    /// error is among the events). Does not wait for the CONNACK: the caller may be the one who sends it.
    fn start_and_wait(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        // The last bytes of a connection that is being left would look like the first ones of the new one.
        let _ = py.detach(|| self.client.wait_state(State::Stopped, LEAVING));
        let before = self.client.stats();
        self.start()?;
        let deadline = Instant::now() + seconds(timeout);
        while Instant::now() < deadline {
            let stats = self.client.stats();
            let (state, attempts) = (self.client.state(), stats.connect_attempts - before.connect_attempts);
            if stats.sent_bytes > before.sent_bytes || (attempts > 0 && state == State::Connected) {
                return Ok(true);
            }
            if attempts > 1 || (attempts == 1 && state != State::Connecting) {
                return Ok(false);
            }
            py.check_signals()?;
            let connected = || self.client.wait_state(State::Connected, Duration::from_millis(1));
            // A client that is connected is about to leave, for the new connection.
            if py.detach(connected).is_ok() {
                py.detach(|| std::thread::sleep(Duration::from_micros(200)));
            }
        }
        Ok(false)
    }

    /// Disconnects and stays away until start().
    #[pyo3(signature = (reason_code = 0, properties = None))]
    fn stop(&self, reason_code: u8, properties: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let properties = properties::read(properties.as_ref())?;
        self.client.stop(Reason { reason_code, properties }).map_err(raise)
    }

    /// Gives the client up. What it has accepted may leave within `linger` seconds.
    fn close(&self, linger: f64) {
        let pending = self.client.state() == State::Connected
            && self.client.flush(Duration::ZERO).is_err_and(|error| error.code == ErrorCode::Timeout);
        let client = self.client.clone();
        let finish = move || {
            let _ = client.flush(seconds(linger));
            client.close();
        };
        if !pending || std::thread::Builder::new().name("remqtt-linger".to_owned()).spawn(finish).is_err() {
            self.client.close();
        }
    }

    /// The process ends: from now on only the operating system closes the connection, without a DISCONNECT.
    fn abandon(&self) {
        std::mem::forget(self.client.clone());
    }

    /// Skips the wait before the next attempt.
    fn reconnect_now(&self) -> PyResult<()> {
        self.client.reconnect_now().map_err(raise)
    }

    /// The network has changed.
    fn network_changed(&self) -> PyResult<()> {
        self.client.network_changed().map_err(raise)
    }

    /// 0 stopped, 1 connecting, 2 connected, 3 waiting for the next attempt, 4 closed (or another process's).
    fn state(&self) -> i32 {
        match self.generation == generation() {
            true => self.client.state() as i32,
            false => State::Closed as i32,
        }
    }

    /// Waits for a state; false when it did not come in time.
    fn wait_state(&self, py: Python<'_>, state: i32, timeout: f64) -> bool {
        let states = [State::Stopped, State::Connecting, State::Connected, State::Waiting, State::Closed];
        let Some(state) = usize::try_from(state).ok().and_then(|at| states.get(at).copied()) else {
            return false;
        };
        py.detach(|| self.client.wait_state(state, seconds(timeout))).is_ok()
    }

    /// Waits until everything accepted is durable in the store; false when that took too long.
    #[pyo3(signature = (timeout))]
    fn sync(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let ticket = self.client.sync().map_err(raise)?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(seconds(timeout)));
        loop {
            let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
            match py.detach(|| self.client.wait(ticket, left.min(SLICE))) {
                Ok(()) => return Ok(true),
                Err(error) if error.code != ErrorCode::Timeout => return Err(raise(error)),
                Err(_) if left < SLICE => return Ok(false),
                Err(_) => py.check_signals()?,
            }
        }
    }

    /// Waits until every accepted operation is complete; false when that took too long.
    fn flush(&self, py: Python<'_>, timeout: f64) -> bool {
        py.detach(|| self.client.flush(seconds(timeout))).is_ok()
    }

    /// Publishes; see Client.publish.
    #[pyo3(signature = (topic, payload, qos, retain, properties, drop_offline, level = None))]
    #[allow(clippy::too_many_arguments)]
    fn publish(
        &self,
        topic: Option<&Bound<'_, PyAny>>,
        payload: Option<&Bound<'_, PyAny>>,
        qos: i64,
        retain: bool,
        properties: Option<&Bound<'_, PyAny>>,
        drop_offline: bool,
        level: Option<&str>,
    ) -> PyResult<MQTTMessageInfo> {
        let level = level.map(arguments::level).transpose()?;
        let publish = Publish {
            topic: arguments::topic(topic)?,
            qos: arguments::qos(qos)?,
            payload: arguments::payload(payload)?,
            retain,
            properties: properties::read(properties)?,
        };
        Engine::check_publish(&self.client.options(), &publish).map_err(raise)?;
        let (state, qos) = (self.client.state(), publish.qos);
        let ticket = self.client.next_ticket();
        let mid = mid(ticket);
        if qos == QoS::AtMostOnce && drop_offline && !self.expects_connection(state) {
            return Ok(MQTTMessageInfo::refused(mid, NO_CONN));
        }
        match self.client.publish_at(ticket, publish, level) {
            Ok(()) => {
                let rc = if qos != QoS::AtMostOnce && state == State::Stopped { NO_CONN } else { SUCCESS };
                Ok(MQTTMessageInfo::accepted(mid, rc, self.client.clone(), ticket))
            }
            Err(error) if error.code == ErrorCode::QueueFull => Ok(MQTTMessageInfo::refused(mid, QUEUE_SIZE)),
            Err(error) if error.code == ErrorCode::NotConnected => Ok(MQTTMessageInfo::refused(mid, NO_CONN)),
            Err(error) => Err(raise(error)),
        }
    }

    /// Gives up what is not delivered: (mid, topic, payload, QoS, retain, properties) of each, oldest first.
    fn drop_publishes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Dropped<'py>>> {
        let dropped = py.detach(|| self.client.drop_publishes()).map_err(raise)?;
        let show = |(ticket, publish): (Ticket, Publish)| {
            let payload = PyBytes::new(py, &publish.payload);
            let properties = properties::show(py, &publish.properties)?;
            Ok((
                mid(ticket),
                publish.topic.to_string(),
                payload,
                publish.qos as i64,
                publish.retain,
                properties,
            ))
        };
        dropped.into_iter().map(show).collect()
    }

    /// Subscribes; returns the mid.
    fn subscribe(&self, filters: Vec<Filter>, properties: Option<Bound<'_, PyAny>>) -> PyResult<i64> {
        let subscriptions = filters.into_iter().map(|(filter, qos, no_local, as_published, handling)| {
            Ok(Subscription {
                filter: ByteString::from(filter),
                qos: arguments::qos(qos)?,
                no_local,
                retain_as_published: as_published,
                retain_handling: handling,
            })
        });
        let subscriptions = subscriptions.collect::<PyResult<Vec<_>>>()?;
        let properties = properties::read(properties.as_ref())?;
        self.client.subscribe(subscriptions, properties).map(mid).map_err(raise)
    }

    /// Unsubscribes; returns the mid.
    fn unsubscribe(&self, filters: Vec<String>, properties: Option<Bound<'_, PyAny>>) -> PyResult<i64> {
        let filters = filters.into_iter().map(ByteString::from).collect();
        let properties = properties::read(properties.as_ref())?;
        self.client.unsubscribe(filters, properties).map(mid).map_err(raise)
    }

    /// Acknowledges the latest message with this packet identifier.
    fn acknowledge(&self, mid: u16) -> PyResult<bool> {
        let delivery = self.inbox.deliveries.lock().as_mut().and_then(|deliveries| deliveries.remove(&mid));
        match delivery {
            Some(delivery) => self.client.acknowledge(delivery).map(|()| true).map_err(raise),
            None => Ok(false),
        }
    }

    /// The statistics by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let stats = self.client.stats();
        for ((name, _), value) in remqtt_core::Stats::TABLE.iter().zip(stats.values()) {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// The last outages.
    fn timeline<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.client.timeline().iter().map(|outage| outage_dict(py, outage)).collect()
    }

    /// The events that are there, waiting up to `timeout` seconds for the first; None when there are none.
    fn pull(&self, py: Python<'_>, timeout: f64) -> Option<Events> {
        let batch = py.detach(|| self.client.pull(seconds(timeout)).detach());
        (!batch.is_empty()).then(|| Events::new(batch, None, self.inbox.clone()))
    }

    /// A descriptor that is readable while events wait.
    fn event_fd(&self) -> PyResult<i32> {
        self.client.event_fd().map_err(raise)
    }

    /// Another descriptor of the connection's socket, which the caller closes; None without a connection.
    fn duplicate_socket(&self, py: Python<'_>) -> Option<RawFd> {
        py.detach(|| self.client.duplicate_socket()).map(IntoRawFd::into_raw_fd)
    }

    /// Makes a pull() that is waiting return.
    fn interrupt(&self) {
        self.client.interrupt();
    }

    /// From now on the pool's threads take the events; `target` is kept alive meanwhile.
    fn dispatch(&self, target: Py<PyAny>) {
        self.client.dispatch_on(pool(), Arc::new(Target { client: target, inbox: self.inbox.clone() }));
    }

    /// The pool's threads take no further events. A batch that is being worked on goes on.
    fn dispatch_stop(&self) {
        self.client.dispatch_stop();
    }

    /// True while a thread works on a batch.
    fn busy(&self) -> bool {
        self.inbox.busy.load(Ordering::Acquire) > 0
    }

    /// Whether the canonical text of every event comes before it.
    fn set_with_text(&self, on: bool) {
        self.inbox.with_text.store(on, Ordering::Relaxed);
    }
}

impl Core {
    fn change(&self, change: impl FnOnce(&mut Options) -> PyResult<()>) -> PyResult<()> {
        let mut options = (*self.client.options()).clone();
        change(&mut options)?;
        self.client.reconfigure(options).map_err(raise)?;
        self.note_options();
        Ok(())
    }

    /// The inbox knows what it needs of the options.
    fn note_options(&self) {
        let options = self.client.options();
        self.inbox.version5.store(options.protocol_version == Version::V5, Ordering::Relaxed);
        let mut deliveries = self.inbox.deliveries.lock();
        match options.manual_ack {
            true => drop(deliveries.get_or_insert_default()),
            false => *deliveries = None,
        }
    }

    /// Connected, or on the way for the first time since start(): paho sends a QoS 0 message then.
    fn expects_connection(&self, state: State) -> bool {
        match state {
            State::Connected => {
                self.inbox.was_connected.store(true, Ordering::Relaxed);
                true
            }
            State::Connecting => !self.inbox.was_connected.load(Ordering::Relaxed),
            State::Stopped | State::Waiting | State::Closed => false,
        }
    }
}

/// A time that Python gives; nonsense is none, and no wait is longer than a day.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}

/// The message identifier of a ticket: it counts publishes, subscribes and unsubscribes as paho's does, and is the
/// packet identifier too wherever that is free.
fn mid(ticket: Ticket) -> i64 {
    ((ticket - 1) % 65_535 + 1) as i64
}

/// Why a topic filter is invalid, or None.
#[pyfunction]
pub(crate) fn check_filter(filter: &str) -> Option<&'static str> {
    wire::check_filter(filter).err()
}
