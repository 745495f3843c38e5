//! Structs that can grow: the first field says how large the caller's version is (the rule of Linux'
//! `copy_struct_from_user`). What both know is copied; a longer struct is accepted while its tail is zero, which
//! means that its newer fields ask for nothing; a shorter one gets zeros for what it lacks.

use remqtt_core::Error;

use crate::arguments::invalid;

/// Larger sizes are no struct of any version but an uninitialised field.
const LIMIT: usize = 4096;

/// A struct of the header whose first field is `size_t size`.
///
/// # Safety
/// The type is `repr(C)`, its first field is a `usize`, and all zeros is a valid value of it.
pub(crate) unsafe trait SizeFirst: Copy {
    /// Its size in the first version of the header.
    const OLDEST: usize;
}

/// The part of the size that is checked before anything else is touched.
///
/// # Safety
/// If `ptr` is not NULL, at least a `usize` can be read there.
unsafe fn size_of_callers<T: SizeFirst>(ptr: *const T, name: &str) -> Result<usize, Error> {
    if ptr.is_null() || !ptr.is_aligned() {
        return Err(invalid(format!("{name} is NULL or misaligned")));
    }
    // SAFETY: not NULL, aligned; a `SizeFirst` begins with its size.
    let size = unsafe { ptr.cast::<usize>().read() };
    if !(T::OLDEST..=LIMIT).contains(&size) {
        return Err(invalid(format!("{name}.size is {size}: start from its _INIT macro")));
    }
    Ok(size)
}

/// Copies a struct of the caller.
///
/// # Safety
/// If `ptr` is not NULL, as many bytes as its first field says can be read there.
pub(crate) unsafe fn read<T: SizeFirst>(ptr: *const T, name: &str) -> Result<T, Error> {
    // SAFETY: the caller's promise is ours.
    let size = unsafe { size_of_callers(ptr, name) }?;
    let known = size.min(size_of::<T>());
    let source = ptr.cast::<u8>();
    // SAFETY: the caller promises `size` bytes.
    let tail = unsafe { std::slice::from_raw_parts(source.add(known), size - known) };
    if tail.iter().any(|&byte| byte != 0) {
        return Err(invalid(format!("{name} uses fields that this version of the library does not have")));
    }
    // SAFETY: zeros are a `T`, and so is it after bytes of a `T` were copied over its head.
    unsafe {
        let mut value: T = std::mem::zeroed();
        std::ptr::copy_nonoverlapping(source, (&raw mut value).cast::<u8>(), known);
        Ok(value)
    }
}

/// Copies the structs of an array of the caller one after the other: each is as large as its first field says, and the
/// next one begins there.
///
/// # Safety
/// As for `read`, for each of the `count` structs, as long as the iterator is used.
pub(crate) unsafe fn each<T: SizeFirst>(
    first: *const T,
    count: usize,
    name: &str,
) -> impl Iterator<Item = Result<T, Error>> + use<'_, T> {
    let mut at = first;
    (0..count).map(move |_| {
        // SAFETY: the caller's promise is ours; the size can be trusted after the struct was read.
        unsafe {
            let value = read(at, name)?;
            at = at.byte_add(at.cast::<usize>().read());
            Ok(value)
        }
    })
}

/// Fills a struct of the caller, whose size stays as it is; fields that only the caller knows become zero.
///
/// # Safety
/// If `ptr` is not NULL, as many bytes as its first field says can be written there.
pub(crate) unsafe fn fill<T: SizeFirst>(ptr: *mut T, value: &T, name: &str) -> Result<(), Error> {
    // SAFETY: the caller's promise is ours.
    let size = unsafe { size_of_callers(ptr.cast_const(), name) }?;
    let (known, head) = (size.min(size_of::<T>()), size_of::<usize>());
    // SAFETY: both sides have `known` bytes, the caller's `size`; the first field is left out.
    unsafe {
        let from = std::ptr::from_ref(value).cast::<u8>();
        std::ptr::copy_nonoverlapping(from.add(head), ptr.cast::<u8>().add(head), known - head);
        ptr.cast::<u8>().add(known).write_bytes(0, size - known);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Old {
        size: usize,
        a: u64,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct New {
        size: usize,
        a: u64,
        b: u64,
    }
    // SAFETY: `repr(C)`, size first, integers only.
    unsafe impl SizeFirst for Old {
        const OLDEST: usize = 16;
    }
    // SAFETY: as above.
    unsafe impl SizeFirst for New {
        const OLDEST: usize = 16;
    }

    #[test]
    fn a_program_older_than_the_library_gets_zeros_for_what_it_does_not_know() {
        let old = Old { size: 16, a: 7 };
        // SAFETY: 16 bytes are there.
        let new: New = unsafe { read((&raw const old).cast(), "s") }.unwrap();
        assert_eq!((new.a, new.b), (7, 0));
    }

    #[test]
    fn a_newer_program_is_understood_while_its_new_fields_ask_for_nothing() {
        let mut new = New { size: 24, a: 7, b: 0 };
        // SAFETY: 24 bytes are there.
        assert_eq!(unsafe { read::<Old>((&raw const new).cast(), "s") }.unwrap().a, 7);
        new.b = 1;
        // SAFETY: 24 bytes are there.
        assert!(unsafe { read::<Old>((&raw const new).cast(), "s") }.is_err());
    }

    #[test]
    fn sizes_that_no_version_has_are_refused() {
        for size in [0, 8, 15, 5000, usize::MAX] {
            let old = Old { size, a: 7 };
            // SAFETY: the size is refused before more than itself is read.
            assert!(unsafe { read(&raw const old, "s") }.is_err(), "{size}");
        }
    }

    #[test]
    fn filling_respects_the_size_and_clears_what_only_the_caller_knows() {
        let mut new = New { size: 24, a: 1, b: 1 };
        // SAFETY: 24 bytes are there.
        unsafe { fill((&raw mut new).cast(), &Old { size: 16, a: 9 }, "s") }.unwrap();
        assert_eq!((new.size, new.a, new.b), (24, 9, 0));
        let mut old = [16u64, 1, 5];
        // SAFETY: the first two words are what the size says.
        unsafe { fill(old.as_mut_ptr().cast(), &New { size: 24, a: 9, b: 9 }, "s") }.unwrap();
        assert_eq!(old, [16, 9, 5]);
    }
}
