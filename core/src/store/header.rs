//! redb's header, the first bytes of the file: which of two slots counts, and what each slot says.
//!
//! Its file format 3 is documented; what is read here is checked against it by the tests of damage.

/// Its length: all that decides which pages count.
pub(super) const HEADER: usize = 320;

const GOD_BYTE: usize = 9;
const PRIMARY_BIT: u8 = 1;
const RECOVERY_REQUIRED: u8 = 2;
const TWO_PHASE: u8 = 4;
const REGION_PAGES: usize = 20;
/// The most pages that a region can have, and what every file of ours has.
const MAX_REGION_PAGES: u64 = 1 << 20;
const FILE_FORMAT: u8 = 3;
const SLOTS: [usize; 2] = [64, 192];
/// In a slot: the format's version, whether there is a root, the root, and the number of the commit.
const VERSION: usize = 0;
const HAS_ROOT: usize = 1;
const ROOT: usize = 8;
const COMMIT: usize = 104;
/// Commits by which the slots may differ; with more between them a number is damaged.
const APART: u64 = 1000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Header(pub(super) [u8; HEADER]);

impl Header {
    /// The number of the commit that counts.
    pub(super) fn commit(&self) -> u64 {
        self.number(self.primary())
    }

    /// The other slot's commit is older, as it is in every header that a [`Medium`](super::disk::Medium) writes.
    pub(super) fn is_in_order(&self) -> bool {
        self.commit() > self.number(1 - self.primary())
    }

    /// Whoever wrote it closed it, and was certain that its newest commit is whole.
    pub(super) fn is_closed(&self) -> bool {
        self.0[GOD_BYTE] & (RECOVERY_REQUIRED | TWO_PHASE) == TWO_PHASE
    }

    pub(super) fn region_pages(&self) -> u64 {
        let pages = u32_at(&self.0, REGION_PAGES).map_or(0, u64::from);
        match pages {
            1..=MAX_REGION_PAGES => pages,
            _ => MAX_REGION_PAGES,
        }
    }

    /// The roots of the trees that list all tables, that of the newer commit first.
    pub(super) fn roots(&self) -> impl Iterator<Item = u64> + '_ {
        let difference = self.number(0).abs_diff(self.number(1));
        let newest = match difference {
            1..=APART => usize::from(self.number(1) > self.number(0)),
            _ => self.primary(),
        };
        [newest, 1 - newest].into_iter().filter_map(|slot| {
            let slot = &self.0[SLOTS[slot]..];
            (slot[VERSION] == FILE_FORMAT && slot[HAS_ROOT] != 0).then(|| u64_at(slot, ROOT))?
        })
    }

    fn primary(&self) -> usize {
        usize::from(self.0[GOD_BYTE] & PRIMARY_BIT)
    }

    fn number(&self, slot: usize) -> u64 {
        u64_at(&self.0, SLOTS[slot] + COMMIT).unwrap_or(0)
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?).into())
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
