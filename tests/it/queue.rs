//! The queue through its public API: each move by itself; [`crashes`] of its owner; [`model`] compares random moves with a model.

mod crashes;
mod model;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use mailbridge::clock::{Clock, UtcMillis};
use mailbridge::config;
use mailbridge::config::units::Size;
use mailbridge::ids::{EjMessageId, QueueId, TenantName, Uid, UidValidity};
use mailbridge::message::Depth;
use mailbridge::queue::{
    Accepted, Arrival, Batch, Claim, Copied, End, Error, Filter, FolderKey, FolderRecord, Identity, Item, Novelty,
    Operated, Operation, Queue, Recovery, State, Turn,
};
use mailbridge::telemetry::progress::Progress;
use tempfile::TempDir;

const START: UtcMillis = UtcMillis(1_000_000);
const HOUR: Duration = Duration::from_secs(3600);

struct Store {
    dir: TempDir,
    clock: Clock,
    queue: Queue,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = Clock::fixed(START);
        let queue = open(dir.path(), &clock).0;
        Self { dir, clock, queue }
    }

    /// The state that a killed daemon leaves: a copy of the files of the open store.
    fn crashed(&self) -> (Self, Recovery) {
        let dir = tempfile::tempdir().expect("a folder");
        copy(self.dir.path(), dir.path());
        let clock = self.clock.clone();
        let (queue, recovery) = open(dir.path(), &clock);
        (Self { dir, clock, queue }, recovery)
    }

    async fn accept(&self, uids: &[u32]) -> Vec<Accepted> {
        self.queue.accept(batch(uids)).await.expect("stored")
    }

    async fn claim_one(&self) -> Item {
        self.queue.claim(&tenant(), 1).await.expect("claimed").pop().expect("one is due")
    }

    async fn write(&self, claim: Claim, keys: &[u8]) -> Option<Turn> {
        self.queue.begin_write(claim, identity(keys), START.plus(HOUR)).await.expect("answered")
    }

    async fn finish(&self, claim: Claim, end: End) -> bool {
        self.queue.finish(claim, end).await.expect("answered")
    }

    async fn entry(&self, id: QueueId) -> mailbridge::queue::Entry {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        self.queue.list(&filter).await.expect("listed").pop().expect("it is there")
    }

    async fn operate(&self, operation: Operation, id: QueueId) -> Operated {
        self.queue.operate(operation, &[id]).await.expect("answered").remove(0).1
    }
}

fn options() -> config::Store {
    config::Store { spool_above: Size(64), ..config::Store::default() }
}

fn open(dir: &Path, clock: &Clock) -> (Queue, Recovery) {
    Queue::open(dir, &options(), 2, clock.clone(), Progress::new()).expect("opened")
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).expect("made");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn key() -> FolderKey {
    FolderKey { mailbox: "support".parse().expect("a name"), folder: "INBOX".to_owned() }
}

fn tenant() -> TenantName {
    "main".parse().expect("a name")
}

fn arrival(uid: u32, raw: &str) -> Arrival {
    let raw = Bytes::from(raw.to_owned());
    let size = u64::try_from(raw.len()).expect("small");
    Arrival { uid: Uid(uid), internal_date: UtcMillis(i64::from(uid)), size, stub: false, raw }
}

fn batch(uids: &[u32]) -> Batch {
    let arrivals = uids.iter().map(|uid| arrival(*uid, &format!("Subject: {uid}\r\n\r\n"))).collect();
    Batch { key: key(), uidvalidity: UidValidity(7), tenant: tenant(), cursor: None, rebind: false, arrivals }
}

fn identity(keys: &[u8]) -> Identity {
    Identity {
        names: keys.iter().map(|key| [*key; 16]).collect(),
        refers: Vec::new(),
        same_mail: None,
        distinct: true,
        rfc_message_id: "a@example.com".to_owned(),
        from: "k@example.com".to_owned(),
    }
}

const POSTED: End = End::Delivered { ej_message_id: Some(EjMessageId(5)), ticket_id: None };

fn failed() -> End {
    End::Failed { class: "api_4xx".to_owned(), error: "no".to_owned() }
}

fn deferred(at: UtcMillis, verify: bool) -> End {
    End::Deferred { at, class: "api_5xx".to_owned(), error: "later".to_owned(), verify }
}

#[tokio::test]
async fn a_mail_goes_from_the_mailbox_to_its_end() {
    let store = Store::new();
    let mut work = store.queue.work();
    let mut outcomes = store.queue.outcomes();
    let accepted = store.accept(&[3, 1, 2]).await;
    assert!(work.has_changed().expect("open") && !outcomes.has_changed().expect("open"));
    assert!(accepted.is_sorted_by_key(|mail| mail.id) && accepted.iter().all(|mail| mail.novelty == Novelty::New));
    assert_eq!(store.queue.accounted(&key(), UidValidity(7)).await.expect("listed").to_string(), "1:3");
    work.mark_unchanged();

    let items = store.queue.claim(&tenant(), 2).await.expect("claimed");
    assert_eq!(items.iter().map(|item| item.uid).collect::<Vec<_>>(), [Uid(3), Uid(1)]);
    let claim = items[0].claim;
    assert_eq!(&store.queue.raw(claim.id).await.expect("kept")[..], b"Subject: 3\r\n\r\n");
    assert_eq!(store.queue.strike(claim, Depth::Text).await.expect("answered"), Some(1));
    assert_eq!(store.write(claim, &[]).await, Some(Turn::Write(1)));
    assert!(store.entry(claim.id).await.verify);
    assert!(store.finish(claim, POSTED).await);
    assert!(!store.finish(claim, failed()).await, "the claim is used up");
    assert_eq!(store.write(claim, &[]).await, None);
    assert_eq!(store.queue.strike(claim, Depth::Text).await.expect("answered"), None);
    outcomes.changed().await.expect("open");

    let entry = store.entry(claim.id).await;
    assert_eq!((entry.state, entry.word.as_str(), entry.verify, entry.strikes), (State::Delivered, "posted", false, 1));
    assert_eq!((entry.from.as_str(), entry.ej_message_id), ("k@example.com", Some(EjMessageId(5))));
    let due = store.queue.undisposed(&key(), UidValidity(7), 10).await.expect("listed");
    assert_eq!(due.iter().map(|due| (due.id, due.copied)).collect::<Vec<_>>(), [(claim.id, Copied::No)]);
    store.queue.copying(&[claim.id]).await.expect("stored");
    assert_eq!(store.queue.undisposed(&key(), UidValidity(7), 10).await.expect("listed")[0].copied, Copied::Perhaps);
    store.queue.copied(&[claim.id]).await.expect("stored");
    assert_eq!(store.queue.undisposed(&key(), UidValidity(7), 10).await.expect("listed")[0].copied, Copied::Yes);
    store.queue.disposed(&[claim.id, items[1].claim.id], "moved").await.expect("stored");
    assert!(store.queue.undisposed(&key(), UidValidity(7), 10).await.expect("listed").is_empty());
    assert_eq!(store.entry(items[1].claim.id).await.disposed_at, None, "it has no end yet");
}

#[tokio::test]
async fn a_known_uid_changes_nothing_and_the_cursor_moves() {
    let store = Store::new();
    let record = FolderRecord {
        uidvalidity: UidValidity(7),
        started_at: START,
        first_new: Uid(1),
        start_uids: "1:9,12".parse().expect("a set"),
        start_waits: true,
        cursor: Uid(0),
    };
    assert_eq!(store.queue.folder(&key()).await.expect("read"), None);
    store.queue.set_folder(&key(), &record).await.expect("stored");
    let first = store.accept(&[1]).await.remove(0);
    let again = Batch { cursor: Some(Uid(4)), arrivals: vec![arrival(1, "other"), arrival(2, "new")], ..batch(&[]) };
    let accepted = store.queue.accept(again).await.expect("stored");
    assert_eq!((accepted[0].id, accepted[0].novelty), (first.id, Novelty::Known));
    assert_eq!(accepted[1].novelty, Novelty::New);
    assert_eq!(&store.queue.raw(first.id).await.expect("kept")[..], b"Subject: 1\r\n\r\n");
    assert_eq!(store.queue.release_start(&key().mailbox).await.expect("released"), 10);
    assert_eq!(store.queue.release_start(&key().mailbox).await.expect("released"), 0);
    let now = store.queue.folder(&key()).await.expect("read").expect("there");
    assert_eq!(now, FolderRecord { cursor: Uid(4), start_waits: false, ..record });
}

#[tokio::test]
async fn a_mail_waits_for_older_ones_of_its_conversation() {
    let store = Store::new();
    store.accept(&[1, 2, 3, 4]).await;
    let items = store.queue.claim(&tenant(), 4).await.expect("claimed");
    let [first, second, third, other] = [0, 1, 2, 3].map(|i: usize| items[i].claim);
    assert_eq!(store.write(first, &[1]).await, Some(Turn::Write(1)));
    assert_eq!(store.write(second, &[1, 2]).await, Some(Turn::Wait(first.id)));
    assert_eq!(store.write(third, &[2]).await, Some(Turn::Wait(second.id)));
    assert_eq!(store.write(other, &[3]).await, Some(Turn::Write(1)));
    assert!(store.finish(second, End::Released { at: START }).await);
    assert_eq!(store.write(third, &[2]).await, Some(Turn::Wait(second.id)), "released, but not done");
    assert!(store.finish(first, deferred(START.plus(HOUR), false)).await);
    let second = store.claim_one().await;
    assert_eq!((second.claim.id, second.attempts), (items[1].claim.id, 0));
    assert_eq!(store.write(second.claim, &[1, 2]).await, Some(Turn::Wait(first.id)), "deferred blocks");
    assert_eq!(store.operate(Operation::Hold, first.id).await, Operated::Done);
    assert_eq!(store.write(second.claim, &[1, 2]).await, Some(Turn::Write(1)), "held does not");
    assert!(store.finish(second.claim, failed()).await);
    assert_eq!(store.write(third, &[2]).await, Some(Turn::Write(1)), "nor does a dead letter");
}

#[tokio::test]
async fn replies_wait_for_the_mail_they_answer_and_not_for_each_other() {
    let store = Store::new();
    store.accept(&[1, 2, 3]).await;
    let items = store.queue.claim(&tenant(), 3).await.expect("claimed");
    let [first, second, third] = [0, 1, 2].map(|i: usize| items[i].claim);
    assert_eq!(store.write(first, &[1]).await, Some(Turn::Write(1)));
    for (claim, name) in [(second, 2), (third, 3)] {
        let reply = Identity { refers: vec![[1; 16]], ..identity(&[name]) };
        let turn = store.queue.begin_write(claim, reply, START.plus(HOUR)).await.expect("answered");
        assert_eq!(turn, Some(Turn::Wait(first.id)));
        assert!(store.finish(claim, End::Released { at: START.plus(HOUR) }).await);
    }
    assert!(store.finish(first, POSTED).await);
    let due = store.queue.claim(&tenant(), 9).await.expect("claimed");
    assert_eq!(due.iter().map(|item| item.claim.id).collect::<Vec<_>>(), [second.id, third.id], "both at once");
}

#[tokio::test]
async fn a_mail_that_waits_says_for_which_and_is_due_when_that_one_ends() {
    let store = Store::new();
    store.accept(&[1, 2, 3]).await;
    let items = store.queue.claim(&tenant(), 3).await.expect("claimed");
    let [first, second, third] = [0, 1, 2].map(|i: usize| items[i].claim);
    assert_eq!(store.write(first, &[1]).await, Some(Turn::Write(1)));
    for (claim, key) in [(second, 1), (third, 2)] {
        store.write(claim, &[key, 1]).await.expect("claimed");
        assert!(store.finish(claim, End::Released { at: START.plus(HOUR) }).await);
    }
    let entry = store.entry(second.id).await;
    assert_eq!((entry.state, entry.error_class.as_deref()), (State::Queued, Some("order")));
    assert_eq!(entry.error, Some(format!("waits for {}, an older mail of its conversation", first.id)));
    let mut work = store.queue.work();
    work.mark_unchanged();
    assert!(store.finish(first, POSTED).await);
    assert!(work.has_changed().expect("open"));
    let items = store.queue.claim(&tenant(), 9).await.expect("claimed");
    assert_eq!(items.iter().map(|item| item.claim.id).collect::<Vec<_>>(), [second.id], "one after the other");
    assert_eq!(store.write(items[0].claim, &[1]).await, Some(Turn::Write(1)));
    assert_eq!(store.entry(second.id).await.error_class, None);
    assert_eq!(store.operate(Operation::Drop, third.id).await, Operated::Done);
}

#[tokio::test]
async fn what_an_operator_puts_back_is_as_patient_as_new_mail() {
    let store = Store::new();
    store.accept(&[1]).await;
    let item = store.claim_one().await;
    assert_eq!(item.waits_since, START);
    assert!(store.finish(item.claim, failed()).await);
    store.clock.set(START.plus(HOUR));
    assert_eq!(store.operate(Operation::Retry, item.claim.id).await, Operated::Done);
    let item = store.claim_one().await;
    assert_eq!((item.accepted_at, item.waits_since), (START, START.plus(HOUR)));
    let held = End::Held { reason: "rule".to_owned(), error: String::new() };
    assert!(store.finish(item.claim, held).await);
    store.clock.set(START.plus(HOUR * 2));
    assert_eq!(store.operate(Operation::Release, item.claim.id).await, Operated::Done);
    assert_eq!(store.claim_one().await.waits_since, START.plus(HOUR * 2));
}

#[tokio::test]
async fn the_same_bytes_are_posted_once_unless_an_operator_insists() {
    let store = Store::new();
    let arrivals = (1..=3).map(|uid| arrival(uid, "Message-Id: <a@b>\r\n\r\n")).collect();
    store.queue.accept(Batch { arrivals, ..batch(&[]) }).await.expect("stored");
    let items = store.queue.claim(&tenant(), 3).await.expect("claimed");
    let [first, second, third] = [0, 1, 2].map(|i: usize| items[i].claim);
    assert_eq!(store.write(first, &[]).await, Some(Turn::Write(1)));
    assert!(store.finish(first, POSTED).await);
    assert_eq!(store.write(second, &[]).await, Some(Turn::Duplicate(first.id)));
    let of = format!("same content as {}", first.id);
    assert!(store.finish(second, End::Duplicate { of: of.clone() }).await);
    let entry = store.entry(second.id).await;
    assert_eq!((entry.word.as_str(), entry.error, entry.attempts), ("duplicate", Some(of), 0));
    let unlike = Identity { distinct: false, ..identity(&[]) };
    let turn = store.queue.begin_write(third, unlike, START).await.expect("answered");
    assert_eq!(turn, Some(Turn::Write(1)), "equal bytes prove nothing here");
    assert_eq!(
        store.operate(Operation::Retry, first.id).await,
        Operated::Refused("already posted as message 5".to_owned())
    );
    assert_eq!(store.operate(Operation::Retry, second.id).await, Operated::Done);
    let second = store.claim_one().await.claim;
    assert_eq!(store.write(second, &[]).await, Some(Turn::Write(1)));
}

#[tokio::test]
async fn the_same_mail_in_two_mailboxes_is_posted_once_when_asked_so() {
    let store = Store::new();
    store.accept(&[1]).await;
    let other = FolderKey { mailbox: "sales".parse().expect("a name"), ..key() };
    store.queue.accept(Batch { key: other, ..batch(&[2]) }).await.expect("stored");
    let items = store.queue.claim(&tenant(), 2).await.expect("claimed");
    let same = || Identity { same_mail: Some("hash a@b".to_owned()), ..identity(&[]) };
    let begin = |i: usize| store.queue.begin_write(items[i].claim, same(), START);
    assert_eq!(begin(0).await.expect("answered"), Some(Turn::Write(1)));
    assert!(store.finish(items[0].claim, POSTED).await);
    assert_eq!(begin(1).await.expect("answered"), Some(Turn::Duplicate(items[0].claim.id)));
}

#[tokio::test]
async fn deferred_mails_come_back_when_they_are_due() {
    let store = Store::new();
    store.accept(&[1, 2]).await;
    let items = store.queue.claim(&tenant(), 2).await.expect("claimed");
    let later = START.plus(HOUR);
    assert_eq!(store.write(items[0].claim, &[]).await, Some(Turn::Write(1)));
    assert!(store.finish(items[0].claim, deferred(later, true)).await);
    assert!(store.finish(items[1].claim, deferred(later.plus(HOUR), false)).await);
    assert!(store.queue.claim(&tenant(), 9).await.expect("claimed").is_empty());
    assert_eq!(store.queue.next_due(&tenant()).await.expect("read"), Some(later));
    assert_eq!(store.queue.release_deferred(&tenant()).await.expect("released"), 1, "not the one to look up");
    assert_eq!(store.claim_one().await.claim.id, items[1].claim.id);
    store.clock.set(later);
    let item = store.claim_one().await;
    assert_eq!((item.claim.id, item.verify_since, item.attempts), (items[0].claim.id, Some(START), 1));
    assert!(store.finish(item.claim, End::Released { at: later }).await);
    let entry = store.entry(item.claim.id).await;
    assert_eq!((entry.state, entry.verify), (State::Deferred, true), "the look-up is still due");
    let item = store.claim_one().await;
    assert_eq!(store.write(item.claim, &[]).await, Some(Turn::Write(2)));
    assert!(store.finish(item.claim, End::Released { at: later }).await);
    let entry = store.entry(item.claim.id).await;
    assert_eq!((entry.state, entry.verify, entry.attempts), (State::Queued, false, 1), "not tried, not counted");
    assert_eq!(store.queue.next_due(&"other".parse().expect("a name")).await.expect("read"), None);
    assert_eq!(store.queue.tenants().await.expect("read"), [tenant()]);
}

#[tokio::test]
async fn a_released_unknown_outcome_is_written_once_without_a_look_up() {
    let store = Store::new();
    store.accept(&[1]).await;
    let claim = store.claim_one().await.claim;
    assert_eq!(store.write(claim, &[]).await, Some(Turn::Write(1)));
    let end = End::Held { reason: "unknown_outcome".to_owned(), error: "no answer".to_owned() };
    assert!(store.finish(claim, end).await);
    assert_eq!(store.entry(claim.id).await.held_reason.as_deref(), Some("unknown_outcome"));
    assert!(matches!(store.operate(Operation::Retry, claim.id).await, Operated::Refused(_)));
    assert_eq!(store.operate(Operation::Release, claim.id).await, Operated::Done);
    let item = store.claim_one().await;
    assert!(item.released);
    assert_eq!(store.write(item.claim, &[]).await, Some(Turn::Write(2)));
    assert!(store.finish(item.claim, deferred(START, true)).await);
    let item = store.claim_one().await;
    assert!(!item.released && item.verify_since.is_some(), "the operator's word was for one write");
}

#[tokio::test]
async fn a_mail_that_cannot_be_fetched_is_a_dead_letter_that_can_be_fetched_again() {
    let store = Store::new();
    let (folder, tenant_name) = (key(), tenant());
    let strike = || store.queue.unfetchable(&folder, UidValidity(7), Uid(9), &tenant_name, "no body", 2);
    for round in 0..2 {
        assert_eq!(strike().await.expect("counted"), None);
        let id = strike().await.expect("counted").expect("the last strike");
        assert_eq!(strike().await.expect("counted"), None, "it has a row now");
        let entry = store.entry(id).await;
        assert_eq!((entry.state, entry.error_class.as_deref()), (State::Failed, Some("unfetchable")));
        assert_eq!(store.queue.accounted(&key(), UidValidity(7)).await.expect("listed").to_string(), "9");
        assert_eq!(store.operate(Operation::Retry, id).await, Operated::Done);
        assert!(store.queue.accounted(&key(), UidValidity(7)).await.expect("listed").is_empty());
        assert!(store.queue.claim(&tenant(), 9).await.expect("claimed").is_empty());
        if round == 1 {
            assert_eq!(store.operate(Operation::Hold, id).await, Operated::Done);
            assert_eq!(store.operate(Operation::Release, id).await, Operated::Done);
            let accepted = store.accept(&[9]).await;
            assert_eq!((accepted[0].id, accepted[0].novelty), (id, Novelty::Completed));
            assert_eq!(store.claim_one().await.claim.id, id);
        }
    }
}

#[tokio::test]
async fn a_changed_uidvalidity_does_not_make_mails_new() {
    let store = Store::new();
    let old = store.accept(&[1, 2]).await;
    let claim = store.claim_one().await.claim;
    assert!(store.finish(claim, POSTED).await);
    store.queue.disposed(&[claim.id], "seen").await.expect("stored");
    let mut renamed = Batch { uidvalidity: UidValidity(8), rebind: true, ..batch(&[1, 2]) };
    renamed.arrivals.iter_mut().for_each(|arrival| arrival.uid.0 += 10);
    renamed.arrivals.push(arrival(13, "Subject: 1\r\n\r\n"));
    let accepted = store.queue.accept(renamed).await.expect("stored");
    assert_eq!(
        accepted.iter().map(|mail| mail.novelty).collect::<Vec<_>>(),
        [Novelty::Rebound, Novelty::Rebound, Novelty::New]
    );
    assert_eq!((accepted[0].id, accepted[1].id), (old[0].id, old[1].id));
    let entry = store.entry(old[0].id).await;
    assert_eq!((entry.uid, entry.uidvalidity), (Uid(11), UidValidity(8)));
    assert!(entry.disposed_at.is_some());
    assert!(store.queue.accounted(&key(), UidValidity(7)).await.expect("listed").is_empty());
}

#[tokio::test]
async fn raw_mail_goes_when_it_is_kept_no_longer() {
    let store = Store::new();
    let long = "x".repeat(1000);
    let arrivals = vec![arrival(1, &long), arrival(2, "short"), arrival(3, "dead"), arrival(4, "open")];
    store.queue.accept(Batch { arrivals, ..batch(&[]) }).await.expect("stored");
    let files = || std::fs::read_dir(store.dir.path().join("spool")).expect("a folder").count();
    assert_eq!(files(), 1);
    let mode = |name: &str| std::fs::metadata(store.dir.path().join(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!(
        (mode("mailbridge.db"), mode("mailbridge.db-wal"), mode("lock"), mode("spool")),
        (0o600, 0o600, 0o600, 0o700)
    );
    assert_eq!(store.queue.room().await.expect("measured").raw_bytes, 1013);
    let items = store.queue.claim(&tenant(), 3).await.expect("claimed");
    assert_eq!(&store.queue.raw(items[0].claim.id).await.expect("kept")[..], long.as_bytes());
    for (item, end) in items.iter().zip([POSTED, POSTED, failed()]) {
        assert!(store.finish(item.claim, end).await);
    }
    assert_eq!(store.queue.purge(HOUR, HOUR).await.expect("purged"), 0);
    store.clock.set(START.plus(HOUR));
    assert_eq!(store.queue.purge(HOUR, Duration::ZERO).await.expect("purged"), 2);
    assert_eq!((files(), store.queue.room().await.expect("measured").raw_bytes), (0, 8));
    assert!(matches!(store.queue.raw(items[0].claim.id).await, Err(Error::NoRaw(_))));
    assert_eq!(store.queue.purge(HOUR, HOUR).await.expect("purged"), 1);
    let gone = Operated::Refused("its raw mail is no longer kept".to_owned());
    assert_eq!(store.operate(Operation::Retry, items[2].claim.id).await, gone);
    store.queue.reconfigure(&config::Store { max_size: Size(4), ..options() });
    assert!(!store.queue.room().await.expect("measured").enough);
}

#[tokio::test]
async fn a_store_has_one_owner_and_any_number_of_readers_after_it() {
    let store = Store::new();
    let id = store.accept(&[1]).await[0].id;
    let refused = Queue::open(store.dir.path(), &options(), 2, store.clock.clone(), Progress::new());
    assert!(refused.expect_err("taken").to_string().ends_with(&format!("(process {})", std::process::id())));
    let killed = tempfile::tempdir().expect("a folder");
    copy(store.dir.path(), killed.path());
    let without_index = tempfile::tempdir().expect("a folder");
    copy(store.dir.path(), without_index.path());
    std::fs::remove_file(without_index.path().join("mailbridge.db-shm")).expect("removed");
    store.queue.close().await;
    assert!(matches!(store.queue.accept(batch(&[2])).await, Err(Error::Closed)));
    assert!(matches!(store.queue.list(&Filter::default()).await, Err(Error::Closed)));
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(store.dir.path()).len(), 3, "database, lock, spool: no log is left");
    for dir in [store.dir.path(), killed.path(), without_index.path()] {
        let before = names(dir);
        let reading = Queue::open_read_only(dir, store.clock.clone()).expect("opened");
        assert_eq!(reading.list(&Filter::default()).await.expect("listed")[0].qid, id);
        assert_eq!(&reading.raw(id).await.expect("kept")[..], b"Subject: 1\r\n\r\n");
        assert!(matches!(reading.accept(batch(&[2])).await, Err(Error::ReadOnly)));
        if dir != without_index.path() {
            assert_eq!(names(dir), before, "nothing was made");
        }
        reading.close().await;
    }
    open(store.dir.path(), &store.clock);
}

#[tokio::test]
async fn delayed_mails_are_reported_once() {
    let store = Store::new();
    store.accept(&[1, 2]).await;
    let claim = store.claim_one().await.claim;
    assert!(store.finish(claim, POSTED).await);
    store.clock.set(START.plus(HOUR * 2));
    assert_eq!(store.queue.take_delayed(&tenant(), HOUR).await.expect("answered").len(), 1);
    assert!(store.queue.take_delayed(&tenant(), HOUR).await.expect("answered").is_empty());
}
