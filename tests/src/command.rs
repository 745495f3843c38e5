//! The commands of the shim protocol (`shims/README.md`), parsed once for the Rust shim and for the simulator.

use std::collections::HashMap;

use remqtt_proto::{
    ByteString, Bytes, ErrorCode, Event, Options, Properties, PropertyId, PropertyKind, PropertyValue,
    Publish, QoS, Subscription, Ticket, Will,
};

/// One line of the protocol.
#[derive(Debug, Clone)]
pub enum Command {
    /// `option`, `server`, `username`, `password` or `will`: something for [`Setting::apply`].
    Configure(Setting),
    /// `start`
    Start,
    /// `publish`: the operation's name and the message.
    Publish(String, Publish),
    /// `subscribe`
    Subscribe(String, Vec<Subscription>, Properties),
    /// `unsubscribe`
    Unsubscribe(String, Vec<ByteString>),
    /// `ack`: a packet identifier.
    Ack(u16),
    /// `on_connect`: a command for every `CONNECTED`.
    OnConnect(Box<Command>),
    /// `stop`: a reason code.
    Stop(u8),
    /// `reconnect_now`
    ReconnectNow,
    /// `network_changed`
    NetworkChanged,
    /// `close`
    Close,
    /// `quit`
    Quit,
    /// A command that Rust's types rule out; the error that a call would give.
    Impossible(String, ErrorCode),
}

/// Something that is said before the client is created.
#[derive(Debug, Clone)]
pub enum Setting {
    /// An option of the table.
    Option(String, String),
    /// An endpoint.
    Server(String),
    /// The user name.
    Username(Bytes),
    /// The password.
    Password(Bytes),
    /// The last will.
    Will(Will),
}

impl Command {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Command, String> {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let verb = words.next().ok_or("an empty line")?;
        let words: Vec<&str> = words.collect();
        parse(verb, &words).ok_or_else(|| format!("not a command of the shim protocol: {line:?}"))
    }
}

impl Setting {
    /// Writes the setting into the options.
    pub fn apply(self, options: &mut Options) -> Result<(), remqtt_proto::Error> {
        match self {
            Setting::Option(key, value) => options.set(&key, &value)?,
            Setting::Server(url) => options.servers.push(url),
            Setting::Username(name) => {
                let name = ByteString::try_from(name).map_err(|_| ErrorCode::InvalidArgument)?;
                options.username = Some(name);
            }
            Setting::Password(password) => options.password = Some(password),
            Setting::Will(will) => options.will = Some(will),
        }
        Ok(())
    }
}

fn parse(verb: &str, words: &[&str]) -> Option<Command> {
    let command = match (verb, words) {
        ("option", [key, value]) => Setting::Option(key.to_string(), empty(value).to_string()).into(),
        ("server", [url]) => Setting::Server(url.to_string()).into(),
        ("username", [hex]) => Setting::Username(unhex(hex)?).into(),
        ("password", [hex]) => Setting::Password(unhex(hex)?).into(),
        ("will", [topic, payload, qos, retain, properties @ ..]) => Setting::Will(Will {
            topic: ByteString::from(*topic),
            payload: unhex(payload)?,
            qos: QoS::from_u8(qos.parse().ok()?)?,
            retain: *retain == "1",
            properties: self::properties(properties)?,
        })
        .into(),
        ("start", []) => Command::Start,
        ("publish", [name, message @ ..]) => publish(name, message)?,
        ("subscribe", [name, filters @ ..]) => subscribe(name, filters)?,
        ("unsubscribe", [name, filters @ ..]) => Command::Unsubscribe(
            name.to_string(),
            filters.iter().map(|filter| ByteString::from(*filter)).collect(),
        ),
        ("ack", [id]) => Command::Ack(id.parse().ok()?),
        ("on_connect", [verb, words @ ..]) => Command::OnConnect(Box::new(parse(verb, words)?)),
        ("stop", []) => Command::Stop(0),
        ("stop", [reason]) => Command::Stop(reason.parse().ok()?),
        ("reconnect_now", []) => Command::ReconnectNow,
        ("network_changed", []) => Command::NetworkChanged,
        ("close", []) => Command::Close,
        ("quit", []) => Command::Quit,
        _ => return None,
    };
    Some(command)
}

impl From<Setting> for Command {
    fn from(setting: Setting) -> Self {
        Command::Configure(setting)
    }
}

fn publish(name: &str, words: &[&str]) -> Option<Command> {
    let [topic, payload, qos, retain, properties @ ..] = words else { return None };
    let Some(qos) = QoS::from_u8(qos.parse().ok()?) else {
        return Some(Command::Impossible(name.to_string(), ErrorCode::InvalidQoS));
    };
    let publish = Publish {
        topic: ByteString::from(empty(topic)),
        payload: unhex(payload)?,
        qos,
        retain: *retain == "1",
        properties: self::properties(properties)?,
    };
    Some(Command::Publish(name.to_string(), publish))
}

fn subscribe(name: &str, words: &[&str]) -> Option<Command> {
    let (properties, filters): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| is_property(word));
    let mut subscriptions = Vec::new();
    for pair in filters.chunks(2) {
        let [filter, options] = pair else { return None };
        let options: u8 = options.parse().ok()?;
        let Some(qos) = QoS::from_u8(options & 3) else {
            return Some(Command::Impossible(name.to_string(), ErrorCode::InvalidQoS));
        };
        subscriptions.push(Subscription {
            filter: ByteString::from(empty(filter)),
            qos,
            no_local: options & 4 != 0,
            retain_as_published: options & 8 != 0,
            retain_handling: options >> 4,
        });
    }
    Some(Command::Subscribe(name.to_string(), subscriptions, self::properties(&properties)?))
}

fn is_property(word: &str) -> bool {
    let mut parts = word.splitn(3, ':');
    let (Some(id), Some(kind), Some(_)) = (parts.next(), parts.next(), parts.next()) else { return false };
    id.parse::<u8>().is_ok() && matches!(kind, "n" | "t" | "b" | "p")
}

fn properties(words: &[&str]) -> Option<Properties> {
    let mut properties = Properties::new();
    for word in words {
        let mut parts = word.split(':');
        let id = PropertyId::from_u8(parts.next()?.parse().ok()?)?;
        let kind = parts.next()?;
        let value = parts.next()?;
        let text = |hex: &str| ByteString::try_from(unhex(hex)?).ok();
        let value = match (kind, id.row().kind) {
            ("n", PropertyKind::Byte) => PropertyValue::Byte(value.parse().ok()?),
            ("n", PropertyKind::TwoByte) => PropertyValue::TwoByte(value.parse().ok()?),
            ("n", PropertyKind::FourByte) => PropertyValue::FourByte(value.parse().ok()?),
            ("n", PropertyKind::Variable) => PropertyValue::Variable(value.parse().ok()?),
            ("t", PropertyKind::Text) => PropertyValue::Text(text(value)?),
            ("b", PropertyKind::Binary) => PropertyValue::Binary(unhex(value)?),
            ("p", PropertyKind::Pair) => PropertyValue::Pair(text(value)?, text(parts.next()?)?),
            _ => return None,
        };
        properties.push(id, value);
    }
    Some(properties)
}

fn empty(word: &str) -> &str {
    if word == "-" {
        ""
    } else {
        word
    }
}

fn unhex(word: &str) -> Option<Bytes> {
    crate::text::unhex(empty(word)).map(Bytes::from)
}

/// Which name belongs to which operation.
#[derive(Debug, Default)]
pub struct Names(HashMap<Ticket, String>);

impl Names {
    /// Files the name of an operation. Before the call that starts it: it may complete at once.
    pub fn file(&mut self, ticket: Ticket, name: &str) {
        self.0.insert(ticket, name.to_string());
    }

    /// The name of the operation with this ticket.
    pub fn of(&self, ticket: Ticket) -> Option<String> {
        self.0.get(&ticket).cloned()
    }

    /// The line that a shim prints for an event.
    pub fn line(&self, event: &Event) -> String {
        let text = event.to_string();
        let Event::Completed(ticket, outcome) = event else { return text };
        let number = format!("#{ticket}");
        let name = self.0.get(ticket).unwrap_or(&number);
        let at = if matches!(outcome, remqtt_proto::Outcome::Failed(..)) { " at=event" } else { "" };
        text.replacen(&number, name, 1) + at
    }
}

/// The line that a shim prints when a call returns an error.
pub fn refusal(what: &str, error: &remqtt_proto::Error) -> String {
    let failed = remqtt_proto::Outcome::Failed(error.clone(), Properties::new());
    Event::Completed(0, failed).to_string().replacen("#0", what, 1) + " at=call"
}
