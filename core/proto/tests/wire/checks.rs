//! Topics, filters and property lists that an application hands in.
use bytes::Bytes;
use bytestring::ByteString;
use remqtt_proto::wire::*;

#[test]
fn topic_names_have_a_character_and_no_wildcard() {
    let longest = "x".repeat(65_535);
    for good in ["a", "/", "a//b", " ", "$SYS/broker", "température/é", &longest] {
        assert_eq!(check_topic(good), Ok(()), "{good:.20}");
    }
    let too_long = "x".repeat(65_536);
    for bad in ["", "+", "#", "a/+/b", "a/#", "a+", "a\0", &too_long] {
        assert!(check_topic(bad).is_err(), "{bad:.20}");
    }
}

#[test]
fn filters_have_their_wildcards_in_whole_levels() {
    let longest = "x".repeat(65_535);
    for good in ["a", "/", "#", "+", "a/#", "/#", "+/+", "a/+/b", "+/a/#", "//", "$SYS/#", "é/+", &longest] {
        assert_eq!(check_filter(good), Ok(()), "{good:.20}");
    }
    let too_long = "x".repeat(65_536);
    for bad in ["", "a#", "#/a", "a/#/b", "##", "a+", "+a", "a/b+/c", "++", "a\0", &too_long] {
        assert!(check_filter(bad).is_err(), "{bad:.20}");
    }
}

#[test]
fn shared_filters_have_a_share_name_and_a_filter() {
    for good in
        ["$share/g/a", "$share/g/#", "$share/g//", "$share/g/+/b", "$share", "$shared/a", "$share/$g/$a"]
    {
        assert_eq!(check_filter(good), Ok(()), "{good}");
    }
    for bad in [
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/#/a",
        "$share/g#/a",
        "$share/g/a#",
    ] {
        assert!(check_filter(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_property_finds_its_own_row() {
    for row in PropertyId::TABLE {
        assert_eq!(row.id.row().name, row.name);
        assert_eq!(PropertyId::from_u8(row.id as u8), Some(row.id));
    }
    assert_eq!(PropertyId::TABLE.len(), 27);
}

fn check(owner: PropertyOwner, list: &[(PropertyId, PropertyValue)]) -> Result<(), &'static str> {
    check_properties(owner, &Properties(list.to_vec()))
}

#[test]
fn properties_stand_only_where_the_table_says() {
    for row in PropertyId::TABLE {
        let value = match row.kind {
            PropertyKind::Byte => PropertyValue::Byte(1),
            PropertyKind::TwoByte => PropertyValue::TwoByte(1),
            PropertyKind::FourByte => PropertyValue::FourByte(1),
            PropertyKind::Variable => PropertyValue::Variable(1),
            PropertyKind::Text => PropertyValue::Text("t".into()),
            PropertyKind::Binary => PropertyValue::Binary(Bytes::from_static(b"b")),
            PropertyKind::Pair => PropertyValue::Pair("k".into(), "v".into()),
        };
        for owner in
            [PropertyOwner::Will, PropertyOwner::Connect, PropertyOwner::Unsubscribe, PropertyOwner::Puback]
        {
            let mut list = vec![(row.id, value.clone())];
            if row.id == PropertyId::AuthenticationData {
                list.push((PropertyId::AuthenticationMethod, PropertyValue::Text("m".into())));
            }
            let allowed = row.owners.contains(&owner);
            assert_eq!(check(owner, &list).is_ok(), allowed, "{} in {owner:?}", row.name);
        }
    }
}

#[test]
fn only_user_properties_repeat_in_what_a_client_sends() {
    let user = (PropertyId::UserProperty, PropertyValue::Pair("k".into(), "v".into()));
    assert_eq!(check(PropertyOwner::Connect, &[user.clone(), user]), Ok(()));
    let expiry = (PropertyId::SessionExpiryInterval, PropertyValue::FourByte(1));
    assert!(check(PropertyOwner::Connect, &[expiry.clone(), expiry]).is_err());
    let id = (PropertyId::SubscriptionIdentifier, PropertyValue::Variable(1));
    assert_eq!(check(PropertyOwner::Subscribe, std::slice::from_ref(&id)), Ok(()));
    assert!(check(PropertyOwner::Subscribe, &[id.clone(), id]).is_err());
}

#[test]
fn property_values_keep_to_kind_range_and_length() {
    use {PropertyId::*, PropertyOwner as Owner, PropertyValue as Value};
    let long = ByteString::from("x".repeat(65_536));
    let bad = [
        (Owner::Connect, ReceiveMaximum, Value::FourByte(1)),
        (Owner::Connect, ReceiveMaximum, Value::TwoByte(0)),
        (Owner::Connect, MaximumPacketSize, Value::FourByte(0)),
        (Owner::Connect, RequestProblemInformation, Value::Byte(2)),
        (Owner::Connect, RequestResponseInformation, Value::Byte(2)),
        (Owner::Connect, AuthenticationMethod, Value::Text("a\0".into())),
        (Owner::Connect, AuthenticationData, Value::Binary(Bytes::new())),
        (Owner::Publish, PayloadFormatIndicator, Value::Byte(2)),
        (Owner::Publish, TopicAlias, Value::TwoByte(0)),
        (Owner::Publish, ContentType, Value::Text(long.clone())),
        (Owner::Publish, CorrelationData, Value::Binary(long.clone().into_bytes())),
        (Owner::Publish, UserProperty, Value::Pair(long.clone(), "".into())),
        (Owner::Publish, UserProperty, Value::Pair("".into(), long)),
        (Owner::Publish, UserProperty, Value::Pair("k".into(), "\0".into())),
        (Owner::Publish, ResponseTopic, Value::Text("r/+".into())),
        (Owner::Publish, ResponseTopic, Value::Text("".into())),
        (Owner::Publish, SubscriptionIdentifier, Value::Variable(1)),
        (Owner::Subscribe, SubscriptionIdentifier, Value::Variable(0)),
        (Owner::Subscribe, SubscriptionIdentifier, Value::Variable(268_435_456)),
        (Owner::Disconnect, ServerReference, Value::Text("other".into())),
    ];
    for (owner, id, value) in bad {
        assert!(check(owner, &[(id, value)]).is_err(), "{id:?} in {owner:?}");
    }
}
