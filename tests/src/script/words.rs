//! Words of a line: quoting, comments, variables, literal values.

use std::time::Duration;

use super::{Result, Variables};

/// The words of a line, quotes kept. `#` begins a comment at the start of a word.
pub(super) fn split(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '#' if word.is_empty() => break,
            '"' => {
                quoted = !quoted;
                word.push(character);
            }
            '\\' if quoted => {
                word.push(character);
                word.push(characters.next().ok_or("a backslash at the end")?);
            }
            _ if quoted || !character.is_whitespace() => word.push(character),
            _ if !word.is_empty() => words.push(std::mem::take(&mut word)),
            _ => {}
        }
    }
    if quoted {
        return Err("a quote is not closed".into());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// Replaces `$name`, `${name}`, `${name+3}` and `${name-other}`; `$$` is a dollar sign.
pub(super) fn substitute(line: &str, variables: &Variables) -> Result<String> {
    let line = line.replace("$$", "\u{1}");
    let mut parts = line.split('$');
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (inside, rest) = match part.strip_prefix('{') {
            Some(part) => part.split_once('}').ok_or("${ without }")?,
            None => {
                let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
                part.split_at(end)
            }
        };
        let at = inside.find(['+', '-']).unwrap_or(inside.len());
        let (name, offset) = inside.split_at(at);
        let value = variables.get(name).ok_or_else(|| format!("no variable is named {name:?}"))?;
        if offset.is_empty() {
            out += value;
        } else {
            let (sign, second) = offset.split_at(1);
            let second = variables.get(second).map_or(second, String::as_str);
            let second = second.parse::<i64>().map(|second| if sign == "-" { -second } else { second });
            let sum = value.parse::<i64>().ok().zip(second.ok()).map(|(a, b)| a + b);
            out += &sum.ok_or_else(|| format!("${{{inside}}} is no sum of numbers"))?.to_string();
        }
        out += rest;
    }
    Ok(out.replace('\u{1}', "$"))
}

/// `repeat i=1..10`
pub(super) fn range(words: &[String]) -> Result<(String, u64, u64)> {
    let usage = || "repeat name=1..10".to_string();
    let [_, word] = words else { return Err(usage()) };
    let (name, range) = word.split_once('=').ok_or_else(usage)?;
    let (low, high) = range.split_once("..").ok_or_else(usage)?;
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) => Ok((name.to_string(), low, high)),
        _ => Err(usage()),
    }
}

/// `key=value`, where the key is a plain name.
pub(super) fn pair(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    let plain =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    plain.then_some((key, value))
}

/// A literal: `word`, `"text"`, `"text"*100`, `hex:00ff`.
pub(super) fn literal(word: &str) -> Result<Vec<u8>> {
    if let Some(digits) = word.strip_prefix("hex:") {
        return crate::text::unhex(digits).ok_or_else(|| format!("{digits:?} is not hexadecimal"));
    }
    let Some(quoted) = word.strip_prefix('"') else { return Ok(word.as_bytes().to_vec()) };
    let (inside, times) = quoted.rsplit_once('"').ok_or("a quote is not closed")?;
    let times = match times.strip_prefix('*') {
        Some(times) => times.parse().map_err(|_| format!("{times:?} is no number"))?,
        None if times.is_empty() => 1,
        None => return Err(format!("{times:?} after a quote")),
    };
    Ok(unescape(inside)?.repeat(times))
}

/// A literal that is text.
pub(super) fn text(word: &str) -> Result<String> {
    String::from_utf8(literal(word)?).map_err(|_| format!("{word} is not UTF-8"))
}

fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('n') => bytes.push(b'\n'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits}"))?);
            }
            Some(other) => bytes.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
    }
    Ok(bytes)
}

/// `0x87` or `135`.
pub(super) fn number(word: &str) -> Result<u64> {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.map_err(|_| format!("{word:?} is no number"))
}

/// `200ms` or `4s`.
pub(super) fn duration(word: &str) -> Result<Duration> {
    let wrong = || format!("{word:?} is no duration (200ms, 4s)");
    if let Some(number) = word.strip_suffix("ms") {
        return number.parse().map(Duration::from_millis).map_err(|_| wrong());
    }
    word.strip_suffix('s').and_then(|number| number.parse().ok()).map(Duration::from_secs).ok_or_else(wrong)
}
