//! The store and forks.
//!
//! One test in a program of its own, because it changes the generation of the process: what a forked child finds is
//! played by this process after it has said that it is one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failing test may panic anywhere

use std::env;
use std::fs;
use std::process;

use remqtt::store::{open, Change};
use remqtt::ErrorCode;

#[test]
fn a_forked_child_may_drop_its_copy_but_not_use_it_and_the_file_stays_as_the_parent_has_it() {
    let directory = env::temp_dir().join(format!("remqtt-fork-{}", process::id()));
    let path = directory.join("session");
    let mut inherited = open(&path, &mut |_, _| {}).unwrap().store;
    let change = Change { key: "a".into(), value: Some("b".into()) };
    inherited.commit(std::slice::from_ref(&change)).unwrap();
    let before = fs::read(&path).unwrap();

    remqtt::after_fork_in_child();
    assert_eq!(inherited.commit(&[change]).unwrap_err().code, ErrorCode::Forked);
    drop(inherited);
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_dir_all(&directory).unwrap();
}
