use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;

use super::super::{open, ErrorCode};
use super::support::*;

#[test]
fn what_was_committed_is_there_when_the_store_is_opened_again() {
    let scratch = Scratch::new();
    let changes: Vec<_> = (0..1000).map(message).collect();
    leave(&scratch.store(), &changes);
    assert_eq!(sound(&scratch.store()).1, rows_of(&changes));
}

#[test]
fn changes_count_in_their_order_within_a_batch() {
    let scratch = Scratch::new();
    leave(
        &scratch.store(),
        &[put("a", "1"), remove("a"), put("b", "1"), put("b", "2"), remove("c"), put("c", "3")],
    );
    let expected = [(b"b".to_vec(), b"2".to_vec()), (b"c".to_vec(), b"3".to_vec())];
    assert_eq!(sound(&scratch.store()).1, expected.into());
}

#[test]
fn a_row_that_was_removed_stays_away() {
    let scratch = Scratch::new();
    leave(&scratch.store(), &[put("a", "1"), put("b", "2")]);
    leave(&scratch.store(), &[remove("a")]);
    assert_eq!(sound(&scratch.store()).1, rows_of(&[put("b", "2")]));
}

#[test]
fn rows_may_be_empty_and_large() {
    let scratch = Scratch::new();
    let changes =
        [put("", ""), put("empty", ""), put("large", vec![7; 3_000_000]), put(vec![9; 70_000], "x")];
    leave(&scratch.store(), &changes);
    assert_eq!(sound(&scratch.store()).1, rows_of(&changes));
}

#[test]
fn a_second_opener_in_this_process_is_told_who_has_the_store() {
    let scratch = Scratch::new();
    let (_store, _) = sound(&scratch.store());
    let error = open(&scratch.store(), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreLocked);
    assert!(error.detail.contains("this process") && error.detail.contains("session"), "{error}");
}

#[test]
fn two_spellings_of_a_path_are_one_store() {
    let scratch = Scratch::new();
    let (_store, _) = sound(&scratch.store());
    let other = scratch.store().parent().unwrap().join("./session");
    assert_eq!(open(&other, &mut |_, _| {}).unwrap_err().code, ErrorCode::StoreLocked);
}

#[test]
fn an_opener_waits_for_one_that_is_about_to_close() {
    let scratch = Scratch::new();
    let (store, _) = sound(&scratch.store());
    let path = scratch.store();
    let (waiting, ready) = mpsc::channel();
    let second = thread::spawn(move || {
        waiting.send(()).unwrap();
        open(&path, &mut |_, _| {}).map(|_| ())
    });
    ready.recv().unwrap();
    drop(store);
    second.join().unwrap().unwrap();
}

#[test]
fn directories_and_files_are_for_their_owner_only() {
    let scratch = Scratch::new();
    let path = scratch.store().join("below").join("rows");
    sound(&path);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
}

#[test]
fn a_directory_with_files_in_its_place_is_left_alone() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.store()).unwrap();
    fs::write(scratch.store().join("precious"), "x").unwrap();
    let error = open(&scratch.store(), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code, ErrorCode::StoreFailed);
    assert!(scratch.store().join("precious").exists());
}
