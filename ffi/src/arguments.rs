//! From C arguments to Rust values: NULL, UTF-8 and ranges are checked here, and everything is copied.

use std::ffi::{c_char, CStr};

use remqtt_core::{ByteString, Bytes, Error, ErrorCode, QoS};

/// Text: `len` bytes of UTF-8 at `ptr`, not NUL-terminated. `ptr` may be NULL when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_str {
    /// First byte.
    pub ptr: *const c_char,
    /// Number of bytes.
    pub len: usize,
}

/// Binary data: `len` bytes at `ptr`. `ptr` may be NULL when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct remqtt_bytes {
    /// First byte.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

impl remqtt_str {
    /// A view of a text that outlives what it is given to.
    pub(crate) fn of(text: &str) -> Self {
        remqtt_str { ptr: text.as_ptr().cast(), len: text.len() }
    }

    /// Copies the text.
    ///
    /// # Safety
    /// As the header says: `len` bytes can be read at `ptr`.
    pub(crate) unsafe fn read(self, name: &str) -> Result<ByteString, Error> {
        // SAFETY: the caller's promise is ours.
        let bytes = unsafe { slice(self.ptr.cast(), self.len, name) }?;
        let text = std::str::from_utf8(bytes).map_err(|_| invalid(format!("{name} is not UTF-8")))?;
        Ok(ByteString::from(text))
    }

    /// Copies the text, if there is one: a `ptr` of NULL is none, and not an empty one.
    ///
    /// # Safety
    /// As for `read`.
    pub(crate) unsafe fn read_optional(self, name: &str) -> Result<Option<ByteString>, Error> {
        // SAFETY: the caller's promise is ours.
        let read = unsafe { self.read(name) }?;
        Ok((!self.ptr.is_null()).then_some(read))
    }
}

impl remqtt_bytes {
    /// A view of bytes that outlive what it is given to.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        remqtt_bytes { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// Copies the bytes.
    ///
    /// # Safety
    /// As the header says: `len` bytes can be read at `ptr`.
    pub(crate) unsafe fn read(self, name: &str) -> Result<Bytes, Error> {
        // SAFETY: the caller's promise is ours.
        unsafe { slice(self.ptr, self.len, name) }.map(Bytes::copy_from_slice)
    }

    /// Copies the bytes, if there are any: a `ptr` of NULL is none, and not an empty one.
    ///
    /// # Safety
    /// As for `read`.
    pub(crate) unsafe fn read_optional(self, name: &str) -> Result<Option<Bytes>, Error> {
        // SAFETY: the caller's promise is ours.
        let read = unsafe { self.read(name) }?;
        Ok((!self.ptr.is_null()).then_some(read))
    }
}

/// An error of the caller, in words.
pub(crate) fn invalid(detail: impl Into<Box<str>>) -> Error {
    Error::new(ErrorCode::InvalidArgument, detail)
}

/// An array of the caller. NULL is an empty one if the length says so too.
///
/// # Safety
/// If `ptr` is not NULL, `len` values live there as long as the call.
pub(crate) unsafe fn slice<'a, T>(ptr: *const T, len: usize, name: &str) -> Result<&'a [T], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if ptr.is_null() || !ptr.is_aligned() || len > isize::MAX as usize / size_of::<T>() {
        return Err(invalid(format!("{name} is NULL, misaligned or too long")));
    }
    // SAFETY: neither NULL nor misaligned nor larger than an object can be; the caller promises the values.
    Ok(unsafe { std::slice::from_raw_parts(ptr, len) })
}

/// What a pointer of the caller points to.
///
/// # Safety
/// If `ptr` is not NULL, a value lives there as long as the call, and nobody changes it meanwhile.
pub(crate) unsafe fn by_ref<'a, T>(ptr: *const T, name: &str) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise is ours; a misaligned pointer never came from this library.
    unsafe { ptr.as_ref() }.ok_or_else(|| invalid(format!("{name} is NULL")))
}

/// What a pointer of the caller points to, to be changed.
///
/// # Safety
/// If `ptr` is not NULL, a value lives there as long as the call, and nobody else uses it meanwhile.
pub(crate) unsafe fn by_mut<'a, T>(ptr: *mut T, name: &str) -> Result<&'a mut T, Error> {
    // SAFETY: the caller's promise is ours.
    unsafe { ptr.as_mut() }.ok_or_else(|| invalid(format!("{name} is NULL")))
}

/// Copies a text, cut to the buffer with its NUL, and gives the length of the whole.
///
/// # Safety
/// If `buffer` is not NULL, `capacity` bytes can be written there.
pub(crate) unsafe fn copy_text(text: &str, buffer: *mut c_char, capacity: usize) -> usize {
    if !buffer.is_null() && capacity > 0 {
        let mut length = text.len().min(capacity - 1);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        // SAFETY: the caller gives `capacity` writable bytes; `length` and the NUL fit, and texts do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast(), length);
            buffer.add(length).write(0);
        }
    }
    text.len()
}

/// Writes a result where the caller wants one.
///
/// # Safety
/// If `ptr` is not NULL, a `T` can be written there.
pub(crate) unsafe fn write<T>(ptr: *mut T, value: T) {
    if !ptr.is_null() {
        // SAFETY: not NULL, and the caller promises the room.
        unsafe { ptr.write(value) }
    }
}

/// A NUL-terminated text of the caller.
///
/// # Safety
/// If `ptr` is not NULL, a NUL-terminated string lives there as long as the call.
pub(crate) unsafe fn c_text<'a>(ptr: *const c_char, name: &str) -> Result<&'a str, Error> {
    if ptr.is_null() {
        return Err(invalid(format!("{name} is NULL")));
    }
    // SAFETY: not NULL, and the caller promises the terminator.
    unsafe { CStr::from_ptr(ptr) }.to_str().map_err(|_| invalid(format!("{name} is not UTF-8")))
}

/// A quality of service.
pub(crate) fn qos(value: u8) -> Result<QoS, Error> {
    QoS::from_u8(value).ok_or_else(|| Error::new(ErrorCode::InvalidQoS, format!("not {value}")))
}

/// A flag: 0 or 1, so that a stray byte is noticed and other values stay free.
pub(crate) fn flag(value: u8, name: &str) -> Result<bool, Error> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(invalid(format!("{name} must be 0 or 1, not {value}"))),
    }
}
