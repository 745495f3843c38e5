//! Looking into the file of a store that no client uses.

use std::ffi::c_char;
use std::path::Path;

use remqtt_core::store::{self, Record};

use crate::arguments::{by_mut, by_ref, c_text, remqtt_str};
use crate::boundary::{boundary, free, status, text_to};
use crate::status::remqtt_status;

/// What was in the file of a store (option "store") when it was read. It never changes; any thread.
pub struct remqtt_inspection {
    size: u64,
    damage: String,
    records: Vec<Record>,
}

/// Reads the store in the file `path` (NUL-terminated) and verifies every page and every row of it; `out` gets what was
/// found (NULL on failure), to be freed with remqtt_inspection_free. A damaged store is read as far as it can be and is
/// no failure: see remqtt_inspection_damage. Changes nothing in the file; that of its lock (`path` with `.lock`) may
/// appear beside it, and no client can use the store meanwhile. Takes as long as the disk takes to copy the file to the
/// folder for temporary files and to read it there.
/// REMQTT_E_STORE_LOCKED: a client uses it. REMQTT_E_STORE_FAILED: there is no such file, or the system refuses it. Any
/// thread.
#[no_mangle]
pub unsafe extern "C" fn remqtt_inspection_new(
    path: *const c_char,
    out: *mut *mut remqtt_inspection,
) -> remqtt_status {
    status(|| {
        // SAFETY: the header's rules for results and strings.
        let (out, path) = unsafe { (by_mut(out, "out")?, c_text(path, "path")) };
        *out = std::ptr::null_mut();
        let store::Inspection { size, damage, records } = store::inspect(Path::new(path?))?;
        let damage = damage.unwrap_or_default();
        *out = Box::into_raw(Box::new(remqtt_inspection { size, damage, records }));
        Ok(())
    })
}

/// Frees what remqtt_inspection_new gave. NULL is allowed.
#[no_mangle]
pub unsafe extern "C" fn remqtt_inspection_free(inspection: *mut remqtt_inspection) {
    // SAFETY: it came from `remqtt_inspection_new`, and the caller gives it up.
    unsafe { free(inspection) }
}

/// Bytes of the file; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_inspection_size(inspection: *const remqtt_inspection) -> u64 {
    // SAFETY: the header's rule for handles.
    boundary(|_| 0, || Ok(unsafe { by_ref(inspection, "inspection") }?.size))
}

/// What is wrong with the store and what is lost, in words; empty: it is whole, or NULL. Lives as long as the
/// inspection.
#[no_mangle]
pub unsafe extern "C" fn remqtt_inspection_damage(inspection: *const remqtt_inspection) -> remqtt_str {
    // SAFETY: the header's rule for handles.
    boundary(
        |_| remqtt_str::of(""),
        || Ok(remqtt_str::of(&unsafe { by_ref(inspection, "inspection") }?.damage)),
    )
}

/// How many records a client would find there; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn remqtt_inspection_count(inspection: *const remqtt_inspection) -> usize {
    // SAFETY: the header's rule for handles.
    boundary(|_| 0, || Ok(unsafe { by_ref(inspection, "inspection") }?.records.len()))
}

/// The record with this index, counted from 0, as a JSON object in one line of ASCII: its `kind` (`session`, `publish`,
/// `message`: received, and the application has not finished with it, `identifier`: of a received QoS 2 message, taken
/// until its PUBREL, `subscription`), then its fields; a payload as hexadecimal digits. Copied to `buffer`, cut to
/// `capacity` with its NUL (`buffer` may be NULL when that is 0). Returns the length of the whole text without the NUL;
/// 0: NULL, or past the last one.
#[no_mangle]
pub unsafe extern "C" fn remqtt_inspection_record(
    inspection: *const remqtt_inspection,
    index: usize,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header's rules for handles and buffers.
    unsafe {
        text_to(buffer, capacity, || {
            let record = by_ref(inspection, "inspection")?.records.get(index);
            Ok(record.map(ToString::to_string).unwrap_or_default())
        })
    }
}
