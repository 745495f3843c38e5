//! Link arguments of libremqtt.so that rustc does not give by itself, and the name it is loaded by.

use std::path::Path;

/// 0 while the ABI is unstable; the major number of the ABI from 1.0 on. rustc sets no SONAME at all.
const SONAME: &str = "libremqtt.so.0";

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // Threads and thread-local destructors outlive a dlclose, and so must the code they run.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
    // A program linked against target/release looks for the SONAME there: give the library that name too.
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    if let Some(profile) = Path::new(&out).ancestors().nth(3) {
        // The only error that matters is that it exists already; without the link only uninstalled programs fail.
        let _ = std::os::unix::fs::symlink("libremqtt.so", profile.join(SONAME));
    }
}
