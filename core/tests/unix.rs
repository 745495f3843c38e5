//! Unix sockets, with a real mosquitto.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

mod common;

use common::broker::{Broker, Folder};
use common::relay::Relay;
use common::*;
use remqtt::ErrorCode;

#[test]
fn messages_make_the_round_trip_over_a_unix_socket() {
    let broker = Broker::on_socket(Folder::new());
    road::exchange(road::options(&format!("unix://{}", broker.folder.path("socket"))));
}

#[test]
fn a_cut_of_a_unix_socket_loses_and_doubles_nothing() {
    let broker = Broker::on_socket(Folder::new());
    let here = broker.folder.0.join("relay");
    let relay = Relay::to_socket(&here, broker.folder.0.join("socket"));
    road::survive(road::options(&format!("unix://{}", here.display())), 5, || relay.cut());
}

#[test]
fn a_restart_of_a_broker_on_a_unix_socket_loses_and_doubles_nothing() {
    let mut broker = Broker::on_socket(Folder::new());
    let options = road::options(&format!("unix://{}", broker.folder.path("socket")));
    road::survive_restarts(options, &mut broker);
}

#[test]
fn a_socket_that_is_not_there_is_named() {
    let (_client, events) = start(road::options("unix:///no/such%20place"));
    let error = events.disconnected().error.unwrap();
    assert_eq!(error.code, ErrorCode::ConnectFailed);
    assert!(error.detail.starts_with("/no/such place: No such file"), "{error}");
}
