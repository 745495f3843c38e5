//! How often the bytes of a packet are copied.
use crate::hex;
use remqtt_proto::wire::*;

#[test]
fn topic_payload_and_property_values_are_slices_of_one_copy() {
    let bytes = hex::bytes("32 [ \"a/b\" 00 01 [ 08 \"r\" ] 'payload' ]");
    let frame = frame(Version::V5, &bytes, PACKET_SIZE_LIMIT).unwrap().unwrap();
    let Ok(Packet::Publish { publish, .. }) = decode(Version::V5, frame, &bytes) else {
        panic!("no PUBLISH")
    };
    let body = publish.topic.as_ptr() as usize - 2;
    let response = publish.properties.text(PropertyId::ResponseTopic).unwrap();
    assert_eq!(response.as_ptr() as usize - body, 11);
    assert_eq!(publish.payload.as_ptr() as usize - body, 12);
    assert!(!bytes.as_ptr_range().contains(&publish.payload.as_ptr()), "the caller's buffer is free again");
}
