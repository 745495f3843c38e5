//! What can be said about a command before there is a connection.

use bytes::Bytes;
use bytestring::ByteString;

use crate::engine::Engine;
use crate::error::{Error, ErrorCode};
use crate::options::Options;
use crate::wire::{
    self, Properties, PropertyId, PropertyOwner, PropertyValue, Publish, Subscription, Version,
    PACKET_SIZE_LIMIT,
};

impl Engine {
    /// Checks a publish as far as it can be checked without a connection. Bindings and driver call it before they
    /// accept the publish, so that an error reaches the caller and not an event.
    pub fn check_publish(options: &Options, publish: &Publish) -> Result<(), Error> {
        let bare = options.bare_topic_aliases && options.protocol_version == Version::V5;
        let aliased = bare && publish.is_aliased();
        if !aliased {
            wire::check_topic(&publish.topic).map_err(|why| Error::new(ErrorCode::InvalidTopic, why))?;
        }
        wire::check_properties(PropertyOwner::Publish, &publish.properties)
            .map_err(|why| Error::new(ErrorCode::InvalidArgument, why))?;
        if publish.properties.find(PropertyId::SubscriptionIdentifier).is_some() {
            let why = "a publish to the server has no subscription identifier"; // [MQTT-3.3.4-6]
            return Err(Error::new(ErrorCode::InvalidArgument, why));
        }
        if !aliased && publish.properties.find(PropertyId::TopicAlias).is_some() {
            let why = "topic aliases belong to a connection and are chosen by the client library";
            return Err(Error::new(ErrorCode::InvalidArgument, why));
        }
        let size = wire::publish_size(options.protocol_version, publish);
        if size > PACKET_SIZE_LIMIT as usize {
            let why = format!("{size} bytes; the protocol's limit is {PACKET_SIZE_LIMIT}");
            return Err(Error::new(ErrorCode::PacketTooLarge, why));
        }
        Ok(())
    }

    /// Checks what an AUTH of ours is to say beside its method, which is that of the CONNECT [MQTT-4.12.0-5], and gives
    /// its properties.
    pub fn check_auth(data: Option<Bytes>, mut properties: Properties) -> Result<Properties, Error> {
        let invalid = |why: &str| Error::new(ErrorCode::InvalidArgument, why);
        let given = |id| properties.find(id).is_some();
        if given(PropertyId::AuthenticationMethod) || given(PropertyId::AuthenticationData) {
            return Err(invalid("the method is that of the CONNECT, and the data a parameter of its own"));
        }
        wire::check_properties(PropertyOwner::Auth, &properties).map_err(invalid)?;
        if data.as_ref().is_some_and(|data| data.len() > usize::from(u16::MAX)) {
            return Err(invalid("the authentication data is longer than 65,535 bytes"));
        }
        if let Some(data) = data {
            properties.push(PropertyId::AuthenticationData, PropertyValue::Binary(data));
        }
        Ok(properties)
    }

    /// Checks a subscribe as far as it can be checked without a connection.
    pub fn check_subscribe(subscriptions: &[Subscription], properties: &Properties) -> Result<(), Error> {
        if subscriptions.is_empty() {
            return Err(Error::new(ErrorCode::InvalidArgument, "no topic filter given"));
            // [MQTT-3.8.3-2]
        }
        for subscription in subscriptions {
            wire::check_filter(&subscription.filter)
                .map_err(|why| Error::new(ErrorCode::InvalidFilter, why))?;
            if subscription.retain_handling > 2 {
                return Err(Error::new(ErrorCode::InvalidArgument, "retain handling must be 0, 1 or 2"));
            }
            if subscription.no_local && subscription.filter.starts_with("$share/") {
                let why = "no local is not allowed on a shared subscription"; // [MQTT-3.8.3-4]
                return Err(Error::new(ErrorCode::InvalidArgument, why));
            }
        }
        wire::check_properties(PropertyOwner::Subscribe, properties)
            .map_err(|why| Error::new(ErrorCode::InvalidArgument, why))
    }

    /// Checks an unsubscribe as far as it can be checked without a connection.
    pub fn check_unsubscribe(filters: &[ByteString], properties: &Properties) -> Result<(), Error> {
        if filters.is_empty() {
            return Err(Error::new(ErrorCode::InvalidArgument, "no topic filter given"));
            // [MQTT-3.10.3-2]
        }
        for filter in filters {
            wire::check_filter(filter).map_err(|why| Error::new(ErrorCode::InvalidFilter, why))?;
        }
        wire::check_properties(PropertyOwner::Unsubscribe, properties)
            .map_err(|why| Error::new(ErrorCode::InvalidArgument, why))
    }
}
