//! A small Debian 13 with RabbitMQ 4, for machines that have neither RabbitMQ 4 nor Docker: Debian 12 has 3.10.
//!
//! Built once under the target folder (half a minute, 300 MB) and entered by chroot. Other test processes wait for
//! it; a build that was interrupted is never used, because a tree gets its name only when it is whole.

use super::guard::{Folder, Process};
use super::target_dir;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SUITE: &str = "trixie";

/// Whether this machine can build and enter a tree at all.
pub fn possible() -> bool {
    is_root() && on_path("apt-get") && Path::new("/etc/debian_version").exists()
}

/// The tree's root, built first where it is missing.
pub fn ready() -> PathBuf {
    let tree = target_dir().join("rabbitmq-tree");
    let lock = File::create(target_dir().join("rabbitmq-tree.lock")).expect("a lock file under target");
    lock.lock().expect("the lock on the tree");
    if !tree.exists() {
        build(&tree);
    }
    tree
}

fn build(tree: &Path) {
    eprintln!("no RabbitMQ 4 on this machine: building a Debian {SUITE} tree with it, once, under target/");
    if !on_path("debootstrap") {
        apt_get(&["update"]);
        apt_get(&["install", "-y", "--no-install-recommends", "debootstrap", "debian-archive-keyring"]);
    }
    let draft = tree.with_extension("draft");
    // A draft that is already there was left by a build whose machine went down; nobody else holds the lock.
    if draft.exists() {
        drop(Folder::create(draft.clone()));
    }
    let folder = Folder::create(draft);
    let log_path = tree.with_extension("log");
    let log = File::create(&log_path).expect("a log under target");
    let argv = [
        "debootstrap".into(),
        "--variant=minbase".into(),
        "--include=rabbitmq-server".into(),
        SUITE.into(),
        folder.path().into(),
        OsString::from(mirror()),
    ];
    let mut debootstrap = Process::spawn(&argv, |command| {
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        if let Some(proxy) = proxy() {
            command.env("http_proxy", &proxy).env("https_proxy", proxy);
        }
    });
    let status = debootstrap.child().wait().expect("debootstrap ends");
    debootstrap.exited();
    assert!(status.success(), "debootstrap failed ({status}):\n{}", tail(&log_path));
    // Without a /proc of its own, debootstrap cannot tell that it mounted one, and leaves it.
    for mounted in ["proc", "sys"] {
        let _not_mounted =
            Command::new("umount").arg(folder.path().join(mounted)).stderr(Stdio::null()).status();
    }
    for leftover in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        std::fs::remove_dir_all(folder.path().join(leftover)).expect("what apt left in the tree");
    }
    std::fs::rename(folder.path(), tree).expect("the whole tree gets its name");
}

/// The mirror that apt is set up with: whatever reaches packages on this machine reaches these.
fn mirror() -> String {
    let ask = || {
        let listed = output("apt-get", &["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
        listed.lines().find(|uri| uri.starts_with("http") && !uri.contains("security")).map(str::to_owned)
    };
    ask()
        .or_else(|| {
            apt_get(&["update"]);
            ask()
        })
        .expect("apt names no mirror: install rabbitmq-server 4 or set FRESHET_TEST_AMQP_URL")
}

fn proxy() -> Option<String> {
    let set = output("apt-config", &["shell", "PROXY", "Acquire::http::Proxy"]);
    Some(set.trim().strip_prefix("PROXY='")?.strip_suffix('\'')?.to_owned()).filter(|proxy| proxy != "DIRECT")
}

fn apt_get(arguments: &[&str]) {
    let done = Command::new("apt-get")
        .args(["-qq", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .expect("apt-get starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "apt-get {} failed: {said}", arguments.join(" "));
}

/// The end of a log, for a message.
pub fn tail(log: &Path) -> String {
    let text =
        std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// A command's output; empty if it cannot run or fails.
pub fn output(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|done| done.status.success())
        .map(|done| String::from_utf8_lossy(&done.stdout).into_owned())
        .unwrap_or_default()
}

/// The first file of that name on the path.
pub fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

fn is_root() -> bool {
    output("id", &["-u"]).trim() == "0"
}
