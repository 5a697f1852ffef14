//! Finds a RabbitMQ 4 on this machine.

use super::target_dir;
use super::tree::{self, find_on_path, output};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A broker that is run by somebody else.
pub const EXTERNAL_URL: &str = "FRESHET_TEST_AMQP_URL";
/// The image that is run where there is a Docker engine.
pub const IMAGE: &str = "rabbitmq:4";

const NONE: &str = "these tests need RabbitMQ 4 and found none. One of these is enough:
  * rabbitmq-server 4 on the PATH (Debian 13: apt-get install rabbitmq-server; macOS: brew install rabbitmq);
  * a running Docker engine that this user may use (`docker info` succeeds);
  * root on Debian: the tests then build and enter what they need under target/;
  * FRESHET_TEST_AMQP_URL=amqp://user:password@host:5672/vhost, for all tests but those that stop nodes.";

/// One way of running a node.
#[derive(Debug, Clone)]
pub enum Server {
    /// A broker run by somebody else: no node of it can be stopped.
    External { url: String },
    /// RabbitMQ's own scripts and Erlang's port mapper, on this machine (`root` is none) or in a Debian tree.
    Scripts { root: Option<PathBuf>, bin: PathBuf, epmd: PathBuf },
    /// Containers of [`IMAGE`].
    Docker,
}

impl Server {
    /// Looks once per test process, and prefers what is already there.
    pub fn find() -> &'static Self {
        static FOUND: OnceLock<Server> = OnceLock::new();
        FOUND.get_or_init(|| {
            if let Ok(url) = std::env::var(EXTERNAL_URL) {
                Self::External { url }
            } else if let Some(installed) = installed() {
                installed
            } else if !output("docker", &["info"]).is_empty() {
                Self::Docker
            } else if tree::possible() {
                Self::Scripts {
                    root: Some(tree::ready()),
                    bin: "/usr/lib/rabbitmq/bin".into(),
                    epmd: "/usr/bin/epmd".into(),
                }
            } else {
                panic!("{NONE}");
            }
        })
    }
}

/// A `rabbitmq-server` of the right age on the path.
fn installed() -> Option<Server> {
    let found = std::fs::canonicalize(find_on_path("rabbitmq-server")?).ok()?;
    // Debian's script on the path changes the user and the log's place; the one that it wraps does not.
    let wrapped = Path::new("/usr/lib/rabbitmq/bin");
    let bin = if wrapped.join("rabbitmq-server").exists() { wrapped } else { found.parent()? };
    let epmd = find_on_path("epmd").or_else(|| {
        let root = output("erl", &["-noshell", "-eval", "io:put_chars(code:root_dir()), halt()."]);
        Some(PathBuf::from(root).join("bin/epmd")).filter(|file| file.is_file())
    })?;
    let server = Server::Scripts { root: None, bin: bin.to_owned(), epmd };
    // Erlang leaves a cookie in its home.
    let home = [("HOME", target_dir().display().to_string())];
    let argv = server.argv(&bin.join("rabbitmqctl"), &home, &["version"]);
    let arguments: Option<Vec<&str>> = argv[1..].iter().map(|argument| argument.to_str()).collect();
    let version = output(argv[0].to_str()?, &arguments?);
    let major: u32 = version.lines().last()?.trim().split('.').next()?.parse().ok()?;
    (major >= 4).then_some(server)
}

impl Server {
    /// The command line of one of RabbitMQ's or Erlang's programs, with an environment of its own.
    pub fn argv(&self, program: &Path, environment: &[(&str, String)], arguments: &[&str]) -> Vec<OsString> {
        let Self::Scripts { root, bin, .. } = self else { panic!("{self:?} runs no scripts") };
        let mut argv: Vec<OsString> = Vec::new();
        let path = if let Some(root) = root {
            argv.extend(["chroot".into(), root.into()]);
            "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
        } else {
            std::env::var("PATH").unwrap_or_default()
        };
        argv.extend(["/usr/bin/env".into(), "-i".into()]);
        argv.push(format!("PATH={}:{path}", bin.display()).into());
        argv.push("LANG=C.UTF-8".into());
        argv.extend(environment.iter().map(|(name, value)| format!("{name}={value}").into()));
        argv.push(program.into());
        argv.extend(arguments.iter().map(OsString::from));
        argv
    }
}
