//! Child processes that never outlive the demo, whatever ends it.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

/// Kills and reaps its process when dropped. If this process is killed first, the kernel does it.
pub(crate) struct Guard {
    pub(crate) child: Child,
}

impl Guard {
    /// Must be called on the main thread: the kernel ties the child's life to the thread that spawned it.
    pub(crate) fn spawn(program: &Path, set: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        // A group of its own: Ctrl-C reaches the demo alone, which then ends its children in order.
        command.process_group(0);
        set(&mut command);
        match command.spawn() {
            Ok(child) => Ok(Self { child }),
            Err(error) => Err(io::Error::other(format!("cannot start {}: {error}", program.display()))),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // An error means that the process has ended by itself, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
