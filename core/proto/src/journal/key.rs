//! The name of a row.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// As many bytes fit beside the tag in the space of a boxed slice and a word.
const SHORT: usize = 22;

/// The name of a row: bytes that need no allocation where they are few, as all but filters are.
#[derive(Clone)]
pub struct Key(Bytes);

#[derive(Clone)]
enum Bytes {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Key {
    /// The name that begins with `kind` and goes on with `name`.
    pub(super) fn new(kind: u8, name: &[u8]) -> Key {
        let mut bytes = [kind; SHORT];
        match bytes.get_mut(1..=name.len()) {
            Some(rest) => {
                rest.copy_from_slice(name);
                Key(Bytes::Short(1 + name.len() as u8, bytes))
            }
            None => Key(Bytes::Long([&[kind], name].concat().into())),
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Key {
    fn from(name: &[u8]) -> Key {
        match name.split_first() {
            Some((kind, name)) => Key::new(*kind, name),
            None => Key(Bytes::Short(0, [0; SHORT])),
        }
    }
}

impl From<Vec<u8>> for Key {
    fn from(name: Vec<u8>) -> Key {
        Key::from(&*name)
    }
}

impl From<&str> for Key {
    fn from(name: &str) -> Key {
        Key::from(name.as_bytes())
    }
}

/// So that a map of names is asked with slices.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_is_what_it_was_made_of() {
        for len in [0, 1, 9, SHORT - 1, SHORT, SHORT + 1, 70_000] {
            let name: Vec<u8> = (0..len).map(|number| number as u8).collect();
            assert_eq!(*Key::from(&*name), *name, "{len}");
        }
    }

    #[test]
    fn a_name_is_no_larger_than_three_words() {
        assert_eq!(size_of::<Key>(), 24);
    }
}
