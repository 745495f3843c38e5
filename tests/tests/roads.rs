//! The matrix of roads, languages and faults, with a real mosquitto. `make test` prints the table.

use remqtt_tests::roads::Matrix;
use remqtt_tests::shim::shims;

#[test]
fn every_road_carries_every_language_through_resets_and_restarts() {
    let matrix = Matrix::play(&shims(env!("CARGO_BIN_EXE_shim")));
    println!("{}", matrix.table());
    let failures = matrix.failures();
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
