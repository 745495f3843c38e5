//! What a message costs in the engine alone, in instructions and allocations instead of time:
//! `cargo test --release -p remqtt-proto --test engine --no-run`, then
//! `valgrind --tool=callgrind --toggle-collect='*::cost::receive' <binary> --ignored cost` prints the instructions of
//! all rounds (`*::cost::publish` for the other way).

use crate::bench::*;
use bytes::BytesMut;
use remqtt_proto::{Bytes, Command, Event, Input, Output, Publish, QoS};

const ROUNDS: usize = 100;
/// Messages in one read and one write.
const BATCH: u16 = 500;

/// One batch: received, drained, acknowledged, and the acknowledgements taken.
#[inline(never)]
fn receive(bench: &mut Bench, batch: &[u8], buffer: &mut BytesMut) {
    bench.engine.handle(bench.now, Input::Received(bench.attempt, batch));
    let mut deliveries = Vec::with_capacity(usize::from(BATCH));
    while let Some(output) = bench.engine.poll_output() {
        if let Output::Event(Event::Message(message)) = output {
            deliveries.extend(message.delivery);
        }
    }
    bench.engine.handle(bench.now, Input::Command(Command::Acknowledge(deliveries)));
    bench.engine.poll_transmit(bench.now, buffer);
}

/// One batch: accepted, taken, acknowledged, and its completions drained.
#[inline(never)]
fn publish(bench: &mut Bench, ticket: &mut u64, template: &Publish, buffer: &mut BytesMut) -> usize {
    let mut acknowledgements = Vec::with_capacity(4 * usize::from(BATCH));
    for _ in 0..BATCH {
        *ticket += 1;
        bench.engine.handle(bench.now, Input::Command(Command::Publish(*ticket, template.clone())));
        let identifier = ((*ticket - 1) % 65_535 + 1) as u16;
        acknowledgements.extend([0x40, 2, (identifier >> 8) as u8, identifier as u8]);
    }
    bench.engine.poll_transmit(bench.now, buffer);
    bench.engine.handle(bench.now, Input::Received(bench.attempt, &acknowledgements));
    std::iter::from_fn(|| bench.engine.poll_output()).count()
}

#[test]
#[ignore = "a measurement"]
fn what_a_received_message_costs() {
    let mut bench = connected();
    let mut batch = Vec::new();
    for identifier in 1..=BATCH {
        batch.extend([0x32, 86, 0, 18]);
        batch.extend(b"sensors/room7/temp");
        batch.extend(identifier.to_be_bytes());
        batch.extend([b'x'; 64]);
    }
    let mut buffer = BytesMut::with_capacity(1 << 16);
    for _ in 0..ROUNDS {
        buffer.clear();
        receive(&mut bench, &batch, &mut buffer);
        assert_eq!(buffer.len(), 4 * usize::from(BATCH));
    }
}

#[test]
#[ignore = "a measurement"]
fn what_a_published_message_costs() {
    let mut bench = connected();
    let payload = Bytes::from(vec![b'x'; 64]);
    let template = Publish { topic: "sensors/room7/temp".into(), payload, ..message(QoS::AtLeastOnce) };
    let mut buffer = BytesMut::with_capacity(1 << 16);
    let mut ticket = 0;
    for _ in 0..ROUNDS {
        buffer.clear();
        assert_eq!(publish(&mut bench, &mut ticket, &template, &mut buffer), usize::from(BATCH));
    }
}
