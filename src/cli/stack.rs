//! Deep stacks for all threads of the daemon.
//!
//! The client library reads a message's headers by recursion, on a thread of its own, and a frame has room for headers
//! nested tens of thousands of levels deep. With the usual stack such a message would end every replica that it is
//! delivered to. How deep stacks are is told to the standard library by the environment, before the first thread
//! starts; so the process replaces itself once. What is not used of a stack costs no memory.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::config;

const VARIABLE: &str = "RUST_MIN_STACK";
const BYTES: &str = "536870912";

/// Replaces the process by itself with deep stacks, unless the environment says how deep they are. Returns only if
/// that is not needed or not possible; then it goes on as it is.
pub(super) fn deepen() {
    if config::environment(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let _failed: std::io::Error = again.args(arguments).env(VARIABLE, BYTES).exec();
}
