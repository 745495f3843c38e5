//! The committed header is what cbindgen makes of the source, and names what `symbols.txt` names.
//!
//! `REMQTT_WRITE=1 cargo test -p remqtt-ffi` rewrites the generated files instead of complaining.

#![allow(clippy::unwrap_used)] // a test, helpers included

use std::path::{Path, PathBuf};

/// Their order is the order of the header.
const SOURCES: [&str; 20] = [
    "status",
    "arguments",
    "props",
    "callbacks",
    "config",
    "handlers",
    "transport",
    "client",
    "lifecycle",
    "operations",
    "batch",
    "routes",
    "report",
    "incidents",
    "log",
    "login",
    "auth",
    "dial",
    "store",
    "message",
];
const LAST: [&str; 1] = ["dispatch"];

fn crate_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn sources() -> impl Iterator<Item = PathBuf> {
    SOURCES.iter().chain(&LAST).map(|name| crate_file(&format!("src/{name}.rs")))
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(crate_file("cbindgen.toml")).unwrap();
    let builder = sources()
        .fold(cbindgen::Builder::new().with_config(config), |builder, source| builder.with_src(source));
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

/// Every file of the source: one that `SOURCES` forgot is found by what it exports.
fn files() -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(crate_file("src")).unwrap().map(|entry| entry.unwrap().path())
}

/// The exported functions of the source, sorted.
fn exported() -> String {
    let mut names: Vec<String> = files()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .flat_map(|source| {
            let functions = source.split("extern \"C\" fn remqtt_").skip(1);
            functions.map(|rest| format!("remqtt_{}\n", rest.split('(').next().unwrap())).collect::<Vec<_>>()
        })
        .collect();
    names.sort();
    names.concat()
}

fn check(path: &Path, expected: &str) {
    if std::env::var_os("REMQTT_WRITE").is_some() {
        std::fs::write(path, expected).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == expected, "{} is not up to date: REMQTT_WRITE=1 rewrites it", path.display());
}

#[test]
fn the_committed_header_is_the_generated_one() {
    check(&crate_file("../include/remqtt/remqtt.h"), &generated());
}

#[test]
fn the_list_of_symbols_is_complete() {
    check(&crate_file("symbols.txt"), &exported());
}

#[test]
fn every_exported_function_is_in_the_header() {
    let header = generated();
    let missing: Vec<&str> =
        exported().leak().lines().filter(|name| !header.contains(&format!("{name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_panic_boundary_stands_around_every_exported_function() {
    let calls = ["boundary(", "status(", "text_to(buffer", "{ free(", "change(config", "register(config"];
    for path in files() {
        let source = std::fs::read_to_string(&path).unwrap();
        for function in source.split("#[no_mangle]\npub ").skip(1) {
            let body = function.split("\n}\n").next().unwrap();
            let constant =
                body.contains("-> u32 {\n    REMQTT_ABI_VERSION") || body.contains("VERSION.as_ptr()");
            assert!(constant || calls.iter().any(|call| body.contains(call)), "{}: {body}", path.display());
        }
    }
}

#[test]
fn every_item_of_the_header_is_documented() {
    let header = generated();
    let lines: Vec<&str> = header.lines().collect();
    for pair in lines.windows(2) {
        let item = pair[1].contains('(') && !pair[1].starts_with([' ', '*', '/', '#', '}']);
        assert!(!item || pair[0].trim().ends_with("*/"), "undocumented: {}", pair[1]);
    }
}
