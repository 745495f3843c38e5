//! Valid packets, broken in every way a few random edits can break them: never a panic, never a claim beyond the
//! buffer, and what is read can be written again.
use crate::random::Random;
use crate::vectors;
use bytes::BytesMut;
use remqtt_proto::wire::*;

const ROUNDS: usize = 300_000;

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len() + 1);
    let here = at.min(bytes.len().saturating_sub(1));
    match random.below(8) {
        _ if bytes.is_empty() => bytes.push(random.next() as u8),
        0 => bytes[here] ^= 1 << random.below(8),
        1 => bytes[here] = random.pick(&[0, 1, 2, 0x7F, 0x80, 0xFF]),
        2 => bytes[here] = random.next() as u8,
        3 => bytes.insert(at, random.next() as u8),
        4 => drop(bytes.remove(here)),
        5 => bytes.truncate(at),
        6 => bytes.extend_from_slice(&other[random.below(other.len() + 1)..]),
        _ => {
            let copied = bytes[at..].to_vec();
            bytes.splice(here..here, copied);
        }
    }
    // The edits above mostly break the length; mended, they reach the fields.
    if random.one_in(2) && bytes.len() >= 2 && bytes.len() < 130 {
        bytes[1] = (bytes.len() - 2) as u8;
    }
}

fn read_all(version: Version, bytes: &[u8]) -> usize {
    let (mut at, mut packets) = (0, 0);
    while let Ok(Some(frame)) = frame(version, &bytes[at..], PACKET_SIZE_LIMIT) {
        assert!(frame.header >= 2 && frame.header <= frame.total && frame.total <= bytes.len() - at);
        let packet = &bytes[at..at + frame.total];
        if let Ok(read) = decode(version, frame, packet) {
            write_again(version, &read, packet.len());
            packets += 1;
        }
        at += frame.total;
    }
    packets
}

fn write_again(version: Version, read: &Packet, length: usize) {
    let Packet::Publish { publish, dup, packet_identifier } = read else { return };
    assert!(publish.topic.len() + publish.payload.len() < length);
    let mut out = BytesMut::new();
    let dup = *dup && publish.qos != QoS::AtMostOnce;
    // Subscription identifiers and empty topics are a server's alone.
    if encode_publish(version, publish, dup, *packet_identifier, PACKET_SIZE_LIMIT, &mut out).is_ok() {
        let frame = frame(version, &out, PACKET_SIZE_LIMIT).unwrap().unwrap();
        assert!(frame.total <= length, "the shortest form is not longer than what was read");
        let again = decode(version, frame, &out).unwrap();
        let expected =
            Packet::Publish { publish: publish.clone(), dup, packet_identifier: *packet_identifier };
        assert_eq!(again, expected);
    }
}

#[test]
fn mutated_packets_never_panic_and_never_claim_more_than_the_buffer() {
    let (mut random, mut packets) = (Random(1), 0);
    let seeds: Vec<_> = vectors::readable().into_iter().filter(|(_, bytes)| bytes.len() < 500).collect();
    for _ in 0..ROUNDS {
        let (version, mut bytes) = seeds[random.below(seeds.len())].clone();
        let other = &seeds[random.below(seeds.len())].1;
        for _ in 0..=random.below(3) {
            mutate(&mut random, &mut bytes, other);
        }
        let version = if random.one_in(8) { Version::V4 } else { version };
        packets += read_all(version, &bytes);
    }
    println!("{ROUNDS} mutations, {packets} packets read from them");
    assert!(packets > ROUNDS / 20, "too few mutants reach the fields: {packets}");
}

#[test]
fn a_frame_that_does_not_fit_its_packet_is_refused() {
    let (mut random, bytes) = (Random(2), [0x32, 7, 0, 1, b'a', 0, 1, 0, b'x']);
    for _ in 0..20_000 {
        let frame = Frame { first: random.next() as u8, header: random.below(12), total: random.below(12) };
        let packet = &bytes[..random.below(bytes.len() + 1)];
        for version in [Version::V4, Version::V5] {
            let read = decode(version, frame, packet);
            assert!(read.is_err() || frame.total == packet.len(), "{frame:?} of {packet:?}");
        }
    }
}
