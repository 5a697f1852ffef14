//! Has `look.mjs` look at pages in Chromium, and keeps the pictures in `target/pages/`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::support::{Process, eventually};

/// What Chromium is called in the packages that have it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Looks at the pages of a plan, and fails with all that is wrong with them.
pub async fn look(name: &str, plan: &Value) {
    static TOOLS: OnceCell<PathBuf> = OnceCell::const_new();
    let tools = TOOLS.get_or_init(async || install()).await;
    let pictures = folder().join(name);
    fs::remove_dir_all(&pictures).ok();
    fs::create_dir_all(&pictures).unwrap();
    let (planned, said) = (pictures.join("plan.json"), pictures.join("problems.txt"));
    fs::write(&planned, plan.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages/look.mjs");
    let argv: [OsString; 6] =
        ["node".into(), script.into(), chromium().into(), tools.into(), pictures.into(), planned.into()];
    let output = File::create(&said).unwrap();
    let mut node = Process::spawn(&argv, |command| {
        command.stdout(output.try_clone().unwrap()).stderr(output);
    });
    let status = eventually(Duration::from_mins(10), "all pages are looked at", async || node.exited()).await;
    let said = fs::read_to_string(said).unwrap();
    assert!(status.success() && said.is_empty(), "{status}\n{said}");
}

/// `target/pages`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("pages")
}

fn chromium() -> String {
    let found = Command::new("sh")
        .args(["-c", "for name; do command -v \"$name\" && exit; done", "find"])
        .args(NAMES)
        .output()
        .expect("a shell starts");
    let path = String::from_utf8(found.stdout).expect("a path in UTF-8").trim().to_owned();
    assert!(!path.is_empty(), "no Chromium on the path: on Debian, apt-get install chromium nodejs npm");
    path
}

/// Installs what `package.json` names, as its lock file has it.
fn install() -> PathBuf {
    let tools = folder().join("tools");
    fs::create_dir_all(&tools).unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    let lock = fs::read(files.join("package-lock.json")).unwrap();
    // The last file that an installation leaves, so that one that was interrupted is done again.
    let done = tools.join("installed.json");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return tools;
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(files.join(file), tools.join(file)).unwrap();
    }
    let output = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&tools)
        .stdin(Stdio::null())
        .output()
        .expect("no npm on the path: on Debian, apt-get install chromium nodejs npm");
    assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    fs::write(done, lock).unwrap();
    tools
}
