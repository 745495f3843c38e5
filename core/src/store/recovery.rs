//! Writing a store anew, and what becomes of the file that was there.

use std::path::Path;

use super::base::{Base, Trouble};
use super::disk::{Medium, Plug};
use super::rows::{self, Row, STORE_FORMAT};
use super::salvage::{salvage, Salvage};
use super::{files, Damage, ROW_FORMAT};

/// A new store with what could be read of a damaged one.
pub(super) struct Recovered {
    pub(super) base: Base,
    pub(super) rows: Vec<Row>,
    pub(super) damage: Damage,
}

/// Writes a new store with what can be read of this one, which is set aside. The directory is to be synced after it.
pub(super) fn recover(path: &Path, plug: &Plug, medium: &Medium, what: &str) -> Result<Recovered, Trouble> {
    let Salvage { rows, expected, formats } = salvage(medium);
    if formats.is_some_and(|found| found != (STORE_FORMAT, ROW_FORMAT)) {
        let (base, damage) = replace(path, plug, &[], unknown(formats))?;
        return Ok(Recovered { base, rows: Vec::new(), damage });
    }
    let rows: Vec<Row> = rows.into_iter().collect();
    let lost = match expected.map(|expected| expected.saturating_sub(rows.len() as u64)) {
        Some(lost) => format!("{lost} lost"),
        None => "an unknown number lost".into(),
    };
    let what = format!("{what}; {} rows were recovered, {lost}", rows.len());
    let (base, damage) = replace(path, plug, &rows, what)?;
    Ok(Recovered { base, rows, damage })
}

/// Writes a new store with these rows; what is there is set aside. The directory is to be synced after it.
pub(super) fn replace(
    path: &Path,
    plug: &Plug,
    rows: &[Row],
    what: String,
) -> Result<(Base, Damage), Trouble> {
    let base = write(path, plug, rows)?;
    let aside = files::set_aside(path)?;
    files::settle(path)?;
    Ok((base, Damage { what, aside: Some(aside) }))
}

/// Writes a store with these rows into a new file beside this path.
pub(super) fn write(path: &Path, plug: &Plug, rows: &[Row]) -> Result<Base, Trouble> {
    let mut rest = rows;
    write_from(path, plug, |_| {
        let (some, others) = rest.split_at(rest.len().min(1024));
        rest = others;
        Ok(some.to_vec())
    })
}

/// [`write`] with the rows that `more` gives, portion by portion; it is told which was the last.
pub(super) fn write_from(
    path: &Path,
    plug: &Plug,
    mut more: impl FnMut(Option<&[u8]>) -> Result<Vec<Row>, Trouble>,
) -> Result<Base, Trouble> {
    let medium = Medium::new(files::create_new(path)?, plug)?;
    let base = Base::create(medium)?;
    let mut interrupted = None;
    let written = base.write(|txn| {
        rows::inscribe(txn)?;
        let mut last = None;
        loop {
            match more(last.as_deref()) {
                Ok(rows) => {
                    rows::fill(txn, &rows)?;
                    match rows.into_iter().next_back() {
                        Some((key, _)) => last = Some(key),
                        None => return Ok(()),
                    }
                }
                Err(trouble) => {
                    interrupted = Some(trouble);
                    return Err(redb::Error::DatabaseClosed);
                }
            }
        }
    });
    match interrupted {
        Some(trouble) => Err(trouble),
        None => written.map(|()| base),
    }
}

/// Says what a database is that is not ours.
pub(super) fn unknown(formats: Option<(u32, u32)>) -> String {
    match formats {
        Some((store, rows)) => format!(
            "it has store format {store} and row format {rows}, and this version reads {STORE_FORMAT} and {ROW_FORMAT}"
        ),
        None => "it is a database of another program".into(),
    }
}
