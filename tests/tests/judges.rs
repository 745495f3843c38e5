//! The judges judged: a peer's codec and a model that accept everything would prove nothing.

#![allow(clippy::expect_used)] // the helpers of a test are its code too

use remqtt_tests::bytes::{decode, encode, frame, Kind, Packet};
use remqtt_tests::model::Model;
use remqtt_tests::text::{hex, unhex};

fn packet(level: u8, digits: &str) -> Result<Packet, String> {
    let bytes = unhex(digits).expect("hexadecimal");
    assert_eq!(frame(&bytes), Ok(Some(bytes.len())), "one whole packet");
    decode(level, &bytes)
}

#[test]
fn the_decoder_reads_what_the_specification_shows() {
    let connect = packet(4, "101a00044d51545404c2003c0002633100026d650006736563726574").expect("a CONNECT");
    assert_eq!(
        connect.to_string(),
        "CONNECT level=4 clean=1 keepalive=60 client_id=\"c1\" will=0 username=\"me\" password=\"secret\""
    );
    let publish = packet(5, "3b0c0003612f62000a020101 6869".replace(' ', "").as_str()).expect("a PUBLISH");
    assert_eq!(
        publish.to_string(),
        "PUBLISH qos=1 dup=1 retain=1 topic=\"a/b\" id=10 payload_format=1 payload=\"hi\""
    );
    let subscribe = packet(5, "820b000a020b050003612f622e").expect("a SUBSCRIBE");
    assert_eq!(subscribe.to_string(), "SUBSCRIBE id=10 subscription_id=5 filters=\"a/b:2:nl:rap:rh2\"");
}

#[test]
fn the_decoder_refuses_what_a_client_must_not_send() {
    for (level, digits, why) in [
        (4, "36050001610001", "QoS 3"),
        (4, "38030001 61", "DUP on QoS 0"),
        (4, "3205000161 0000", "identifier 0"),
        (4, "30050003 612f23", "wildcard in a topic"),
        (4, "3002 0000", "empty topic"),
        (4, "6002 0001", "PUBREL flags"),
        (4, "8205 0001 000000", "empty filter"),
        (4, "8202 0001", "no filter"),
        (4, "40030001 00", "a byte too many"),
        (4, "c001 00", "PINGREQ with a body"),
        (4, "100f00044d515454040100 3c00 02 6331 00", "reserved connect flag"),
        (5, "30050001 61 01 01", "property block too short for its value"),
        (5, "30080001 61 04 0101 0101", "property twice"),
        (5, "30060001 61 02 7f01", "unknown property"),
        (4, "20020000", "CONNACK from a client"),
    ] {
        let bytes = unhex(&digits.replace(' ', "")).expect("hexadecimal");
        assert!(decode(level, &bytes).is_err(), "{why}: {:?}", decode(level, &bytes));
    }
}

#[test]
fn the_encoder_takes_the_shortest_form_unless_a_field_asks_for_more() {
    let puback = Packet::new(Kind::Puback).with("id", 258);
    let bytes = |level, packet: &Packet| encode(level, packet).map(|bytes| hex(&bytes));
    assert_eq!(bytes(5, &puback), Ok("40020102".into()));
    assert_eq!(bytes(5, &puback.clone().with("rc", 0)), Ok("4003010200".into()));
    assert_eq!(bytes(4, &puback.clone().with("rc", 0)), Ok("40020102".into()));
    assert_eq!(bytes(5, &puback.with_bytes("reason", b"no")), Ok("4009010200051f00026e6f".into()));
    let connack = Packet::new(Kind::Connack).with("sp", 1).with("receive_maximum", 2);
    assert_eq!(bytes(5, &connack), Ok("2006010003210002".into()));
    assert!(bytes(4, &connack).is_err(), "MQTT 3.1.1 has no properties");
}

/// What a client sends, byte for byte.
struct Client {
    model: Model,
    sent: Result<(), String>,
}

impl Client {
    /// A client of MQTT 3.1.1 that is connected.
    fn new(options: &[(&str, &str)]) -> Client {
        let options: Vec<_> =
            options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let mut client = Client { model: Model::new(4, true, &options, true), sent: Ok(()) };
        client.connect(0);
        client
    }

    fn connect(&mut self, session_present: u64) {
        self.model.link_down();
        self.model.link_up();
        self.sends("100e00044d5154540400003c00026331");
        self.gets(Packet::new(Kind::Connack).with("sp", session_present).with("rc", 0));
    }

    fn sends(&mut self, digits: &str) -> &mut Client {
        let result = self.model.polled(&unhex(digits).expect("hexadecimal"));
        self.sent = self.sent.clone().and(result);
        self
    }

    fn gets(&mut self, packet: Packet) -> &mut Client {
        self.model.arrived(&packet);
        self
    }

    fn gets_ack(&mut self, kind: Kind, id: u64) -> &mut Client {
        self.gets(Packet::new(kind).with("id", id))
    }

    fn blamed_for(&self, what: &str) {
        assert!(self.sent.as_ref().is_err_and(|error| error.contains(what)), "{:?}", self.sent);
    }
}

const ONE: &str = "32060001610001 78"; // QoS 1, identifier 1, payload x
const ONE_AGAIN: &str = "3a060001610001 78";
const TWO: &str = "34060001610002 79"; // QoS 2, identifier 2, payload y
const TWO_AGAIN: &str = "3c060001610002 79";

fn digits(packet: &str) -> String {
    packet.replace(' ', "")
}

#[test]
fn a_client_that_does_everything_right_is_not_blamed() {
    let mut client = Client::new(&[]);
    client.sends(&digits(ONE)).sends(&digits(TWO)).gets_ack(Kind::Pubrec, 2);
    client.connect(1);
    client.sends(&digits(ONE_AGAIN)).sends("62020002").gets_ack(Kind::Puback, 1).gets_ack(Kind::Pubcomp, 2);
    client.sends(&digits(ONE));
    assert_eq!(client.sent, Ok(()));
}

#[test]
fn a_resend_without_dup_is_seen() {
    let mut client = Client::new(&[]);
    client.sends(&digits(ONE));
    client.connect(1);
    client.sends(&digits(ONE)).blamed_for("without DUP");
}

#[test]
fn dup_on_a_first_sending_is_seen() {
    Client::new(&[]).sends(&digits(ONE_AGAIN)).blamed_for("DUP on the first sending");
}

#[test]
fn something_new_before_the_resends_is_seen() {
    let mut client = Client::new(&[]);
    client.sends(&digits(ONE));
    client.connect(1);
    client.sends(&digits(TWO)).blamed_for("something new before");
}

#[test]
fn resends_out_of_order_are_seen() {
    let mut client = Client::new(&[]);
    client.sends(&digits(ONE)).sends(&digits(TWO));
    client.connect(1);
    client.sends(&digits(TWO_AGAIN)).sends(&digits(ONE_AGAIN)).blamed_for("out of order");
}

#[test]
fn a_publish_after_pubrec_is_seen() {
    let mut client = Client::new(&[]);
    client.sends(&digits(TWO)).gets_ack(Kind::Pubrec, 2);
    client.connect(1);
    client.sends(&digits(TWO_AGAIN)).blamed_for("published again after PUBREC");
}

#[test]
fn a_second_sending_on_one_connection_is_seen() {
    Client::new(&[]).sends(&digits(ONE)).sends(&digits(ONE_AGAIN)).blamed_for("twice on one connection");
}

#[test]
fn an_identifier_in_flight_that_is_used_again_is_seen() {
    Client::new(&[])
        .sends(&digits(ONE))
        .sends("32060001610001 7a".replace(' ', "").as_str())
        .blamed_for("in flight");
    let subscribe = "82060001000161 00".replace(' ', "");
    Client::new(&[]).sends(&digits(ONE)).sends(&subscribe).blamed_for("in flight");
    Client::new(&[]).sends(&subscribe).sends(&digits(ONE)).blamed_for("SUBSCRIBE");
}

#[test]
fn more_in_flight_than_allowed_is_seen() {
    Client::new(&[("max_inflight", "1")])
        .sends(&digits(ONE))
        .sends(&digits(TWO))
        .blamed_for("more than 1 in flight");
}

#[test]
fn an_acknowledgement_of_the_old_link_is_seen() {
    let mut client = Client::new(&[]);
    client.gets(Packet::new(Kind::Publish).with("qos", 1).with("id", 9));
    client.connect(1);
    client.sends("40020009").blamed_for("answers nothing");
}

#[test]
fn a_publish_before_the_restored_subscriptions_is_seen() {
    let mut client = Client::new(&[]);
    client.sends("82060001000161 00".replace(' ', "").as_str());
    client.gets(Packet::new(Kind::Suback).with("id", 1).with_bytes("codes", &[0]));
    client.connect(0);
    client.sends(&digits(TWO)).blamed_for("restored");
}

#[test]
fn publishes_of_a_lost_session_must_come_first_and_in_order() {
    let mut client = Client::new(&[]);
    client.sends(&digits(ONE)).sends(&digits(TWO));
    client.connect(0);
    client.sends(&digits(TWO)).blamed_for("before the publishes of the lost session");
}

#[test]
fn a_loss_and_a_double_are_seen_in_the_books() {
    let mut model = Model::new(4, true, &[], true);
    model.command("publish m1 a 78 1 0");
    model.event("PUBLISHED m1 reason=0").expect("first");
    assert!(model.balance().is_err_and(|error| error.contains("the server has nothing")));
    assert!(model.event("PUBLISHED m1 reason=0").is_err_and(|error| error.contains("more than once")));
    assert!(model.balance().is_err_and(|error| error.contains("more than once")), "the first word counts");

    let mut model = Model::new(4, true, &[], true);
    model.command("publish m2 a 79 2 0");
    let two = |id| {
        let packet = Packet::new(Kind::Publish).with("qos", 2).with("id", id);
        packet.with_bytes("topic", b"a").with_bytes("payload", b"y")
    };
    model.received(&two(1));
    model.received(&two(1));
    assert_eq!(model.balance(), Ok(()));
    model.received(&two(2));
    assert!(model.balance().is_err_and(|error| error.contains("delivered 2 times")));
}

#[test]
fn a_publish_before_the_connack_is_seen_and_so_is_a_subscribe_that_repeats_retained_messages() {
    let early = |digits: &str| {
        let mut model = Model::new(5, true, &[], true);
        model.link_up();
        model.polled(&unhex("101000044d5154540500003c000003633132").expect("hexadecimal"))?;
        model.polled(&unhex(digits).expect("hexadecimal"))
    };
    assert_eq!(early("8207000a0000016111"), Ok(()), "retain handling 1");
    assert!(early("8207000a0000016101").is_err(), "retain handling 0");
    assert!(early("300500016100 70".replace(' ', "").as_str()).is_err(), "PUBLISH");
}
