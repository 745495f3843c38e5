//! Bytes as the specification prints them.

/// Reads hexadecimal bytes; `'text'` stands for its ASCII bytes, `nn*hh` for `nn` times the byte `hh`.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        if let Some(ascii) = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            out.extend_from_slice(ascii.as_bytes());
        } else if let Some((count, byte)) = word.split_once('*') {
            let byte = u8::from_str_radix(byte, 16).expect("a byte after '*'");
            out.resize(out.len() + count.parse::<usize>().expect("a count before '*'"), byte);
        } else {
            out.push(u8::from_str_radix(word, 16).unwrap_or_else(|_| panic!("{word} in {text} is no byte")));
        }
    }
    out
}
