//! MQTT 5 properties: core's `Properties`, opaque to C.

use std::ffi::{c_char, CString};
use std::sync::LazyLock;

use remqtt_core::proto::PropertyKind;
use remqtt_core::{ByteString, Error, Properties, PropertyId, PropertyValue};

use crate::arguments::{by_mut, by_ref, invalid, remqtt_bytes, remqtt_str, write};
use crate::boundary::{boundary, free, status};
use crate::status::{name_at, names, remqtt_status};

/// Kind of a property's value: no such property.
pub const REMQTT_PROPERTY_UNKNOWN: i32 = 0;
/// Kind of a property's value: a number, for remqtt_props_add_int.
pub const REMQTT_PROPERTY_NUMBER: i32 = 1;
/// Kind of a property's value: UTF-8 text, for remqtt_props_add_bytes.
pub const REMQTT_PROPERTY_TEXT: i32 = 2;
/// Kind of a property's value: binary data, for remqtt_props_add_bytes.
pub const REMQTT_PROPERTY_BINARY: i32 = 3;
/// Kind of a property's value: a pair of texts, for remqtt_props_add_bytes.
pub const REMQTT_PROPERTY_PAIR: i32 = 4;

/// A list of MQTT 5 properties in their order. One thread at a time. A list given to a call is copied; one that a
/// callback or a message shows lives as long as that, and is neither freed nor changed.
///
/// Identifiers are those of the MQTT 5 specification, section 2.2.2.2. Whether a property may stand in a packet is
/// checked by the call that gets the list.
pub struct remqtt_props {
    /// Pointers to this type are pointers to `Properties`; C sees neither.
    _opaque: [u8; 0],
}

/// A list of core as C sees it.
pub(crate) fn view(list: &Properties) -> *const remqtt_props {
    std::ptr::from_ref(list).cast()
}

/// Copies a list of the caller; NULL is the empty one.
///
/// # Safety
/// `props` is NULL or comes from `remqtt_props_new` or `view` and is alive.
pub(crate) unsafe fn copy(props: *const remqtt_props) -> Properties {
    // SAFETY: the caller's promise is ours; the pointee is a `Properties`, see `remqtt_props`.
    unsafe { props.cast::<Properties>().as_ref() }.cloned().unwrap_or_default()
}

fn known(id: u8) -> Result<PropertyId, Error> {
    PropertyId::from_u8(id).ok_or_else(|| invalid(format!("no property has the identifier 0x{id:02X}")))
}

fn number(id: PropertyId, value: u32) -> Result<PropertyValue, Error> {
    let too_large = || invalid(format!("{value} is too large for {}", id.row().name));
    match id.row().kind {
        PropertyKind::Byte => u8::try_from(value).map(PropertyValue::Byte).map_err(|_| too_large()),
        PropertyKind::TwoByte => u16::try_from(value).map(PropertyValue::TwoByte).map_err(|_| too_large()),
        PropertyKind::FourByte => Ok(PropertyValue::FourByte(value)),
        PropertyKind::Variable => Ok(PropertyValue::Variable(value)),
        _ => Err(invalid(format!("{} is no number", id.row().name))),
    }
}

/// # Safety
/// As for `remqtt_bytes::read`.
unsafe fn text(bytes: remqtt_bytes, id: PropertyId) -> Result<ByteString, Error> {
    // SAFETY: the caller's promise is ours.
    unsafe { remqtt_str { ptr: bytes.ptr.cast(), len: bytes.len }.read(id.row().name) }
}

/// # Safety
/// As for `remqtt_bytes::read`.
unsafe fn data(id: PropertyId, key: remqtt_bytes, value: remqtt_bytes) -> Result<PropertyValue, Error> {
    if key.len > 0 && id.row().kind != PropertyKind::Pair {
        return Err(invalid(format!("{} has no key", id.row().name)));
    }
    // SAFETY: the caller's promise is ours.
    unsafe {
        match id.row().kind {
            PropertyKind::Text => Ok(PropertyValue::Text(text(value, id)?)),
            PropertyKind::Binary => Ok(PropertyValue::Binary(value.read(id.row().name)?)),
            PropertyKind::Pair => Ok(PropertyValue::Pair(text(key, id)?, text(value, id)?)),
            _ => Err(invalid(format!("{} is a number", id.row().name))),
        }
    }
}

static NAMES: LazyLock<Box<[CString]>> =
    LazyLock::new(|| names(PropertyId::TABLE.iter().map(|row| row.name)));

/// The specification's name of the property with this identifier, as in `SessionExpiryInterval`; NULL if there is
/// none. A static string. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_property_name(id: u8) -> *const c_char {
    boundary(
        |_| std::ptr::null(),
        || {
            let at = PropertyId::TABLE.iter().position(|row| row.id as u8 == id);
            Ok(at.map_or(std::ptr::null(), |at| name_at(&NAMES, at)))
        },
    )
}

/// What kind of value the property with this identifier has, REMQTT_PROPERTY_... Any thread.
#[no_mangle]
pub extern "C" fn remqtt_property_kind(id: u8) -> i32 {
    boundary(
        |_| REMQTT_PROPERTY_UNKNOWN,
        || {
            Ok(match known(id)?.row().kind {
                PropertyKind::Text => REMQTT_PROPERTY_TEXT,
                PropertyKind::Binary => REMQTT_PROPERTY_BINARY,
                PropertyKind::Pair => REMQTT_PROPERTY_PAIR,
                _ => REMQTT_PROPERTY_NUMBER,
            })
        },
    )
}

/// An empty list, to be freed with remqtt_props_free. NULL only when memory is out. Any thread.
#[no_mangle]
pub extern "C" fn remqtt_props_new() -> *mut remqtt_props {
    boundary(|_| std::ptr::null_mut(), || Ok(Box::into_raw(Box::new(Properties::new())).cast()))
}

/// Frees a list of remqtt_props_new. NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn remqtt_props_free(props: *mut remqtt_props) {
    // SAFETY: it came from `remqtt_props_new`, and the caller gives it up.
    unsafe { free(props.cast::<Properties>()) }
}

/// Appends a property whose value is a number (Byte, Two Byte, Four Byte, Variable Byte Integer).
/// REMQTT_E_INVALID_ARGUMENT: `props` is NULL, `id` is unknown or no number, `value` is too large for it.
#[no_mangle]
pub unsafe extern "C" fn remqtt_props_add_int(props: *mut remqtt_props, id: u8, value: u32) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for `props`.
        let list = unsafe { by_mut(props.cast::<Properties>(), "props") }?;
        let id = known(id)?;
        list.push(id, number(id, value)?);
        Ok(())
    })
}

/// Appends a property whose value is text, binary data or a pair of texts. `key` is for the pair (User Property,
/// 0x26) and empty for all others. Both are copied.
/// REMQTT_E_INVALID_ARGUMENT: `props` is NULL, `id` is unknown or a number, a text is not UTF-8.
#[no_mangle]
pub unsafe extern "C" fn remqtt_props_add_bytes(
    props: *mut remqtt_props,
    id: u8,
    key: remqtt_bytes,
    value: remqtt_bytes,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for `props`.
        let list = unsafe { by_mut(props.cast::<Properties>(), "props") }?;
        let id = known(id)?;
        // SAFETY: the header's rule for `key` and `value`.
        list.push(id, unsafe { data(id, key, value) }?);
        Ok(())
    })
}

/// How many properties there are; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_props_count(props: *const remqtt_props) -> usize {
    boundary(
        |_| 0,
        || {
            // SAFETY: the header's rule for `props`.
            Ok(unsafe { props.cast::<Properties>().as_ref() }.map_or(0, Properties::len))
        },
    )
}

/// The property at `index`, counted from 0. Each of the last four may be NULL: its identifier; its value if it is a
/// number, else 0; its key if it is a pair, else empty; its text or binary value, else empty. Views live as long as
/// the list is not changed.
/// REMQTT_E_INVALID_ARGUMENT: `props` is NULL or `index` is past the end.
#[no_mangle]
pub unsafe extern "C" fn remqtt_props_get(
    props: *const remqtt_props,
    index: usize,
    id: *mut u8,
    number: *mut u32,
    key: *mut remqtt_bytes,
    value: *mut remqtt_bytes,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rule for `props`.
        let list = unsafe { by_ref(props.cast::<Properties>(), "props") }?;
        let (found, content) = list.0.get(index).ok_or_else(|| invalid("index is past the last property"))?;
        let (n, k, v): (u32, &[u8], &[u8]) = match content {
            PropertyValue::Byte(n) => (u32::from(*n), &[], &[]),
            PropertyValue::TwoByte(n) => (u32::from(*n), &[], &[]),
            PropertyValue::FourByte(n) | PropertyValue::Variable(n) => (*n, &[], &[]),
            PropertyValue::Text(text) => (0, &[], text.as_bytes()),
            PropertyValue::Binary(bytes) => (0, &[], bytes),
            PropertyValue::Pair(key, text) => (0, key.as_bytes(), text.as_bytes()),
        };
        // SAFETY: the header's rule for results: NULL or room for one.
        unsafe {
            write(id, *found as u8);
            write(number, n);
            write(key, remqtt_bytes::of(k));
            write(value, remqtt_bytes::of(v));
        }
        Ok(())
    })
}
