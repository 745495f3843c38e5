//! Bytes as the specification prints them, with lengths counted by the reader.

/// Reads hexadecimal bytes and four abbreviations: `'abc'` is its bytes, `"abc"` its bytes after a two-byte length,
/// `[ ... ]` what is between the brackets after a variable byte integer with its length, `9*AABB` nine times the bytes AA BB.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut blocks = vec![Vec::new()];
    for word in text.split_whitespace() {
        if word == "[" {
            blocks.push(Vec::new());
            continue;
        }
        let bytes = match word {
            "]" => {
                let block = blocks.pop().expect("a block to close");
                [variable(block.len()), block].concat()
            }
            _ => one_word(word),
        };
        blocks.last_mut().expect("as many '[' as ']'").extend(bytes);
    }
    assert_eq!(blocks.len(), 1, "as many '[' as ']' in {text}");
    blocks.remove(0)
}

fn one_word(word: &str) -> Vec<u8> {
    if let Some(ascii) = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return ascii.as_bytes().to_vec();
    }
    if let Some(string) = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return [&(string.len() as u16).to_be_bytes(), string.as_bytes()].concat();
    }
    let (count, digits) = word.split_once('*').unwrap_or(("1", word));
    let once: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_else(|_| panic!("{word} is no byte")))
        .collect();
    once.repeat(count.parse().expect("a count before '*'"))
}

/// Written for these tests, so that the table does not lean on the code it judges.
fn variable(length: usize) -> Vec<u8> {
    let groups = [length & 0x7F, length >> 7 & 0x7F, length >> 14 & 0x7F, length >> 21];
    let last = groups.iter().rposition(|group| *group != 0).unwrap_or(0);
    (0..=last).map(|at| groups[at] as u8 | if at < last { 0x80 } else { 0 }).collect()
}
