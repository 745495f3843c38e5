#![no_main]

use remqtt::proto::{Command, Engine, Input, Instant, Output};
use remqtt::{Bytes, Options, Properties, Publish, QoS, Subscription, Version};

/// Carries out what the engine wants, except what the network would do.
fn carry_out(engine: &mut Engine) -> Option<u64> {
    let mut dialled = None;
    while let Some(output) = engine.poll_output() {
        if let Output::Dial(attempt, _) = output {
            dialled = Some(attempt);
        }
    }
    let mut sent = Default::default();
    engine.poll_transmit(Instant(0), &mut sent);
    dialled
}

// A client with something under way of every kind, and a server that says anything at all.
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((mode, input)) = input.split_first() else { return };
    let version = if mode & 1 == 0 { Version::V4 } else { Version::V5 };
    let options = Options {
        protocol_version: version,
        topic_alias_maximum: 4,
        servers: vec!["mqtt://x".into()],
        ..Options::default()
    };
    let mut engine = Engine::new(options, 1, Instant(0));
    engine.handle(Instant(0), Input::Command(Command::Start));
    let Some(attempt) = carry_out(&mut engine) else { return };
    engine.handle(Instant(0), Input::LinkUp(attempt));
    if mode & 2 == 0 {
        let connack: &[u8] = if mode & 1 == 0 { &[0x20, 2, 0, 0] } else { &[0x20, 3, 0, 0, 0] };
        engine.handle(Instant(0), Input::Received(attempt, connack));
    }
    for (ticket, qos) in
        [(1, QoS::AtMostOnce), (2, QoS::AtLeastOnce), (3, QoS::ExactlyOnce), (4, QoS::ExactlyOnce)]
    {
        let (topic, payload, properties) = ("t".into(), Bytes::from_static(b"p"), Properties::new());
        let publish = Publish { topic, payload, qos, retain: false, properties };
        engine.handle(Instant(0), Input::Command(Command::Publish(ticket, publish)));
    }
    let filters = vec![Subscription::new("f/#", QoS::ExactlyOnce)];
    engine.handle(Instant(0), Input::Command(Command::Subscribe(5, filters, Properties::new())));
    carry_out(&mut engine);
    let cut = usize::from(mode >> 2) * 4;
    for part in [&input[..cut.min(input.len())], &input[cut.min(input.len())..]] {
        engine.handle(Instant(0), Input::Received(attempt, part));
        carry_out(&mut engine);
    }
    engine.handle(Instant(1), Input::Timeout);
    carry_out(&mut engine);
});
