//! The scenario language: `scenarios/README.md` describes it.
//!
//! A file is read into one [`Run`] for each combination of its variants: variables are replaced, `repeat` blocks
//! unrolled, `if` conditions decided. What is left is a flat list of steps, each of which knows its line.

mod step;
mod words;

pub use step::{Action, Cut, Expr, Step};

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

type Result<T> = std::result::Result<T, String>;
type Variables = BTreeMap<String, String>;

/// How long a step waits when it does not say: virtual time in the simulator, an upper bound on a real network.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// One file.
#[derive(Debug)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    /// Rows of the table of scenarios that it covers.
    pub rows: Vec<u32>,
    /// Where it can run, with reasons.
    pub limits: Vec<Limit>,
    /// Why the simulator does not repeat it with cuts, if it does not.
    pub no_cuts: Option<String>,
    rogue: bool,
    /// One for each combination of variants.
    pub runs: Vec<Run>,
}

/// An `only` or `skip` line.
#[derive(Debug)]
pub struct Limit {
    only: bool,
    stages: Vec<String>,
    reason: String,
}

/// One combination of variants, ready to be played.
#[derive(Debug, Clone)]
pub struct Run {
    /// As in `version=4 session=kept`.
    pub variant: String,
    /// Protocol level, 4 or 5.
    pub level: u8,
    /// Whether the server keeps the session when a conforming server takes over.
    pub session_kept: bool,
    /// The peer keeps to the protocol, so the client can be judged by the model.
    pub conforming: bool,
    /// Options of the client.
    pub options: Vec<(String, String)>,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Scenario> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Scenario::parse(&name, &text).map_err(|error| format!("{}:{error}", path.display()))
    }

    /// Reads every scenario of a folder, in the order of their names.
    pub fn load_all(folder: &Path) -> Result<Vec<Scenario>> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "scn"));
        paths.sort();
        paths.iter().map(|path| Scenario::load(path)).collect()
    }

    /// Reads the text of a file. Errors begin with the number of their line.
    pub fn parse(name: &str, text: &str) -> Result<Scenario> {
        let mut scenario = Scenario {
            name: name.to_string(),
            rows: rows(text),
            limits: Vec::new(),
            no_cuts: None,
            rogue: false,
            runs: Vec::new(),
        };
        let mut variants: Vec<(String, Vec<String>)> = Vec::new();
        let mut script = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let number = at + 1;
            let words = words::split(line).map_err(|error| format!("{number}: {error}"))?;
            match words.first().map(String::as_str) {
                None => {}
                Some("variants") => {
                    variants = words[1..].iter().map(|word| variant(number, word)).collect::<Result<_>>()?;
                }
                Some("only" | "skip") => scenario.limits.push(limit(number, &words)?),
                Some(word @ ("cuts" | "rogue")) => {
                    let [.., reason] = words.as_slice() else { continue };
                    if !reason.starts_with('"') {
                        return Err(format!("{number}: {word} and a \"reason\""));
                    }
                    scenario.no_cuts = Some(words::text(reason)?);
                    scenario.rogue = word == "rogue";
                }
                Some(_) => script.push((number, line.to_string())),
            }
        }
        for variables in combinations(&variants) {
            let mut run = run(&script, &variants, variables)?;
            run.conforming = !scenario.rogue;
            scenario.runs.push(run);
        }
        Ok(scenario)
    }

    /// Why the scenario is not played on the stage that has these names (`["sim"]`, `["net", "rust", "tls"]`, ...), if
    /// it is not.
    pub fn skipped_on(&self, stage: &[&str]) -> Option<&str> {
        let named = |limit: &Limit| limit.stages.iter().any(|have| stage.contains(&have.as_str()));
        self.limits.iter().find(|limit| limit.only != named(limit)).map(|limit| limit.reason.as_str())
    }
}

/// `row 5` or `rows 5, 6` anywhere in the comment at the head.
fn rows(text: &str) -> Vec<u32> {
    let head: String =
        text.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join(" ").to_lowercase();
    let mut words = head.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
    let mut rows = Vec::new();
    while let Some(word) = words.next() {
        if word == "row" || word == "rows" {
            while let Some(row) = words.peek().and_then(|word| word.trim_matches(['.', ':']).parse().ok()) {
                rows.push(row);
                words.next();
            }
        }
    }
    rows
}

fn variant(number: usize, word: &str) -> Result<(String, Vec<String>)> {
    let (name, values) =
        word.split_once('=').ok_or_else(|| format!("{number}: variants name=value,value, not {word:?}"))?;
    Ok((name.to_string(), values.split(',').map(str::to_string).collect()))
}

fn limit(number: usize, words: &[String]) -> Result<Limit> {
    let [verb, stages @ .., reason] = words else { return Err(format!("{number}: no stages")) };
    if !reason.starts_with('"') || stages.is_empty() {
        return Err(format!("{number}: {verb} STAGE... \"reason\""));
    }
    Ok(Limit { only: verb == "only", stages: stages.to_vec(), reason: words::text(reason)? })
}

/// Every combination of the variants' values; MQTT 5 and a kept session where the file does not say.
fn combinations(variants: &[(String, Vec<String>)]) -> Vec<Variables> {
    let defaults = [("version", "5"), ("session", "kept")];
    let mut all = vec![defaults.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()];
    for (name, values) in variants {
        all = all
            .iter()
            .flat_map(|variables: &Variables| {
                values.iter().map(|value| {
                    let mut variables = variables.clone();
                    variables.insert(name.clone(), value.clone());
                    variables
                })
            })
            .collect();
    }
    all
}

fn run(
    script: &[(usize, String)],
    variants: &[(String, Vec<String>)],
    mut variables: Variables,
) -> Result<Run> {
    let shown: Vec<String> = variants.iter().map(|(name, _)| format!("{name}={}", variables[name])).collect();
    let kept = variables["session"] == "kept";
    let level = variables["version"].parse().map_err(|_| "1: version is 4 or 5")?;
    variables.insert("sp".into(), u8::from(kept).to_string());
    let mut run = Run {
        variant: shown.join(" "),
        level,
        session_kept: kept,
        conforming: true,
        options: vec![
            ("protocol_version".into(), variables["version"].clone()),
            // A script sees each packet: none comes of itself, unless the script asks for it.
            ("detect_within".into(), "0".into()),
        ],
        steps: Vec::new(),
    };
    let mut names = HashSet::new();
    unroll(script, &mut variables, &mut |number, line| {
        step::parse(number, line, &mut names, &mut run).map_err(|error| format!("{number}: {error}"))
    })?;
    Ok(run)
}

/// Hands every line that remains to `take`, variables replaced, `repeat` blocks repeated.
fn unroll(
    lines: &[(usize, String)],
    variables: &mut Variables,
    take: &mut impl FnMut(usize, &str) -> Result<()>,
) -> Result<()> {
    let mut at = 0;
    while let Some((number, line)) = lines.get(at) {
        let blame = |error: String| format!("{number}: {error}");
        let line = words::substitute(line, variables).map_err(blame)?;
        let words = words::split(&line).map_err(blame)?;
        if words[0] == "repeat" {
            let (name, low, high) = words::range(&words).map_err(blame)?;
            let end = block_end(&lines[at..]).ok_or_else(|| blame("repeat without end".into()))? + at;
            for value in low..=high {
                variables.insert(name.clone(), value.to_string());
                unroll(&lines[at + 1..end], variables, take)?;
            }
            at = end;
        } else {
            take(*number, &line)?;
        }
        at += 1;
    }
    Ok(())
}

/// Where the block that begins with the first line ends.
fn block_end(lines: &[(usize, String)]) -> Option<usize> {
    let mut depth = 0;
    lines.iter().position(|(_, line)| {
        match line.split_whitespace().next() {
            Some("repeat") => depth += 1,
            Some("end") => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}
