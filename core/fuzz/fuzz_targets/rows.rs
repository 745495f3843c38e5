#![no_main]

use remqtt::proto::{Command, Engine, Input, Instant, Recovery};
use remqtt::{Options, Properties, Publish, QoS, Subscription};

// What a store holds: rows of any bytes, and a client that goes on with what they say.
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut recovery = Recovery::default();
    let mut rest = input;
    while let [key, value, after @ ..] = rest {
        let (key, value) = (usize::from(*key).min(after.len()), usize::from(*value));
        let (name, after) = after.split_at(key);
        let (value, after) = after.split_at(value.min(after.len()));
        recovery.row(name, value);
        rest = after;
    }
    recovery.complete();
    let next = recovery.last_ticket() + 1;
    let (topic, payload, properties) = ("t".into(), "p".into(), Properties::new());
    let publish = Publish { topic, payload, qos: QoS::ExactlyOnce, retain: false, properties };
    let subscriptions = vec![Subscription::new("f", QoS::AtLeastOnce)];
    let options = Options { servers: vec!["mqtt://x".into()], ..Options::default() };
    let mut engine = Engine::recover(options, recovery, 1, Instant(0), 1_700_000_000_000);
    let commands = [
        Command::Start,
        Command::Publish(next, publish),
        Command::Subscribe(next + 1, subscriptions, Properties::new()),
        Command::Close,
    ];
    for command in commands {
        engine.handle(Instant(u64::MAX / 2), Input::Command(command));
        while engine.poll_output().is_some() {}
    }
});
