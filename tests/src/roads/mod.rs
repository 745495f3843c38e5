//! Every road to a real mosquitto, in every language: exchange, survive a reset, survive a restart of the broker.
//!
//! A cell of the matrix has two parties. The subject is the shim of a language, and comes over the road; the other is
//! the Rust shim on plain TCP. Both publish numbered messages of QoS 1 and 2 to each other, before, during and after
//! the fault, and both count what arrives.

mod cell;
mod party;
mod site;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub use cell::{Fault, Tally};
pub use site::Road;

use site::Site;

/// A cell that was played.
#[derive(Debug)]
struct Cell {
    road: usize,
    language: usize,
    fault: usize,
    outcome: Result<Tally, String>,
}

/// The matrix.
#[derive(Debug)]
pub struct Matrix {
    languages: Vec<&'static str>,
    cells: Vec<Cell>,
}

impl Matrix {
    /// Plays every cell with these shims (language and command); the first is the Rust shim. Several roads at once:
    /// most of the time is waiting.
    pub fn play(shims: &[(&'static str, String)]) -> Matrix {
        let cells = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let worker = || {
            while let Some((number, road)) =
                Road::ALL.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
            {
                let played = travel(number, *road, shims);
                cells.lock().unwrap_or_else(PoisonError::into_inner).extend(played);
            }
        };
        std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(worker))));
        let languages = shims.iter().map(|(language, _)| *language).collect();
        Matrix { languages, cells: cells.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }

    /// What went wrong, one paragraph for each cell.
    pub fn failures(&self) -> Vec<String> {
        let failed = |cell: &Cell| {
            let (road, language) = (Road::ALL[cell.road].name(), self.languages[cell.language]);
            let fault = Fault::ALL[cell.fault].name();
            let why = match &cell.outcome {
                Err(why) => why.clone(),
                Ok(tally) if tally.is_clean() => return None,
                Ok(tally) => format!("{tally:?}"),
            };
            Some(format!("{road}, {language}, {fault}: {why}"))
        };
        self.cells.iter().filter_map(failed).collect()
    }

    /// Roads by languages and faults, and what was lost and doubled on each road.
    pub fn table(&self) -> String {
        let mut text = format!("{:<25}", "road");
        for language in &self.languages {
            text += &format!(" | {language:<22}");
        }
        text += &format!(" | {:<11} | {:<13}\n{:25}", "QoS 1", "QoS 2", "");
        for _ in &self.languages {
            text += " | exchange reset restart";
        }
        text += " | lost  again | lost  doubled";
        for (number, road) in Road::ALL.iter().enumerate() {
            text += &format!("\n{:<25}", road.name());
            let mut sum = Tally::default();
            for language in 0..self.languages.len() {
                text += " |";
                for (fault, width) in [8, 5, 7].into_iter().enumerate() {
                    text += &format!(" {:<width$}", self.judgement(number, language, fault, &mut sum));
                }
            }
            text += &format!(" | {:>4} {:>6}", sum.lost[0], sum.doubled[0]);
            text += &format!(" | {:>4} {:>8}", sum.lost[1], sum.doubled[1]);
        }
        let good =
            self.cells.iter().filter(|cell| matches!(&cell.outcome, Ok(tally) if tally.is_clean())).count();
        let all = Road::ALL.len() * self.languages.len() * Fault::ALL.len();
        text + &format!("\n{good} of {all} cells green, {} messages of each QoS in each", 2 * cell::MESSAGES)
    }

    fn judgement(&self, road: usize, language: usize, fault: usize, sum: &mut Tally) -> &'static str {
        let mut cells = self.cells.iter();
        match cells.find(|cell| (cell.road, cell.language, cell.fault) == (road, language, fault)) {
            Some(Cell { outcome: Ok(tally), .. }) => {
                sum.add(tally);
                if tally.is_clean() {
                    "ok"
                } else {
                    "WRONG"
                }
            }
            _ => "FAIL",
        }
    }
}

/// All cells of a road, with a broker of their own.
fn travel(number: usize, road: Road, shims: &[(&'static str, String)]) -> Vec<Cell> {
    let mut site = Site::open(road);
    let mut cells = Vec::new();
    for (language, (name, shim)) in shims.iter().enumerate() {
        for (fault, kind) in Fault::ALL.into_iter().enumerate() {
            let outcome =
                cell::play(&mut site, kind, &format!("{name}-{}", kind.name()), [shim, &shims[0].1]);
            cells.push(Cell { road: number, language, fault, outcome });
        }
    }
    cells
}
