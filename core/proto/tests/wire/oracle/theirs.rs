//! Our packets in the types of rumqttc.
use super::string;
use bytes::Bytes;
use bytestring::ByteString;
use remqtt_proto::wire::{PropertyId::*, *};
use rumqttc::mqttbytes::{self, v4};
use rumqttc::v5::mqttbytes::{self as mqttbytes5, v5};

fn byte(properties: &Properties, id: PropertyId) -> Option<u8> {
    properties.number(id).map(|value| value as u8)
}

fn two_byte(properties: &Properties, id: PropertyId) -> Option<u16> {
    properties.number(id).map(|value| value as u16)
}

fn text(properties: &Properties, id: PropertyId) -> Option<String> {
    properties.text(id).map(ByteString::to_string)
}

fn binary(properties: &Properties, id: PropertyId) -> Option<Bytes> {
    match properties.find(id)? {
        PropertyValue::Binary(data) => Some(data.clone()),
        _ => None,
    }
}

fn users(properties: &Properties) -> Vec<(String, String)> {
    let pairs = properties.iter().filter_map(|(_, value)| match value {
        PropertyValue::Pair(name, value) => Some((name.to_string(), value.to_string())),
        _ => None,
    });
    pairs.collect()
}

/// rumqttc reads an empty list as none.
fn some<T>(properties: &Properties, list: T) -> Option<T> {
    (!properties.is_empty()).then_some(list)
}

fn qos(qos: QoS) -> mqttbytes::QoS {
    mqttbytes::qos(qos as u8).expect("a QoS")
}

fn qos5(qos: QoS) -> mqttbytes5::QoS {
    mqttbytes5::qos(qos as u8).expect("a QoS")
}

pub(crate) fn connect_v4(connect: &Connect) -> v4::Connect {
    v4::Connect {
        protocol: mqttbytes::Protocol::V4,
        keep_alive: connect.keep_alive,
        client_id: connect.client_id.to_string(),
        clean_session: connect.clean_start,
        last_will: connect.will.as_ref().map(|will| v4::LastWill {
            topic: will.topic.to_string(),
            message: will.payload.clone(),
            qos: qos(will.qos),
            retain: will.retain,
        }),
        login: connect.username.as_ref().map(|username| {
            v4::Login::new(username.to_string(), connect.password.as_ref().map_or(String::new(), string))
        }),
    }
}

pub(crate) fn connect_v5(connect: &Connect) -> v5::Packet {
    let properties = &connect.properties;
    let theirs = v5::Connect {
        keep_alive: connect.keep_alive,
        client_id: connect.client_id.to_string(),
        clean_start: connect.clean_start,
        properties: some(
            properties,
            v5::ConnectProperties {
                session_expiry_interval: properties.number(SessionExpiryInterval),
                receive_maximum: two_byte(properties, ReceiveMaximum),
                max_packet_size: properties.number(MaximumPacketSize),
                topic_alias_max: two_byte(properties, TopicAliasMaximum),
                request_response_info: byte(properties, RequestResponseInformation),
                request_problem_info: byte(properties, RequestProblemInformation),
                user_properties: users(properties),
                authentication_method: text(properties, AuthenticationMethod),
                authentication_data: binary(properties, AuthenticationData),
            },
        ),
    };
    let login = connect.username.as_ref().map(|username| {
        v5::Login::new(username.to_string(), connect.password.as_ref().map_or(String::new(), string))
    });
    v5::Packet::Connect(theirs, connect.will.as_ref().map(will_v5), login)
}

fn will_v5(will: &Will) -> v5::LastWill {
    let properties = &will.properties;
    v5::LastWill {
        topic: will.topic.as_bytes().clone(),
        message: will.payload.clone(),
        qos: qos5(will.qos),
        retain: will.retain,
        properties: some(
            properties,
            v5::LastWillProperties {
                delay_interval: properties.number(WillDelayInterval),
                payload_format_indicator: byte(properties, PayloadFormatIndicator),
                message_expiry_interval: properties.number(MessageExpiryInterval),
                content_type: text(properties, ContentType),
                response_topic: text(properties, ResponseTopic),
                correlation_data: binary(properties, CorrelationData),
                user_properties: users(properties),
            },
        ),
    }
}

pub(crate) fn publish_v4(publish: &Publish, dup: bool, packet_identifier: Option<u16>) -> v4::Publish {
    v4::Publish {
        dup,
        qos: qos(publish.qos),
        retain: publish.retain,
        topic: publish.topic.to_string(),
        pkid: packet_identifier.unwrap_or(0),
        payload: publish.payload.clone(),
    }
}

pub(crate) fn publish_v5(publish: &Publish, dup: bool, packet_identifier: Option<u16>) -> v5::Publish {
    let properties = &publish.properties;
    let subscription_identifiers = properties.iter().filter_map(|(_, value)| match value {
        PropertyValue::Variable(id) => Some(*id as usize),
        _ => None,
    });
    v5::Publish {
        dup,
        qos: qos5(publish.qos),
        retain: publish.retain,
        topic: publish.topic.as_bytes().clone(),
        pkid: packet_identifier.unwrap_or(0),
        payload: publish.payload.clone(),
        properties: some(
            properties,
            v5::PublishProperties {
                payload_format_indicator: byte(properties, PayloadFormatIndicator),
                message_expiry_interval: properties.number(MessageExpiryInterval),
                topic_alias: two_byte(properties, TopicAlias),
                response_topic: text(properties, ResponseTopic),
                correlation_data: binary(properties, CorrelationData),
                user_properties: users(properties),
                subscription_identifiers: subscription_identifiers.collect(),
                content_type: text(properties, ContentType),
            },
        ),
    }
}

pub(crate) fn connack_properties(properties: &Properties) -> Option<v5::ConnAckProperties> {
    let theirs = v5::ConnAckProperties {
        session_expiry_interval: properties.number(SessionExpiryInterval),
        receive_max: two_byte(properties, ReceiveMaximum),
        max_qos: byte(properties, MaximumQoS),
        retain_available: byte(properties, RetainAvailable),
        max_packet_size: properties.number(MaximumPacketSize),
        assigned_client_identifier: text(properties, AssignedClientIdentifier),
        topic_alias_max: two_byte(properties, TopicAliasMaximum),
        reason_string: text(properties, ReasonString),
        user_properties: users(properties),
        wildcard_subscription_available: byte(properties, WildcardSubscriptionAvailable),
        subscription_identifiers_available: byte(properties, SubscriptionIdentifierAvailable),
        shared_subscription_available: byte(properties, SharedSubscriptionAvailable),
        server_keep_alive: two_byte(properties, ServerKeepAlive),
        response_information: text(properties, ResponseInformation),
        server_reference: text(properties, ServerReference),
        authentication_method: text(properties, AuthenticationMethod),
        authentication_data: binary(properties, AuthenticationData),
    };
    some(properties, theirs)
}

pub(crate) fn suback_properties(properties: &Properties) -> Option<v5::SubAckProperties> {
    let reason_string = text(properties, ReasonString);
    some(properties, v5::SubAckProperties { reason_string, user_properties: users(properties) })
}

pub(crate) fn unsuback_properties(properties: &Properties) -> Option<v5::UnsubAckProperties> {
    let reason_string = text(properties, ReasonString);
    some(properties, v5::UnsubAckProperties { reason_string, user_properties: users(properties) })
}

pub(crate) fn subscribe_code(code: u8) -> v5::SubscribeReasonCode {
    mqttbytes5::qos(code).map_or(v5::SubscribeReasonCode::Unspecified, v5::SubscribeReasonCode::Success)
}

pub(crate) fn subscribe_code_v4(code: u8) -> v4::SubscribeReasonCode {
    mqttbytes::qos(code).map_or(v4::SubscribeReasonCode::Failure, v4::SubscribeReasonCode::Success)
}

pub(crate) fn subscribe_v4(pkid: u16, list: &[Subscription]) -> v4::Packet {
    let filters = list.iter().map(|one| v4::SubscribeFilter::new(one.filter.to_string(), qos(one.qos)));
    v4::Packet::Subscribe(v4::Subscribe { pkid, filters: filters.collect() })
}

pub(crate) fn subscribe_v5(pkid: u16, list: &[Subscription], properties: &Properties) -> v5::Packet {
    let filters = list.iter().map(|one| v5::Filter {
        path: one.filter.to_string(),
        qos: qos5(one.qos),
        nolocal: one.no_local,
        preserve_retain: one.retain_as_published,
        retain_forward_rule: match one.retain_handling {
            0 => v5::RetainForwardRule::OnEverySubscribe,
            1 => v5::RetainForwardRule::OnNewSubscribe,
            _ => v5::RetainForwardRule::Never,
        },
    });
    let users = v5::SubscribeProperties { id: None, user_properties: users(properties) };
    let properties = some(properties, users);
    v5::Packet::Subscribe(v5::Subscribe { pkid, filters: filters.collect(), properties })
}

pub(crate) fn unsubscribe_v4(pkid: u16, filters: &[ByteString]) -> v4::Packet {
    let topics = filters.iter().map(ByteString::to_string).collect();
    v4::Packet::Unsubscribe(v4::Unsubscribe { pkid, topics })
}

pub(crate) fn unsubscribe_v5(pkid: u16, filters: &[ByteString], properties: &Properties) -> v5::Packet {
    let filters = filters.iter().map(ByteString::to_string).collect();
    let properties = some(properties, v5::UnsubscribeProperties { user_properties: users(properties) });
    v5::Packet::Unsubscribe(v5::Unsubscribe { pkid, filters, properties })
}
