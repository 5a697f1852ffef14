//! The `freshet` program, run as users run it.

use super::guard::Process;
use super::soon;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The program that this build made.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_freshet");

/// A running daemon, killed when dropped or when the test process ends.
#[derive(Debug)]
pub struct Freshet {
    process: Process,
    folder: TempDir,
    lines: Lines,
}

impl Freshet {
    /// `freshet run` with this configuration, which should say `[http] listen = "127.0.0.1:0"`.
    pub fn start(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_command(&["run"], config, environment)
    }

    /// A command that stays up, with this configuration in `$FRESHET_CONFIG`.
    pub fn start_command(arguments: &[&str], config: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_program(Path::new(PROGRAM), arguments, config, environment)
    }

    /// The same of another build.
    pub fn start_program(
        program: &Path,
        arguments: &[&str],
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut argv = vec![program.as_os_str().to_owned()];
        argv.extend(arguments.iter().map(OsString::from));
        Self::start_argv(&argv, config, environment)
    }

    /// The same through a shell, where `$FRESHET` is the program. The script must `exec` it, so that signals reach it.
    pub fn start_script(script: &str, config: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_argv(&["sh", "-c", script].map(OsString::from), config, environment)
    }

    fn start_argv(argv: &[OsString], config: &str, environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a folder for the configuration");
        let file = folder.path().join("freshet.toml");
        std::fs::write(&file, config).expect("the configuration is written");
        let mut process = Process::spawn(argv, |command| {
            prepare(command, environment);
            command.env("FRESHET_CONFIG", &file).stdout(Stdio::piped()).stderr(Stdio::piped());
        });
        let lines = Lines::default();
        lines.collect(process.child().stdout.take().expect("a pipe"));
        lines.collect(process.child().stderr.take().expect("a pipe"));
        Self { process, folder, lines }
    }

    /// The configuration file, to change it before [`Freshet::signal`] with `HUP`.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("freshet.toml")
    }

    /// Everything it wrote so far, standard output and error together.
    pub fn log(&self) -> String {
        self.lines.text()
    }

    /// Waits for a line that contains `part`.
    pub async fn line(&self, part: &str) -> String {
        let what = format!("a log line with {part:?}");
        soon(&what, async || {
            let found = self.lines.find(part);
            found.ok_or_else(|| format!("the log so far:\n{}", self.log()))
        })
        .await
    }

    /// Where it serves HTTP, as its log tells in the field `http.listen`.
    pub async fn http_addr(&self) -> SocketAddr {
        let line = self.line("http.listen").await;
        listen_address(&line).unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// The status and body of a `GET`.
    pub async fn get(&self, path: &str) -> (u16, String) {
        get(self.http_addr().await, path).await.expect("freshet answers over HTTP")
    }

    /// As [`Freshet::get`], for when nobody may answer.
    pub async fn try_get(&self, path: &str) -> std::io::Result<(u16, String)> {
        get(self.http_addr().await, path).await
    }

    /// Waits until `/readyz` answers 200.
    pub async fn ready(&self) {
        let addr = self.http_addr().await;
        soon("/readyz answers 200", async || match get(addr, "/readyz").await {
            Ok((200, _)) => Ok(()),
            Ok((status, body)) => Err(format!("{status} {body}")),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// A metric's value: `series` as `/metrics` writes it, labels in order. 0 where it is missing.
    pub async fn metric(&self, series: &str) -> f64 {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "/metrics answers {status}: {text}");
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Its number, as the system has it.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The memory it has in use, in KiB: what it holds itself, and the code and libraries of a release build. Those of the
    /// build that is tested take twice as much and grow with each line, and would hide what is held.
    pub fn resident(&self) -> u64 {
        const RELEASE_CODE: u64 = 16 * 1024;
        let id = self.process.id();
        let kib = |text: &str| text.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        let held = match std::fs::read_to_string(format!("/proc/{id}/status")) {
            Ok(status) => {
                status.lines().find_map(|line| Some(kib(line.strip_prefix("RssAnon:")?)? + RELEASE_CODE))
            }
            // Not on Linux: with all of its code.
            Err(_) => Command::new("ps")
                .args(["-o", "rss=", "-p", &id.to_string()])
                .output()
                .ok()
                .and_then(|output| kib(&String::from_utf8(output.stdout).ok()?)),
        };
        held.expect("the size of a running process")
    }

    /// The most memory that it had in use so far, in KiB; none where the system does not tell, or it has ended.
    pub fn peak_resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        peak.split_whitespace().next()?.parse().ok()
    }

    /// How many threads it has, and how many files and sockets are open. Linux only.
    pub fn threads_and_files(&self) -> (usize, usize) {
        let count = |what| {
            std::fs::read_dir(format!("/proc/{}/{what}", self.process.id()))
                .expect("a running process")
                .count()
        };
        (count("task"), count("fd"))
    }

    /// A signal by its name: `TERM`, `HUP`, `INT`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// Waits until it has ended by itself. A `run` that needs more than `delivery.shutdown_grace` ends with another status
    /// than 0.
    pub async fn exit(&mut self) -> ExitStatus {
        let log = self.lines.clone();
        soon("freshet ends", async || {
            self.process.exited().ok_or_else(|| format!("the log so far:\n{}", log.text()))
        })
        .await
    }

    /// SIGTERM, then [`Freshet::exit`]; anything but status 0 is a failure.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        let status = self.exit().await;
        assert!(status.success(), "freshet ended with {status}:\n{}", self.log());
    }
}

/// Runs one command of `freshet` to its end in `folder`, with `input` on standard input.
pub fn freshet(arguments: &[&str], folder: &Path, environment: &[(&str, &str)], input: &[u8]) -> Output {
    let mut command = Command::new(PROGRAM);
    prepare(&mut command, environment);
    let mut child = command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("freshet starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // A command that never reads its input closes the pipe early.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().expect("freshet ends")
    })
}

/// Runs a shell script to its end in `folder`; `$FRESHET` is the program.
pub fn script(script: &str, folder: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("sh");
    prepare(&mut command, environment);
    command.args(["-c", script]).current_dir(folder).stdin(Stdio::null()).output().expect("a shell starts")
}

/// The address in the field `http.listen` of a log line, text or JSON.
pub fn listen_address(line: &str) -> Option<SocketAddr> {
    let after = line.split("http.listen").nth(1)?.trim_start_matches(['=', '"', ':', ' ']);
    let end = after.find(|letter: char| !letter.is_ascii_hexdigit() && !".:[]".contains(letter));
    after[..end.unwrap_or(after.len())].parse().ok()
}

/// Removes variables of the user who runs the test.
pub fn prepare(command: &mut Command, environment: &[(&str, &str)]) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FRESHET_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
        .env("FRESHET", PROGRAM)
        .env("NO_COLOR", "1")
        .env("RUST_BACKTRACE", "1")
        .envs(environment.iter().copied());
}

/// One plain HTTP GET.
pub async fn get(addr: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    exchange(addr, &format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n")).await
}

/// One plain HTTP POST with a JSON body.
pub async fn post(addr: SocketAddr, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    exchange(addr, &with_body("POST", addr, path, body)).await
}

/// One plain HTTP PUT with a JSON body.
pub async fn put(addr: SocketAddr, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    exchange(addr, &with_body("PUT", addr, path, body)).await
}

fn with_body(method: &str, addr: SocketAddr, path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {addr}\r\nContent-Length: {length}\r\n");
    format!("{head}Content-Type: application/json\r\n\r\n{body}")
}

/// One plain HTTP DELETE.
pub async fn delete(addr: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    exchange(addr, &format!("DELETE {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n")).await
}

async fn exchange(addr: SocketAddr, request: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let broken = || std::io::Error::other(format!("no HTTP answer: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    Ok((status, body.to_owned()))
}

/// Lines that a child wrote, collected by threads that end with its pipes.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn collect(&self, pipe: impl Read + Send + 'static) {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    fn find(&self, part: &str) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find(|line| line.contains(part)).cloned()
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
