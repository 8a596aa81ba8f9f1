//! Secrets: where they come from, and how they are read. A secret never prints; an error names the source only.
//!
//! A relative `file` of a configuration file is taken from the folder of that file (the loader makes it absolute), one
//! of the environment from the working folder. Files and answers may have 64 KiB; one line end at their end is not part
//! of the secret.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::SecretString;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::units::Period;
use crate::fault::Fault;

/// The name under which serde sees a [`Secret`]; the first pass over a file knows secrets by it.
pub(super) const NAME: &str = "Secret";
const KEYS: &[&str] = &["file", "credential", "env", "command", "timeout"];
const MAX_BYTES: u64 = 64 << 10;
const COMMAND_TIMEOUT: Period = Period::secs(10);

/// Where a secret comes from: `{ file | credential | env | command }`, or plain text in a file that only its owner reads.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text itself.
    Plain(String),
    /// The text of a file, without the line end.
    File {
        /// Its path.
        file: String,
    },
    /// A systemd credential: a file below `$CREDENTIALS_DIRECTORY`.
    Credential {
        /// Its name.
        credential: String,
    },
    /// An environment variable.
    Env {
        /// Its name.
        env: String,
    },
    /// What a program prints, without the line end. No shell is involved.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// The time it may take.
        timeout: Period,
    },
}

/// A secret that could not be read. Names the source, never the value.
#[derive(Debug, thiserror::Error)]
#[error("reading the secret from {source_name}: {reason}")]
pub struct SecretError {
    source_name: String,
    reason: String,
}

impl Secret {
    /// Reads the secret now; sources other than plain text are asked each time, so that a rotated secret is found.
    ///
    /// # Errors
    /// When the source is away, refuses, is readable by others, takes too long, or gives nothing.
    pub async fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::File { file } => read_file(Path::new(file), Mode::OwnerOnly).await,
            Self::Credential { credential } => {
                match credential_path(std::env::var_os("CREDENTIALS_DIRECTORY"), credential) {
                    Ok(path) => read_file(&path, Mode::Any).await,
                    Err(reason) => Err(reason),
                }
            }
            Self::Env { env } => std::env::var(env).map_err(|error| match error {
                std::env::VarError::NotPresent => "it is not set".to_owned(),
                std::env::VarError::NotUnicode(_) => "it is not UTF-8 text".to_owned(),
            }),
            Self::Command { command, timeout } => match tokio::time::timeout(timeout.0, run(command)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {timeout}")),
            },
        };
        match text {
            Ok(text) if text.is_empty() => Err("it is empty".to_owned()),
            other => other,
        }
        .map(SecretString::from)
        .map_err(|reason| SecretError { source_name: self.to_string(), reason })
    }
}

impl SecretError {
    /// A person must act; whatever needs the secret waits meanwhile, and asks again.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Unauthorized
    }
}

/// Whether the mode of a file is looked at. systemd guards credentials by access lists, which show as group rights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    OwnerOnly,
    Any,
}

async fn read_file(path: &Path, mode: Mode) -> Result<String, String> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = tokio::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).await.map_err(io_reason)?;
    let meta = file.metadata().await.map_err(io_reason)?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let bits = meta.permissions().mode() & 0o7777;
    if mode == Mode::OwnerOnly && bits & 0o077 != 0 {
        return Err(format!("its mode is {bits:04o}, so others than its owner may use it; `chmod 600` it"));
    }
    read_text(file).await
}

fn credential_path(folder: Option<OsString>, name: &str) -> Result<PathBuf, String> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err("the name of a credential has no `/` and is not empty".to_owned());
    }
    let folder = folder.ok_or("$CREDENTIALS_DIRECTORY is not set: the unit needs a LoadCredential= line")?;
    Ok(Path::new(&folder).join(name))
}

async fn run(command: &[String]) -> Result<String, String> {
    let (program, args) = command.split_first().ok_or("the command is empty")?;
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(io_reason)?;
    let stdout = child.stdout.take().ok_or("its output cannot be read")?;
    let text = read_text(stdout).await?;
    let status = child.wait().await.map_err(io_reason)?;
    if status.success() { Ok(text) } else { Err(format!("it ended with {status}")) }
}

async fn read_text(source: impl AsyncRead + Unpin) -> Result<String, String> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes).await.map_err(io_reason)?;
    if u64::try_from(bytes.len()).map_or(true, |n| n > MAX_BYTES) {
        return Err("it has more than 64 KiB".to_owned());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn io_reason(error: std::io::Error) -> String {
    error.to_string()
}

/// The source, as it is named in errors.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("the configuration"),
            Self::File { file } => write!(f, "file `{}`", file.escape_debug()),
            Self::Credential { credential } => write!(f, "credential `{}`", credential.escape_debug()),
            Self::Env { env } => write!(f, "environment variable `{}`", env.escape_debug()),
            Self::Command { command, .. } => {
                write!(f, "program `{}`", command.first().map_or("", String::as_str).escape_debug())
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

/// The source; `"(secret)"` for a plain one. Arguments of a program are left out: one of them may be a secret.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, source) = match self {
            Self::Plain(_) => return serializer.serialize_str("(secret)"),
            Self::File { file } => ("file", file),
            Self::Credential { credential } => ("credential", credential),
            Self::Env { env } => ("env", env),
            Self::Command { command, timeout } => {
                let mut shown: Vec<&str> = command.iter().take(1).map(String::as_str).collect();
                shown.extend((command.len() > 1).then_some("(hidden)"));
                return serializer.collect_map([("command", Shown::List(shown)), ("timeout", Shown::Period(*timeout))]);
            }
        };
        serializer.collect_map([(key, source)])
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    List(Vec<&'a str>),
    Period(Period),
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct(NAME, KEYS, SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret: { file | credential | env | command = … }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Plain(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let (mut source, mut n_sources, mut time) = (None, 0_u32, None);
        while let Some(Key(key)) = map.next_key()? {
            let found = match key {
                "file" => Secret::File { file: map.next_value()? },
                "credential" => Secret::Credential { credential: map.next_value()? },
                "env" => Secret::Env { env: map.next_value()? },
                "command" => Secret::Command { command: map.next_value()?, timeout: COMMAND_TIMEOUT },
                _ => {
                    time = Some(map.next_value()?);
                    continue;
                }
            };
            source = Some(found);
            n_sources = n_sources.saturating_add(1);
        }
        match (source, n_sources, time) {
            (Some(Secret::Command { command, timeout }), 1, time) => {
                Ok(Secret::Command { command, timeout: time.unwrap_or(timeout) })
            }
            (Some(source), 1, None) => Ok(source),
            (Some(_), 1, Some(_)) => Err(de::Error::custom("`timeout` belongs to a `command` only")),
            _ => Err(de::Error::custom("a secret names exactly one of file, credential, env and command")),
        }
    }
}

/// One of [`KEYS`].
struct Key(&'static str);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        let known = KEYS.iter().find(|known| **known == key);
        known.map(|known| Self(known)).ok_or_else(|| de::Error::unknown_field(&key, KEYS))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    async fn read(secret: &Secret) -> Result<String, String> {
        secret.read().await.map(|text| text.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    fn command(args: &[&str], timeout: u64) -> Secret {
        Secret::Command { command: args.iter().map(ToString::to_string).collect(), timeout: Period::secs(timeout) }
    }

    #[tokio::test]
    async fn a_file_is_read_only_when_it_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("password");
        let secret = Secret::File { file: path.display().to_string() };
        assert!(read(&secret).await.expect_err("absent").contains("No such file"));
        std::fs::write(&path, "pässword\r\n").expect("write");
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
            match read(&secret).await {
                Ok(text) => assert!(good && text == "pässword", "{mode:o}"),
                Err(error) => assert!(!good && error.contains(&format!("{mode:04o}")), "{mode:o} {error}"),
            }
        }
    }

    #[tokio::test]
    async fn a_file_must_be_small_text() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("password");
        let secret = Secret::File { file: path.display().to_string() };
        for (bytes, reason) in
            [(vec![b'x'; 65537], "more than 64 KiB"), (vec![0xff], "not UTF-8"), (b"\n".to_vec(), "empty")]
        {
            std::fs::write(&path, bytes).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
            assert!(read(&secret).await.expect_err(reason).contains(reason));
        }
        let folder = Secret::File { file: folder.path().display().to_string() };
        assert!(read(&folder).await.expect_err("folder").contains("not a regular file"));
    }

    #[tokio::test]
    async fn credentials_and_variables_are_found_by_name() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("api"), "token").expect("write");
        let path = credential_path(Some(folder.path().into()), "api").expect("a plain name");
        assert_eq!(read_file(&path, Mode::Any).await.as_deref(), Ok("token"));
        for name in ["", "../api", "a/b", ".."] {
            assert!(credential_path(Some("/run".into()), name).is_err(), "{name}");
        }
        assert!(credential_path(None, "api").expect_err("no folder").contains("CREDENTIALS_DIRECTORY"));
        assert!(read(&Secret::Env { env: "PATH".to_owned() }).await.is_ok());
        let unset = Secret::Env { env: "MAILBRIDGE_NOT_SET".to_owned() };
        let text = "reading the secret from environment variable `MAILBRIDGE_NOT_SET`: it is not set";
        assert_eq!(read(&unset).await, Err(text.to_owned()));
    }

    #[tokio::test]
    async fn a_program_has_limits() {
        assert_eq!(read(&command(&["printf", "a b\n"], 10)).await.as_deref(), Ok("a b"));
        assert_eq!(read(&command(&["sh", "-c", "printf \"$HOME\"; printf x"], 10)).await.as_deref(), Ok("x"));
        for (args, reason) in [
            (&["false", "hunter2"][..], "program `false`: it ended with exit status: 1"),
            (&["head", "-c", "70000", "/dev/zero"], "more than 64 KiB"),
            (&["/no/such/program"], "No such file"),
            (&[], "the command is empty"),
        ] {
            let error = read(&command(args, 10)).await.expect_err(reason);
            assert!(error.contains(reason) && !error.contains("hunter2"), "{error}");
        }
        let error = read(&command(&["sleep", "60"], 0)).await.expect_err("late");
        assert!(error.ends_with("program `sleep`: no answer within 0s"), "{error}");
    }

    #[test]
    fn a_secret_never_prints() {
        let plain = Secret::Plain("hunter2".to_owned());
        let program = command(&["pass", "hunter2"], 10);
        for secret in [&plain, &program] {
            let json = serde_json::to_string(secret).expect("json");
            assert!(!format!("{secret:?} {secret} {json}").contains("hunter2"));
        }
        let file: Secret = serde_json::from_str(r#"{"file":"/a"}"#).expect("a source");
        assert_eq!(serde_json::to_string(&file).expect("json"), r#"{"file":"/a"}"#);
    }

    #[test]
    fn a_secret_has_exactly_one_source() {
        let good = r#"{"command":["pass"],"timeout":"3s"}"#;
        assert_eq!(serde_json::from_str::<Secret>(good).expect(good), command(&["pass"], 3));
        for text in [r"{}", r#"{"file":"a","env":"b"}"#, r#"{"env":"a","timeout":"1s"}"#, r#"{"fil":"a"}"#, "5"] {
            assert!(serde_json::from_str::<Secret>(text).is_err(), "{text}");
        }
    }
}
