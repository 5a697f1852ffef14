//! Processes and folders that cannot outlive the tests, not even when the test process is killed.
//!
//! Statics are not dropped, and a killed process drops nothing. So each child has a shell beside it that waits for
//! the end of a pipe held by the test process: the system closes the pipe however the process ended.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// The child waits for a line, which comes once its watcher runs, so that it is never without one.
const GATE: &str = r#"read -r _ || exit 1; exec "$@" </dev/null"#;
/// A line means that the group is gone; the end of the pipe means that the test process is.
const WATCH_GROUP: &str = r#"trap '' INT TERM HUP; read -r _ || kill -s KILL -- "-$1""#;
/// Tries again because what was just killed may still be writing. Whatever is mounted there stays whole.
const WATCH_FOLDER: &str = r#"trap '' INT TERM HUP
read -r _
for _ in 1 2 3 4 5; do
    umount -l "$1/proc" "$1/sys"
    rm -rf --one-file-system -- "$1" && break
    sleep 0.3
done"#;

const WATCH_CONTAINER: &str = r#"trap '' INT TERM HUP; read -r _; docker rm --force --volumes "$1""#;

/// A child in a process group of its own, killed with its group on drop and at the end of the test process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    watcher: Watcher,
}

impl Process {
    /// Starts `argv` with standard input at its end; `setup` may set the environment and where output goes.
    pub fn spawn(argv: &[OsString], setup: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", GATE, "gate"]).args(argv).process_group(0);
        setup(&mut command);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("a shell starts");
        let watcher = Watcher::start(WATCH_GROUP, &child.id().to_string());
        let mut gate = child.stdin.take().expect("the gate's pipe");
        gate.write_all(b"go\n").expect("the gate opens");
        Self { child, watcher }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The pipes, where `setup` asked for them.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// A signal (`TERM`, `HUP`, ...) for the process itself.
    pub fn signal(&self, signal: &str) {
        send_signal(signal, &self.child.id().to_string());
    }

    /// A signal for the process and all it started.
    pub fn signal_group(&self, signal: &str) {
        send_signal(signal, &format!("-{}", self.child.id()));
    }

    /// The exit status, once it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child can be waited for");
        if status.is_some() {
            self.watcher.dismiss();
        }
        status
    }

    /// Kills the whole group and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        if self.exited().is_none() {
            self.signal_group("KILL");
        }
        let status = self.child.wait().expect("a child can be waited for");
        self.watcher.dismiss();
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send_signal(signal: &str, whom: &str) {
    // The shell's own `kill`, because a small machine has no other. A process that is already gone is no failure.
    let _status = Command::new("sh")
        .args(["-c", r#"kill -s "$1" -- "$2""#, "signal", signal, whom])
        .stderr(Stdio::null())
        .status()
        .expect("a shell starts");
}

/// A folder that is removed on drop and at the end of the test process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    watcher: Watcher,
}

impl Folder {
    pub fn create(path: PathBuf) -> Self {
        let watcher = Watcher::start(WATCH_FOLDER, path.to_str().expect("a path in UTF-8"));
        std::fs::create_dir_all(&path).expect("a folder under target");
        Self { path, watcher }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.watcher.dismiss();
    }
}

/// The name of a container that is removed, with its data, on drop and at the end of the test process.
#[derive(Debug)]
pub struct Container {
    pub name: String,
    watcher: Watcher,
}

impl Container {
    pub fn named(name: String) -> Self {
        let watcher = Watcher::start(WATCH_CONTAINER, &name);
        Self { name, watcher }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.watcher.dismiss();
    }
}

/// The shell beside a resource.
#[derive(Debug)]
struct Watcher {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watcher {
    fn start(script: &str, subject: &str) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", script, "watcher", subject])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        let pipe = shell.stdin.take();
        Self { shell, pipe }
    }

    /// Tells the shell that the resource was released, and waits for it.
    fn dismiss(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _broken = pipe.write_all(b"done\n");
            drop(pipe);
            let _status = self.shell.wait();
        }
    }
}
