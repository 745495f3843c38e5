//! The Rust shim: the reference for the protocol in `README.md`.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remqtt::{Client, Delivery, Error, Event, Options, Reason};
use remqtt_tests::command::{refusal, Command, Names};

/// What the thread of the commands and the thread of the events share.
#[derive(Default)]
struct Shared {
    names: Names,
    deliveries: HashMap<u16, Delivery>,
    on_connect: Vec<Command>,
}

#[derive(Default)]
struct Shim {
    options: Options,
    client: Option<Client>,
    events: Option<std::thread::JoinHandle<()>>,
    shared: Arc<Mutex<Shared>>,
}

fn main() {
    let mut shim = Shim::default();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match Command::parse(&line) {
            Ok(Command::Quit) => break,
            Ok(command) => shim.run(command),
            Err(error) => eprintln!("{error}"),
        }
    }
    if let Some(client) = &shim.client {
        client.close();
    }
    if let Some(events) = shim.events.take() {
        let _ = events.join();
    }
}

impl Shim {
    fn run(&mut self, command: Command) {
        match command {
            Command::Configure(setting) => report("option", setting.apply(&mut self.options)),
            Command::OnConnect(command) => lock(&self.shared).on_connect.push(*command),
            command => {
                if self.client.is_none() {
                    self.create();
                }
                if let Some(client) = &self.client {
                    carry_out(client, &self.shared, &command);
                }
            }
        }
    }

    fn create(&mut self) {
        match Client::new(std::mem::take(&mut self.options)) {
            Ok(client) => {
                let (events, shared) = (client.clone(), self.shared.clone());
                self.events = Some(std::thread::spawn(move || tell(&events, &shared)));
                self.client = Some(client);
            }
            Err(error) => say(&refusal("start", &error)),
        }
    }
}

fn carry_out(client: &Client, shared: &Mutex<Shared>, command: &Command) {
    let file = |name: &str| {
        let ticket = client.next_ticket();
        lock(shared).names.file(ticket, name);
        ticket
    };
    match command {
        Command::Start => report("start", client.start()),
        Command::Stop(code) => {
            report("stop", client.stop(Reason { reason_code: *code, ..Reason::default() }));
        }
        Command::Close => client.close(),
        Command::ReconnectNow => report("reconnect_now", client.reconnect_now()),
        Command::NetworkChanged => report("network_changed", client.network_changed()),
        Command::Publish(name, publish) => report(name, client.publish_as(file(name), publish.clone())),
        Command::Subscribe(name, subscriptions, properties) => {
            report(name, client.subscribe_as(file(name), subscriptions.clone(), properties.clone()));
        }
        Command::Unsubscribe(name, filters) => {
            report(name, client.unsubscribe_as(file(name), filters.clone(), Default::default()));
        }
        Command::Ack(id) => {
            let delivery = lock(shared).deliveries.get(id).copied();
            if let Some(delivery) = delivery {
                report("ack", client.acknowledge(delivery));
            }
        }
        Command::Impossible(name, code) => report(name, Err(Error::from(*code))),
        Command::Configure(_) | Command::OnConnect(_) | Command::Quit => {}
    }
}

/// Prints every event until the client is closed.
fn tell(client: &Client, shared: &Mutex<Shared>) {
    loop {
        let mut batch = client.pull(Duration::from_secs(3600));
        while let Some(event) = batch.next() {
            let line = lock(shared).names.line(&event);
            if let Event::Message(message) = &event {
                if let Some(delivery) = message.delivery {
                    lock(shared).deliveries.insert(delivery.packet_identifier, delivery);
                }
            }
            say(&line);
            if matches!(event, Event::Connected(_)) {
                let commands = lock(shared).on_connect.clone();
                commands.iter().for_each(|command| carry_out(client, shared, command));
            }
            if matches!(event, Event::Closed) {
                return;
            }
        }
    }
}

fn report(what: &str, result: Result<(), Error>) {
    if let Err(error) = result {
        say(&refusal(what, &error));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
