//! What a PUBLISH costs. Run with `cargo test --release -p remqtt-proto --test wire -- --ignored --nocapture`.
use bytes::{Bytes, BytesMut};
use remqtt_proto::wire::*;
use std::hint::black_box;
#[allow(clippy::disallowed_types)] // a measurement of the tests, not time in the engine
use std::time::Instant;

const ROUNDS: u32 = 2_000_000;

#[allow(clippy::disallowed_types, clippy::disallowed_methods)]
fn nanoseconds(mut work: impl FnMut()) -> f64 {
    let rounds = (0..5).map(|_| {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            work();
        }
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a measurement"]
fn a_small_publish_costs_tens_of_nanoseconds() {
    let publish = Publish {
        topic: "sensors/room7/temp".into(),
        payload: Bytes::from(vec![b'x'; 64]),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Properties::new(),
    };
    for version in [Version::V4, Version::V5] {
        let mut out = BytesMut::with_capacity(1 << 16);
        let encode = nanoseconds(|| {
            if out.len() > 60_000 {
                out.clear();
            }
            let result = encode_publish(version, black_box(&publish), false, Some(7), u32::MAX, &mut out);
            assert!(result.is_ok());
        });
        out.clear();
        encode_publish(version, &publish, false, Some(7), u32::MAX, &mut out).unwrap();
        let decode = nanoseconds(|| {
            let bytes = black_box(&out[..]);
            let Ok(Some(frame)) = frame(version, bytes, PACKET_SIZE_LIMIT) else { panic!("no frame") };
            assert!(black_box(decode(version, frame, bytes)).is_ok());
        });
        println!("{version:?}: encode {encode:.1} ns, frame and decode {decode:.1} ns");
        assert!(encode < 1_000.0 && decode < 1_000.0);
    }
}
