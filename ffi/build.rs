//! Link arguments of libremqtt.so that rustc does not give by itself.

fn main() {
    // 0 while the ABI is unstable; the major number of the ABI from 1.0 on. rustc sets no SONAME at all.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libremqtt.so.0");
    // Threads and thread-local destructors outlive a dlclose, and so must the code they run.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
