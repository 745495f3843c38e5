//! Stories of outages, deaths and disks against the model, led by what they reach in the engine.

#![no_main]

use libfuzzer_sys::fuzz_target;
use remqtt_tests::story::Story;

fuzz_target!(|bytes: &[u8]| {
    let story = Story::of_bytes(bytes);
    if let Some(failure) = story.play().failure {
        panic!("{failure}\n{}", story.shrunk());
    }
});
