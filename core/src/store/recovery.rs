//! Writing a store anew, and what becomes of the file that was there.

use std::io;
use std::path::Path;

use super::base::{Base, Trouble};
use super::disk::{Medium, Plug};
use super::log::Log;
use super::rows::{self, Row, STORE_FORMAT};
use super::salvage::{salvage, Salvage};
use super::{files, Damage, ROW_FORMAT};

/// A database that was just written, and its log.
pub(super) type Written = (Base, Log);

/// A new store with what could be read of a damaged one.
pub(super) struct Recovered {
    pub(super) written: Written,
    pub(super) rows: Vec<Row>,
    pub(super) damage: Damage,
}

/// Writes a new store with what can be read of this one, which is set aside. The directory is to be synced after it.
pub(super) fn recover(path: &Path, plug: &Plug, medium: &Medium, what: &str) -> Result<Recovered, Trouble> {
    let Salvage { rows, lost, stale, formats } = salvage(medium);
    if formats.is_some_and(|found| found != (STORE_FORMAT, ROW_FORMAT)) {
        let (written, damage) = replace(path, plug, &[], unknown(formats))?;
        return Ok(Recovered { written, rows: Vec::new(), damage });
    }
    let rows: Vec<Row> = rows.into_iter().collect();
    let lost = match lost {
        Some((least, most)) if least == most => format!("{least} lost"),
        Some((least, most)) => format!("{least} to {most} lost"),
        None => "an unknown number lost".into(),
    };
    let stale = if stale && !rows.is_empty() {
        "; rows that were changed or removed may be as they were before"
    } else {
        ""
    };
    let what = format!("{what}; {} rows were recovered, {lost}{stale}", rows.len());
    let (written, damage) = replace(path, plug, &rows, what)?;
    Ok(Recovered { written, rows, damage })
}

/// Writes a new store with these rows; what is there is set aside. The directory is to be synced after it.
pub(super) fn replace(
    path: &Path,
    plug: &Plug,
    rows: &[Row],
    what: String,
) -> Result<(Written, Damage), Trouble> {
    let written = write(path, plug, rows)?;
    let aside = match files::set_aside(path) {
        // Somebody removed it while it was open.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        aside => Some(aside?),
    };
    files::settle(path)?;
    Ok((written, Damage { what, aside }))
}

/// Writes a store with these rows into a new file beside this path.
pub(super) fn write(path: &Path, plug: &Plug, rows: &[Row]) -> Result<Written, Trouble> {
    let mut portions = rows.chunks(1024);
    write_from(path, plug, || Ok(portions.next().map(<[Row]>::to_vec)))
}

/// [`write`] with the rows that `more` gives, portion by portion, until there are none.
pub(super) fn write_from(
    path: &Path,
    plug: &Plug,
    mut more: impl FnMut() -> Result<Option<Vec<Row>>, Trouble>,
) -> Result<Written, Trouble> {
    let medium = Medium::new(files::create_new(path)?, plug)?;
    let base = Base::create(medium)?;
    let mut log = Log::default();
    let mut interrupted = None;
    let written = base.write(|txn| {
        rows::inscribe(txn)?;
        loop {
            match more() {
                Ok(Some(rows)) => rows::fill(txn, &log.add(&rows))?,
                Ok(None) => return Ok(()),
                Err(trouble) => {
                    interrupted = Some(trouble);
                    return Err(redb::Error::DatabaseClosed);
                }
            }
        }
    });
    match interrupted {
        Some(trouble) => Err(trouble),
        None => written.map(|()| (base, log)),
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
