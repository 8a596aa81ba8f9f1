//! CPU time that the store costs a mail, step by step: `cargo bench --bench queue`.
//!
//! The figures are milliseconds of CPU time (all threads) for 1,000 mails of 8 kB, with 32 callers at once as delivery has
//! them. CPU time, since the machine's disk and its other work move the wall clock; compare two runs side by side.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a bench")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use mailbridge::clock::{Clock, UtcMillis};
use mailbridge::config;
use mailbridge::ids::Uid;
use mailbridge::queue::{Arrival, Batch, Claim, End, FolderKey, Identity, Queue, Turn};
use mailbridge::telemetry::progress::Progress;
use rustix::time::{ClockId, clock_gettime};

const MAILS: u32 = 4_000;
const BATCH: u32 = 50;
const CALLERS: usize = 32;

/// CPU time of the process since its start.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// CPU time by step.
#[derive(Default)]
struct Costs(BTreeMap<&'static str, Duration>);

impl Costs {
    async fn of<T>(&mut self, step: &'static str, work: impl Future<Output = T>) -> T {
        let since = cpu();
        let done = work.await;
        *self.0.entry(step).or_default() += cpu() - since;
        done
    }

    fn report(&self) {
        let line = |step: &str, cost: Duration| {
            println!("{step:<14} {:>7.1} ms of CPU for 1,000 mails", cost.as_secs_f64() * 1e6 / f64::from(MAILS));
        };
        self.0.iter().for_each(|(step, cost)| line(step, *cost));
        line("together", self.0.values().sum());
    }
}

fn batch(first: u32) -> Batch {
    let arrival = |n: u32| {
        let raw = format!("Message-Id: <{n}@bench>\r\nReceived: by bench\r\n\r\n{}", "x".repeat(8_000));
        let size = u64::try_from(raw.len()).unwrap();
        Arrival { uid: Uid(n), internal_date: UtcMillis(0), size, stub: false, raw: Bytes::from(raw) }
    };
    Batch {
        key: FolderKey { mailbox: "bench".parse().unwrap(), folder: "INBOX".to_owned() },
        uidvalidity: mailbridge::ids::UidValidity(1),
        tenant: "bench".parse().unwrap(),
        cursor: None,
        rebind: false,
        arrivals: (first..first + BATCH).map(arrival).collect(),
    }
}

fn identity(claim: Claim) -> Identity {
    let mut name = [0; 16];
    name.iter_mut().zip(claim.id.to_string().bytes().rev()).for_each(|(to, from)| *to = from);
    Identity {
        names: vec![name],
        refers: Vec::new(),
        same_mail: None,
        distinct: true,
        rfc_message_id: format!("{}@bench", claim.id),
        from: "somebody@example.com".to_owned(),
    }
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, _) = Queue::open(dir.path(), &config::Store::default(), 3, Clock::system(), Progress::new()).unwrap();
    let (tenant, mut costs) = ("bench".parse().unwrap(), Costs::default());
    let write = async |claim: &Claim| {
        assert!(matches!(
            queue.begin_write(*claim, identity(*claim), UtcMillis(9)).await.unwrap(),
            Some(Turn::Write(1))
        ))
    };
    let end = async |claim: &Claim| {
        assert!(queue.finish(*claim, End::Delivered { ej_message_id: None, ticket_id: None }).await.unwrap());
    };
    for first in (1..=MAILS).step_by(usize::try_from(BATCH).unwrap()) {
        costs.of("1 accept", queue.accept(batch(first))).await.unwrap();
    }
    loop {
        let mut claims = Vec::new();
        for _ in 0..4 {
            let items = costs.of("2 claim", queue.claim(&tenant, CALLERS / 4)).await.unwrap();
            claims.extend(items.into_iter().map(|item| item.claim));
        }
        if claims.is_empty() {
            break;
        }
        let all = || stream::iter(&claims);
        costs.of("3 begin_write", all().for_each_concurrent(CALLERS, write)).await;
        costs.of("4 finish", all().for_each_concurrent(CALLERS, end)).await;
        let ids: Vec<_> = claims.iter().map(|claim| claim.id).collect();
        costs.of("5 disposed", queue.disposed(&ids, "none")).await.unwrap();
    }
    costs.report();
    queue.close().await;
}
