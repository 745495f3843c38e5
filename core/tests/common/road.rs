//! What every road must be able to do.

use std::time::Duration;

use remqtt::{Bytes, Client, Event, Options, Properties, Publish, QoS, SessionState, Subscription};

use super::broker::Broker;
use super::{start, Events, PATIENCE};

/// Messages of each QoS in a test of survival.
const MESSAGES: u32 = 600;
/// So many are published after the beginning of an outage before it must be over.
const LATER: u32 = 30;

/// Options for a persistent client at this endpoint that comes back quickly.
pub fn options(url: &str) -> Options {
    Options {
        client_id: "traveller".into(),
        servers: vec![url.to_owned()],
        connect_timeout: PATIENCE,
        ping_timeout: PATIENCE,
        reconnect_max_delay: Duration::from_millis(200),
        ..Options::default()
    }
}

/// Connects and sends messages of every QoS and of many sizes to itself.
pub fn exchange(options: Options) {
    exchange_up_to(1_000_000, options);
}

/// The same up to this size: over WebSocket mosquitto 2.0 sends 4 KiB each 100 ms.
pub fn exchange_up_to(largest: usize, options: Options) {
    // What an exchange before this one left unacknowledged would come again.
    let (client, events) = start(Options { clean_start: true, ..options });
    exchange_on(&client, &events, largest);
}

/// The same with a client that was started.
pub fn exchange_on(client: &Client, events: &Events, largest: usize) {
    events.connected();
    subscribe(client, "t", QoS::ExactlyOnce);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let sizes = [0, 1, 100, 125, 126, 4_000, 16_384, 65_535, 65_536, 70_000, 1_000_000];
        for (index, size) in sizes.into_iter().filter(|size| *size <= largest).enumerate() {
            let payload = Bytes::from(vec![index as u8; size]);
            let publish = Publish {
                topic: "t".into(),
                payload: payload.clone(),
                qos,
                retain: false,
                properties: Properties::new(),
            };
            let ticket = client.publish(publish).unwrap();
            assert_eq!(events.message().publish.payload, payload);
            client.wait(ticket, PATIENCE).unwrap();
        }
    }
    client.close();
    events.closed();
}

/// Goes through outages while messages of QoS 1 and 2 are on their way in both directions: none of QoS 1 is lost, and
/// none of QoS 2 is lost or doubled.
pub fn survive(options: Options, outages: u32, outage: impl FnMut()) {
    let (client, events) = start(options);
    survive_on(&client, &events, outages, outage);
}

/// The same with a client that was started.
pub fn survive_on(client: &Client, events: &Events, outages: u32, mut outage: impl FnMut()) {
    assert_eq!(events.connected().session, SessionState::New);
    subscribe(client, "one", QoS::AtLeastOnce);
    subscribe(client, "two", QoS::ExactlyOnce);
    let mut counts: Counts = [[0; MESSAGES as usize]; 2];
    let share = MESSAGES / (outages + 1);
    for number in 0..MESSAGES {
        if number % share == LATER && number > share {
            count_until_connected(events, &mut counts);
        }
        client.publish(numbered("one", QoS::AtLeastOnce, number)).unwrap();
        client.publish(numbered("two", QoS::ExactlyOnce, number)).unwrap();
        if (number + 1) % share == 0 && number / share < outages {
            // Some have arrived and some are on their way.
            count(events, &mut counts);
            outage();
        }
    }
    while counts.iter().flatten().any(|count| *count == 0) {
        count(events, &mut counts);
    }
    client.flush(PATIENCE).unwrap();
    // What comes twice comes before what is sent last.
    let last = client.publish(numbered("two", QoS::ExactlyOnce, MESSAGES)).unwrap();
    while count(events, &mut counts) != MESSAGES {}
    client.wait(last, PATIENCE).unwrap();
    let doubled = |counts: &[u32]| counts.iter().filter(|count| **count > 1).count();
    assert_eq!(doubled(&counts[1]), 0, "messages of QoS 2 that came more than once");
    assert_eq!(client.stats().outages, u64::from(outages));
    println!("outages {outages}: QoS 1 lost 0 (again {}), QoS 2 lost 0 doubled 0", doubled(&counts[0]));
    client.close();
    events.closed();
}

/// Goes through restarts of the broker while messages are published: none of QoS 1 is lost, and none of QoS 2 is lost
/// or doubled. When the broker stops, nothing that it has to remember is half done: mosquitto 2.0 restores some of that
/// in a state that it had earlier, and sends a QoS 2 message again after its PUBREL.
pub fn survive_restarts(mut options: Options, broker: &mut Broker) {
    options.manual_ack = true;
    let (client, events) = start(options);
    assert_eq!(events.connected().session, SessionState::New);
    subscribe(&client, "one", QoS::AtLeastOnce);
    subscribe(&client, "two", QoS::ExactlyOnce);
    subscribe(&client, "echo", QoS::AtMostOnce);
    let mut counts: Counts = [[0; MESSAGES as usize]; 2];
    let part = MESSAGES / 4;
    for outage in 0..2 {
        let publish = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                client.publish(numbered("one", QoS::AtLeastOnce, number)).unwrap();
                client.publish(numbered("two", QoS::ExactlyOnce, number)).unwrap();
            }
        };
        let begin = 2 * outage * part;
        publish(begin..begin + part);
        receive(&client, &events, &mut counts, begin + part);
        broker.stop();
        let lost = events.disconnected();
        assert!(lost.was_connected, "{lost:?}");
        publish(begin + part..begin + 2 * part);
        broker.run();
        assert_eq!(events.connected().session, SessionState::Resumed);
        receive(&client, &events, &mut counts, begin + 2 * part);
    }
    assert_eq!(counts, [[1; MESSAGES as usize]; 2]);
    println!("2 restarts: QoS 1 lost 0, QoS 2 lost 0 doubled 0");
    client.close();
    events.closed();
}

/// Receives all messages below this number, until both sides have nothing half done.
fn receive(client: &Client, events: &Events, counts: &mut Counts, below: u32) {
    let mut take = |last: &mut dyn FnMut(&Counts, u32) -> bool| loop {
        let message = events.message();
        let number = note(Event::Message(message.clone()), counts).unwrap();
        if let Some(delivery) = message.delivery {
            client.acknowledge(delivery).unwrap();
        }
        if last(counts, number) {
            break;
        }
    };
    take(&mut |counts, _| counts.iter().all(|list| list[..below as usize].iter().all(|count| *count > 0)));
    client.flush(PATIENCE).unwrap();
    // The first echo comes after the PUBRELs for our PUBRECs, the second after our PUBCOMPs have arrived.
    for _ in 0..2 {
        client.publish(numbered("echo", QoS::AtMostOnce, MESSAGES)).unwrap();
        take(&mut |_, number| number == MESSAGES);
    }
}

fn subscribe(client: &Client, filter: &'static str, qos: QoS) {
    let ticket = client.subscribe(vec![Subscription::new(filter, qos)], Properties::new()).unwrap();
    client.wait(ticket, PATIENCE).unwrap();
}

fn numbered(topic: &'static str, qos: QoS, number: u32) -> Publish {
    let payload = Bytes::copy_from_slice(&number.to_be_bytes());
    Publish { topic: topic.into(), payload, qos, retain: false, properties: Properties::new() }
}

/// How often each message of QoS 1 and of QoS 2 came.
type Counts = [[u32; MESSAGES as usize]; 2];

/// Counts the next message and returns its number.
fn count(events: &Events, counts: &mut Counts) -> u32 {
    events.find(|event| note(event, counts))
}

fn count_until_connected(events: &Events, counts: &mut Counts) {
    events.find(|event| match event {
        Event::Connected(connected) => {
            assert_eq!(connected.session, SessionState::Resumed);
            Some(())
        }
        event => {
            note(event, counts);
            None
        }
    });
}

fn note(event: Event, counts: &mut Counts) -> Option<u32> {
    let Event::Message(message) = event else { return None };
    let number = u32::from_be_bytes(message.publish.payload[..].try_into().unwrap());
    let list = &mut counts[usize::from(&*message.publish.topic == "two")];
    if let Some(count) = list.get_mut(number as usize) {
        *count += 1;
    }
    Some(number)
}
