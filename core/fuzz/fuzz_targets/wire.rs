#![no_main]

use remqtt::proto::wire::{decode, frame};
use remqtt::Version;

// What a server sends: every packet of the stream, under either version.
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for version in [Version::V4, Version::V5] {
        let mut rest = input;
        while let Ok(Some(found)) = frame(version, rest, 1 << 20) {
            let (packet, after) = rest.split_at(found.total);
            let _ = decode(version, found, packet);
            rest = after;
        }
    }
});
