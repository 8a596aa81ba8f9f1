//! Random moves do to the queue what they do to a model in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use mailbridge::clock::UtcMillis;
use mailbridge::ids::QueueId;
use mailbridge::queue::{Claim, End, Filter, Operated, Operation, State, Turn};

use super::{POSTED, Store, deferred, failed, tenant};

/// What the model knows of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    state: State,
    due: i64,
    attempts: u32,
    verify: bool,
    writing: bool,
    key: u8,
    keyed: bool,
    posted: bool,
}

/// The queue in memory: all that the model test compares.
#[derive(Debug, Default)]
struct Model {
    mails: BTreeMap<QueueId, Expected>,
    claims: Vec<Claim>,
}

impl Model {
    fn accepted(&mut self, id: QueueId, key: u8) {
        let state = State::Queued;
        let mail =
            Expected { state, due: 0, attempts: 0, verify: false, writing: false, key, keyed: false, posted: false };
        self.mails.insert(id, mail);
    }

    fn due(&self, now: i64, limit: usize) -> Vec<QueueId> {
        let due = |mail: &Expected| matches!(mail.state, State::Queued | State::Deferred) && mail.due <= now;
        self.mails.iter().filter(|(_, mail)| due(mail)).map(|(id, _)| *id).take(limit).collect()
    }

    fn turn(&mut self, id: QueueId) -> Turn {
        let key = self.mails[&id].key;
        let open = |mail: &Expected| matches!(mail.state, State::Queued | State::Delivering | State::Deferred);
        let blocks = |mail: &Expected| mail.keyed && mail.key == key && open(mail);
        let older = self.mails.range(..id).find(|(_, mail)| blocks(mail)).map(|(older, _)| *older);
        let mail = self.mails.get_mut(&id).expect("known");
        mail.keyed = true;
        if let Some(older) = older {
            return Turn::Wait(older);
        }
        mail.attempts = mail.attempts.saturating_add(1);
        (mail.verify, mail.writing) = (true, true);
        Turn::Write(mail.attempts)
    }

    fn finished(&mut self, id: QueueId, end: &End) {
        let mail = self.mails.get_mut(&id).expect("known");
        let before = mail.clone();
        (mail.verify, mail.writing) = (false, false);
        match end {
            End::Delivered { .. } => (mail.state, mail.posted) = (State::Delivered, true),
            End::Duplicate { .. } => mail.state = State::Delivered,
            End::Failed { .. } => {
                (mail.state, mail.verify) = (State::Failed, before.verify && !before.writing);
            }
            End::Held { .. } => (mail.state, mail.verify) = (State::Held, before.verify),
            End::Deferred { at, verify, .. } => {
                (mail.state, mail.due, mail.verify) = (State::Deferred, at.0, *verify);
            }
            End::Released { at } => {
                mail.due = at.0;
                mail.attempts = before.attempts.saturating_sub(u32::from(before.writing));
                mail.verify = before.verify && !before.writing;
                mail.state = if mail.verify { State::Deferred } else { State::Queued };
            }
        }
        self.unblock(id);
    }

    /// A mail that no longer blocks: those behind it are due.
    fn unblock(&mut self, id: QueueId) {
        let mail = self.mails.get_mut(&id).expect("known");
        if !mail.keyed || !(mail.state.is_final() || mail.state == State::Held) {
            return;
        }
        mail.keyed = false;
        let key = mail.key;
        let next = self.mails.range_mut(id..).map(|(_, mail)| mail).find(|mail| mail.keyed && mail.key == key);
        next.filter(|mail| mail.state == State::Queued).into_iter().for_each(|mail| mail.due = 0);
    }

    fn operated(&mut self, operation: Operation, id: QueueId, now: i64) -> bool {
        let mail = self.mails.get_mut(&id).expect("known");
        if !mail.state.allows(operation) || (operation == Operation::Retry && mail.posted) {
            return false;
        }
        match (operation, mail.state) {
            (Operation::Retry, State::Deferred) => mail.due = now,
            (Operation::Retry, _) => (mail.state, mail.due, mail.attempts) = (State::Queued, 0, 0),
            (Operation::Hold, _) => mail.state = State::Held,
            (Operation::Release, _) => {
                mail.state = if mail.verify { State::Deferred } else { State::Queued };
                mail.due = 0;
            }
            (Operation::Drop, _) => mail.state = State::Discarded,
        }
        self.unblock(id);
        true
    }

    fn crashed(&mut self) {
        for mail in self.mails.values_mut().filter(|mail| mail.state == State::Delivering) {
            (mail.state, mail.due) = (if mail.verify { State::Deferred } else { State::Queued }, 0);
            mail.writing = false;
        }
        self.claims.clear();
    }
}

fn some_end(random: &mut fastrand::Rng, now: UtcMillis) -> End {
    let at = now.plus(Duration::from_millis(random.u64(0..50)));
    match random.u8(0..7) {
        0 | 1 => POSTED,
        2 => End::Duplicate { of: "foreign copy 1".to_owned() },
        3 => failed(),
        4 => End::Held { reason: "rule".to_owned(), error: String::new() },
        5 => deferred(at, random.bool()),
        _ => End::Released { at },
    }
}

async fn random_move(store: &Store, model: &mut Model, random: &mut fastrand::Rng, uid: u32) {
    let now = store.clock.now();
    let some_mail = random.choice(model.mails.keys()).copied();
    let some_claim = random.choice(0..model.claims.len());
    match (random.u8(0..10), some_claim, some_mail) {
        (0 | 1, ..) => {
            let id = store.accept(&[uid]).await[0].id;
            model.accepted(id, random.u8(0..4));
        }
        (2 | 3, ..) => {
            let limit = random.usize(1..4);
            let items = store.queue.claim(&tenant(), limit).await.expect("claimed");
            assert_eq!(items.iter().map(|item| item.claim.id).collect::<Vec<_>>(), model.due(now.0, limit));
            for item in items {
                let mail = model.mails.get_mut(&item.claim.id).expect("known");
                assert_eq!((item.attempts, item.verify_since.is_some()), (mail.attempts, mail.verify));
                mail.state = State::Delivering;
                model.claims.push(item.claim);
            }
        }
        (4 | 5, Some(i), _) if !model.mails[&model.claims[i].id].writing => {
            let claim = model.claims[i];
            let key = model.mails[&claim.id].key;
            assert_eq!(store.write(claim, &[key]).await, Some(model.turn(claim.id)));
        }
        (6 | 7, Some(i), _) => {
            let claim = model.claims.swap_remove(i);
            let end = some_end(random, now);
            model.finished(claim.id, &end);
            assert!(store.finish(claim, end).await);
            assert!(!store.finish(claim, POSTED).await);
        }
        (8, _, Some(id)) => {
            let operation = *random
                .choice(&[Operation::Retry, Operation::Hold, Operation::Release, Operation::Drop])
                .expect("one of four");
            let done = store.operate(operation, id).await == Operated::Done;
            assert_eq!(done, model.operated(operation, id, now.0), "{operation:?}");
        }
        _ => store.clock.set(now.plus(Duration::from_millis(random.u64(0..20)))),
    }
}

#[tokio::test]
async fn random_moves_do_what_the_model_says() {
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut store = Store::new();
        let mut model = Model::default();
        for uid in 1..=200 {
            random_move(&store, &mut model, &mut random, uid).await;
            if random.u8(0..50) == 0 && model.mails.values().all(|mail| mail.state != State::Delivering || mail.writing)
            {
                store = store.crashed().0;
                model.crashed();
            }
        }
        let all = Filter { states: State::ALL.to_vec(), ..Filter::default() };
        let entries = store.queue.list(&all).await.expect("listed");
        let found: Vec<_> =
            entries.iter().map(|entry| (entry.qid, entry.state, entry.attempts, entry.verify)).collect();
        let expected: Vec<_> =
            model.mails.iter().map(|(id, mail)| (*id, mail.state, mail.attempts, mail.verify)).collect();
        assert_eq!(found, expected, "seed {seed}");
        let stats = store.queue.stats().await.expect("counted");
        let total: u64 = stats.values().map(|numbers| numbers.messages).sum();
        assert_eq!(total, u64::try_from(entries.len()).expect("few"));
    }
}
