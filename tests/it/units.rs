//! The unit files: known to systemd without complaint, and as hardened as they were.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whoever takes one of these away has to take it away here too.
const HARDENING: &[&str] = &[
    "Type=notify",
    "NotifyAccess=main",
    "WatchdogSec=60s",
    "Restart=always",
    "RestartPreventExitStatus=64 78",
    "KillMode=mixed",
    "OOMPolicy=continue",
    "DynamicUser=yes",
    "StateDirectoryMode=0700",
    "UMask=0077",
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateUsers=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectProc=invisible",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallFilter=seccomp",
    "NoExecPaths=/",
    "LimitCORE=0",
    "TasksMax=64",
];

/// What only the template says, its name left out.
const OF_AN_INSTANCE: &[&str] = &["Environment=MAILBRIDGE__SERVICE__INSTANCE=%i", "User=mailbridge"];

fn units() -> [PathBuf; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    ["mailbridge.service", "mailbridge@.service"].map(|name| folder.join(name))
}

#[test]
fn units_keep_their_hardening() {
    for unit in units() {
        let text = fs::read_to_string(&unit).unwrap();
        for key in HARDENING {
            assert!(text.lines().any(|line| line == *key), "{} has lost `{key}`", unit.display());
        }
        assert!(!text.lines().any(|line| line.starts_with("LoadCredential")), "a missing file would stop the start");
    }
}

#[test]
fn units_differ_only_in_names_and_places() {
    let [one, many] = units().map(|unit| fs::read_to_string(unit).unwrap());
    let settings = |text: &str| -> Vec<String> {
        let text = text.replace(" -c /etc/mailbridge/%i/config.toml", "").replace("mailbridge/%i", "mailbridge");
        let text = text.replace(" (%i)", "").replace("mailbridge-%i", "mailbridge");
        let own = |line: &str| line.starts_with('#') || OF_AN_INSTANCE.contains(&line);
        text.lines().filter(|line| !own(line)).map(str::to_owned).collect()
    };
    assert_eq!(settings(&one), settings(&many));
}

/// Below `mailbridge/`, which belongs to another user and is removed with `mailbridge.service`, no instance started.
#[test]
fn an_instance_has_user_and_directories_of_its_own() {
    let [_, many] = units().map(|unit| fs::read_to_string(unit).unwrap());
    for own in ["User=mailbridge-%i", "StateDirectory=mailbridge-%i", "RuntimeDirectory=mailbridge-%i"] {
        assert!(many.lines().any(|line| line == own), "the template has lost `{own}`");
    }
}

/// The units with the built program in place of the installed one, under names that systemd takes.
fn patched(folder: &Path) -> [PathBuf; 2] {
    let program = env!("CARGO_BIN_EXE_mailbridge");
    let [one, many] = units().map(|unit| fs::read_to_string(unit).unwrap().replace("/usr/bin/mailbridge", program));
    let names = ["mailbridge.service", "mailbridge@one.service"].map(|name| folder.join(name));
    fs::write(&names[0], one).unwrap();
    fs::write(&names[1], many).unwrap();
    names
}

/// `systemd-analyze`, where it is installed.
fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).arg(unit).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("not checked by systemd-analyze: {error}");
            None
        }
    }
}

#[test]
fn systemd_knows_every_line() {
    let folder = tempfile::tempdir().unwrap();
    for unit in patched(folder.path()) {
        let Some(output) = analyze(&["verify"], &unit) else { return };
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = complaints.lines().filter(|line| line.contains("mailbridge")).collect();
        assert!(ours.is_empty(), "{}", ours.join("\n"));
    }
}

#[test]
fn the_exposure_stays_low() {
    let folder = tempfile::tempdir().unwrap();
    for unit in patched(folder.path()) {
        let arguments = ["security", "--offline=true", "--threshold=15", "--no-pager"];
        let Some(output) = analyze(&arguments, &unit) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
